// SPDX-License-Identifier: Apache-2.0
// test_req_kit: a request without a worker, for the rooms that only allocate from it and answer it.
//
// Stands in for request.c and reply.c: memory is freed by req_end, and an answer is kept in
// `answer`. A room that needs more than that is not pure and is tested end to end.
#ifndef TW_TEST_REQ_KIT_H
#define TW_TEST_REQ_KIT_H

#include "tests/unit/test_kit.h"

#include "gateway/reply.h"

#define BLOCKS_MAX 4096

static struct tw_config req_config = {.pos_currency_decimals = 2};
static struct tw_req req;
static void *req_blocks[BLOCKS_MAX];
static size_t req_n_blocks;

static struct {
    unsigned n; // a request is answered once
    enum tw_status status;
    char detail[512];
    size_t n_errors;
    struct {
        char pointer[256], code[32], detail[256];
    } errors[64];
} answer;

void *tw_req_alloc(struct tw_req *request, size_t n)
{
    assert_ptr_equal(request, &req);
    assert_true(req_n_blocks < BLOCKS_MAX);
    void *block = malloc(n);
    assert_non_null(block);
    memset(block, 0xA5, n); // the pool's memory is not zeroed either
    return req_blocks[req_n_blocks++] = block;
}

static void copy_text(char *to, size_t size, struct tw_str text)
{
    assert_true(text.n < size);
    assert_true(tw_utf8_valid(text)); // it goes into JSON as it is
    memcpy(to, text.n ? text.p : "", text.n);
    to[text.n] = '\0';
}

struct tw_verdict tw_fail_errors(struct tw_req *request, enum tw_status status, const char *detail,
                                 const struct tw_problem_error *errors, size_t n)
{
    assert_ptr_equal(request, &req);
    answer.n++;
    answer.status = status;
    copy_text(answer.detail, sizeof answer.detail, tw_str_of(detail));
    answer.n_errors = n;
    assert_true(n <= TW_COUNT(answer.errors));
    for (size_t i = 0; i < n; i++) {
        copy_text(answer.errors[i].pointer, sizeof answer.errors[i].pointer, errors[i].pointer);
        copy_text(answer.errors[i].code, sizeof answer.errors[i].code, tw_str_of(errors[i].code));
        copy_text(answer.errors[i].detail, sizeof answer.errors[i].detail, errors[i].detail);
    }
    return (struct tw_verdict){TW_VERDICT_ANSWERED};
}

struct tw_verdict tw_fail(struct tw_req *request, enum tw_status status, const char *detail)
{
    return tw_fail_errors(request, status, detail, NULL, 0);
}

// A fresh request; what the one before had is gone.
KIT void req_begin(void)
{
    for (; req_n_blocks > 0; req_n_blocks--)
        free(req_blocks[req_n_blocks - 1]);
    memset(&req, 0, sizeof req);
    memset(&answer, 0, sizeof answer);
    req.config = &req_config;
}

KIT int req_end(void **state)
{
    (void)state;
    req_begin();
    return 0;
}

#endif

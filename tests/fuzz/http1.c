// SPDX-License-Identifier: Apache-2.0
// The head and the chunks of HTTP/1, as our patches of the library read them, and what a client
// says it takes.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // memmem
#endif

#include "tests/fuzz/targets.h"

#include <picohttpparser.h>
#include <stdlib.h>

#include "gateway/negotiate.h"

#define HEADERS_MAX 100

static bool is_name(const char *p, size_t n)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < n; i++)
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
              (p[i] >= '0' && p[i] <= '9') || (p[i] && strchr(others, p[i]))))
            return false;
    return n > 0;
}

// No control byte but tab: nothing that another parser could take for the end of a line.
static bool is_value(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
            return false;
    return true;
}

// What is taken has one reading: names are tokens, values have no line ends, it ends with CRLF
// CRLF, and neither less nor more of the input changes that.
void tw_fuzz_head(struct tw_str input)
{
    struct phr_header headers[HEADERS_MAX];
    const char *method, *path;
    size_t method_n, path_n, n = HEADERS_MAX;
    int minor;
    int length = phr_parse_request(input.p, input.n, &method, &method_n, &path, &path_n, &minor,
                                   headers, &n, 0);
    if (length <= 0)
        return;
    TW_FUZZ_PROMISE((size_t)length <= input.n && n <= HEADERS_MAX);
    TW_FUZZ_PROMISE(length >= 4 && memcmp(input.p + length - 4, "\r\n\r\n", 4) == 0);
    TW_FUZZ_PROMISE(is_name(method, method_n) && path_n > 0);
    TW_FUZZ_PROMISE(is_value(path, path_n) && !memchr(path, ' ', path_n));
    for (size_t i = 0; i < n; i++) {
        TW_FUZZ_PROMISE(is_name(headers[i].name, headers[i].name_len));
        TW_FUZZ_PROMISE(is_value(headers[i].value, headers[i].value_len));
    }
    for (int i = 0; i < length; i++)
        TW_FUZZ_PROMISE(input.p[i] != '\n' || (i > 0 && input.p[i - 1] == '\r'));
    size_t again = HEADERS_MAX;
    TW_FUZZ_PROMISE(phr_parse_request(input.p, (size_t)length, &method, &method_n, &path, &path_n,
                                      &minor, headers, &again, 0) == length);
    TW_FUZZ_PROMISE(again == n);
}

// Decodes in pieces of `step` bytes; the verdict, and how many bytes of data came.
static ssize_t decode(struct tw_str input, size_t step, char *out, size_t *out_n)
{
    struct phr_chunked_decoder decoder = {.consume_trailer = 1};
    char *buffer = malloc(step);
    ssize_t verdict = -2;
    *out_n = 0;
    for (size_t at = 0; at < input.n && verdict == -2; at += step) {
        size_t n = input.n - at < step ? input.n - at : step;
        memcpy(buffer, input.p + at, n);
        verdict = phr_decode_chunked(&decoder, buffer, &n);
        memcpy(out + *out_n, buffer, n);
        *out_n += n;
    }
    free(buffer);
    return verdict;
}

// The same however it is cut into pieces, and never more data than came in.
void tw_fuzz_chunks(struct tw_str input)
{
    char *whole = malloc(input.n + 1), *parts = malloc(input.n + 1);
    size_t whole_n, parts_n;
    ssize_t verdict = decode(input, input.n + 1, whole, &whole_n);
    for (size_t step = 1; step <= 3 && input.n <= 4096; step++) {
        ssize_t other = decode(input, step, parts, &parts_n);
        TW_FUZZ_PROMISE((verdict >= 0) == (other >= 0) && (verdict == -1) == (other == -1));
        if (verdict >= 0)
            TW_FUZZ_PROMISE(parts_n == whole_n && memcmp(parts, whole, whole_n) == 0);
    }
    TW_FUZZ_PROMISE(whole_n <= input.n);
    free(whole);
    free(parts);
}

void tw_fuzz_negotiate(struct tw_str input)
{
    struct tw_accept media = TW_ACCEPT_NONE, coding = TW_ACCEPT_NONE;
    tw_accept_add_media(&media, input);
    tw_accept_add_coding(&coding, input);
    TW_FUZZ_PROMISE(media.exact <= 1000 && media.group <= 1000 && media.any <= 1000);
    TW_FUZZ_PROMISE(!media.malformed || tw_accept_takes_json(&media));
    TW_FUZZ_PROMISE(coding.said || !tw_accept_takes_gzip(&coding));
    TW_FUZZ_PROMISE(!tw_media_type_in(input, TW_STR("application/json")) || input.n >= 16);
    TW_FUZZ_PROMISE(input.n > 0 || tw_coding_is_identity(input));
}

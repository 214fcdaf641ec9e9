// SPDX-License-Identifier: Apache-2.0
// trace_ring: records come out as they went in, once, in order, whole; a full ring takes no more.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/unit/test_kit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/trace_ring.h"

static struct tw_trace_ring *ring;

static int make_ring(void **state)
{
    (void)state;
    ring = tw_trace_ring_at(tw_trace_rings_new(3), 2);
    return ring ? 0 : -1;
}

static void put(uint64_t number)
{
    struct tw_trace_record *record = tw_trace_ring_room(ring);
    assert_non_null(record);
    record->bytes_sent = number;
    tw_trace_ring_commit(ring);
}

static void test_order_and_bound(void **state)
{
    (void)state;
    struct tw_trace_record record;
    assert_false(tw_trace_ring_take(ring, &record));
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < TW_TRACE_RING_RECORDS; i++)
            put(1000 * round + i);
        assert_null(tw_trace_ring_room(ring));
        for (uint64_t i = 0; i < TW_TRACE_RING_RECORDS; i++) {
            assert_true(tw_trace_ring_take(ring, &record));
            assert_int_equal(record.bytes_sent, 1000 * round + i);
        }
        assert_false(tw_trace_ring_take(ring, &record));
    }
    assert_non_null(tw_trace_ring_room(ring)); // room alone is no record
    assert_false(tw_trace_ring_take(ring, &record));
}

#define SENT 200000

// Another process writes as fast as it can; a record is never seen in part.
static void test_two_processes(void **state)
{
    (void)state;
    struct tw_trace_record record;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (uint64_t i = 1; i <= SENT;) {
            struct tw_trace_record *room = tw_trace_ring_room(ring);
            if (!room)
                continue;
            room->bytes_sent = i;
            memset(room->text, (int)(i & 0x7f), sizeof room->text);
            tw_trace_ring_commit(ring);
            i++;
        }
        _exit(0);
    }
    for (uint64_t i = 1; i <= SENT;) {
        if (!tw_trace_ring_take(ring, &record))
            continue;
        assert_int_equal(record.bytes_sent, i);
        for (size_t j = 0; j < sizeof record.text; j += 101)
            assert_int_equal(record.text[j], i & 0x7f);
        i++;
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

// A worker that was killed within a record: its successor writes over it.
static void test_a_writer_that_died(void **state)
{
    (void)state;
    struct tw_trace_record record;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct tw_trace_record *room = tw_trace_ring_room(ring);
        room->bytes_sent = 1;
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(tw_trace_ring_take(ring, &record));
    put(2);
    assert_true(tw_trace_ring_take(ring, &record));
    assert_int_equal(record.bytes_sent, 2);
}

static void test_texts(void **state)
{
    (void)state;
    static char longest[4096];
    struct tw_trace_record record = {0};
    memset(longest, 'x', sizeof longest);
    tw_trace_record_put(&record, TW_TRACE_METHOD, TW_STR("GET"), 16);
    tw_trace_record_put(&record, TW_TRACE_PATH, (struct tw_str){longest, sizeof longest}, 256);
    tw_trace_record_put(&record, TW_TRACE_HOST, TW_STR("till"), 96);
    tw_trace_record_put(&record, TW_TRACE_CLIENT, TW_STR(""), 64);
    tw_trace_record_put(&record, TW_TRACE_REQUEST_ID, TW_STR("r"), 64);
    tw_trace_record_put(&record, TW_TRACE_STATE, (struct tw_str){longest, sizeof longest}, 4096);
    kit_assert_str(tw_trace_record_text(&record, TW_TRACE_METHOD), "GET");
    assert_int_equal(tw_trace_record_text(&record, TW_TRACE_PATH).n, 256);
    kit_assert_str(tw_trace_record_text(&record, TW_TRACE_HOST), "till");
    kit_assert_str(tw_trace_record_text(&record, TW_TRACE_REQUEST_ID), "r");
    assert_int_equal(tw_trace_record_text(&record, TW_TRACE_STATE).n,
                     TW_TRACE_TEXT_MAX - 3 - 256 - 4 - 1);
    // Whatever a worker that has gone mad writes there, nothing outside is read.
    for (int i = 0; i < 10000; i++) {
        for (unsigned t = 0; t < TW_TRACE_TEXTS; t++)
            record.text_n[t] = (uint16_t)(kit_random() >> kit_below(64));
        for (unsigned t = 0; t < TW_TRACE_TEXTS; t++) {
            struct tw_str text = tw_trace_record_text(&record, (enum tw_trace_text)t);
            assert_true(text.n == 0 || (text.p >= record.text &&
                                        text.p + text.n <= record.text + sizeof record.text));
        }
    }
}

#define RING_TEST(name) cmocka_unit_test_setup(name, make_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_order_and_bound),
        RING_TEST(test_two_processes),
        RING_TEST(test_a_writer_that_died),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests_name("trace_ring", tests, NULL, NULL);
}

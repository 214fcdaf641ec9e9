// SPDX-License-Identifier: Apache-2.0
// base: slices, checked numbers, UTF-8 by exhaustion, ISO time against the C library's calendar.
#include "tests/unit/test_kit.h"

#include <inttypes.h>
#include <time.h>

static void test_slices(void **state)
{
    (void)state;
    assert_int_equal(tw_str_of(NULL).n, 0);
    assert_int_equal(tw_str_of("abc").n, 3);
    assert_int_equal(TW_STR("a\0b").n, 3);
    assert_true(tw_str_eq(tw_str_of(NULL), TW_STR("")));
    assert_true(tw_str_eq(TW_STR("a\0b"), TW_STR("a\0b")));
    assert_false(tw_str_eq(TW_STR("a\0b"), TW_STR("a\0c")));
    assert_false(tw_str_eq(TW_STR("a"), TW_STR("ab")));
    assert_false(tw_str_eq(TW_STR("a"), TW_STR("A")));
}

// Equal are the 26 pairs of letters and nothing else, least of all what differs in bit 5 only.
static void test_ignoring_case(void **state)
{
    (void)state;
    unsigned pairs = 0;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            char left = (char)a, right = (char)b;
            bool equal = tw_str_ieq((struct tw_str){&left, 1}, (struct tw_str){&right, 1});
            assert_true(equal || a != b);
            pairs += equal && a != b;
        }
    assert_int_equal(pairs, 52);
    assert_true(tw_str_ieq(TW_STR("Content-TYPE"), TW_STR("cONTENT-type")));
    assert_false(tw_str_ieq(TW_STR("content"), TW_STR("content-")));
    assert_true(tw_str_ieq(tw_str_of(NULL), TW_STR("")));
}

// ---- integers -----------------------------------------------------------------------------------

static bool to_i64(const char *text, int64_t min, int64_t max, int64_t *out)
{
    *out = 4711;
    bool done = tw_str_to_i64(tw_str_of(text), min, max, out);
    assert_true(done || *out == 4711); // untouched
    return done;
}

static void test_integers_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "00",
        "-0",
        "-01",
        "1.0",
        "1e3",
        "0x10",
        "1_0",
        "--1",
        "1-",
        "9223372036854775808",
        "\xd9\xa1",
        "1\n",
        "a",
        "-9223372036854775809",
        "99999999999999999999",
        "10000000000000000000",
        "/",
        ":",
        "1/",
        "1:",
    };
    int64_t value;
    for (size_t i = 0; i < TW_COUNT(refused); i++)
        if (to_i64(refused[i], INT64_MIN, INT64_MAX, &value))
            fail_msg("accepted \"%s\"", refused[i]);
    assert_false(tw_str_to_i64(TW_STR("1\0"), 0, 9, &value));
    assert_false(tw_str_to_i64(tw_str_of(NULL), 0, 9, &value));
}

static void test_integers_in_bounds(void **state)
{
    (void)state;
    int64_t value;
    assert_true(to_i64("0", 0, 0, &value) && value == 0);
    assert_true(to_i64("500", 1, 500, &value) && value == 500);
    assert_false(to_i64("501", 1, 500, &value));
    assert_false(to_i64("0", 1, 500, &value));
    assert_true(to_i64("-9223372036854775808", INT64_MIN, 0, &value) && value == INT64_MIN);
    assert_true(to_i64("9223372036854775807", 0, INT64_MAX, &value) && value == INT64_MAX);
}

static void test_integers_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char text[32];
        int64_t given = kit_random_i64(), value;
        snprintf(text, sizeof text, "%" PRId64, given);
        assert_true(to_i64(text, given, given, &value));
        assert_int_equal(value, given);
        assert_true(given == INT64_MIN || !to_i64(text, INT64_MIN, given - 1, &value));
        assert_true(given == INT64_MAX || !to_i64(text, given + 1, INT64_MAX, &value));
    }
}

// ---- UTF-8 --------------------------------------------------------------------------------------

static bool utf8(const unsigned char *p, size_t n)
{
    return tw_utf8_valid((struct tw_str){(const char *)p, n});
}

static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3F));
    out[0] = (unsigned char)(leads[n] | c);
    return n;
}

// Every code point; each cut short, each with a byte too many of its own kind.
static void test_utf8_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x10FFFF; c++) {
        unsigned char text[5];
        size_t n = encode(c, text);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        if (utf8(text, n) == surrogate)
            fail_msg("U+%04X: wrong", c);
        for (size_t cut = 1; cut < n; cut++)
            assert_false(utf8(text, cut));
        text[n] = 0x80;
        assert_false(utf8(text, n + 1));
    }
}

// Of all strings of one to three bytes as many are accepted as the code points' sizes allow, so
// with the test above none is accepted wrongly.
static void test_utf8_counts(void **state)
{
    (void)state;
    enum { ONE = 127, TWO = 0x800 - 0x80, THREE = 0x10000 - 0x800 - 0x800 };
    uint64_t n[4] = {0};
    for (uint32_t i = 0; i < 1u << 24; i++) {
        unsigned char text[3] = {(unsigned char)(i >> 16), (unsigned char)(i >> 8),
                                 (unsigned char)i};
        n[3] += utf8(text, 3);
        n[2] += i < 1u << 16 && utf8(text + 1, 2);
        n[1] += i < 1u << 8 && utf8(text + 2, 1);
    }
    assert_int_equal(n[1], ONE);
    assert_int_equal(n[2], ONE * ONE + TWO);
    assert_int_equal(n[3], ONE * ONE * ONE + 2 * ONE * TWO + THREE);
}

// Four bytes: every lead and second byte, and the third and fourth at every boundary.
static void test_utf8_four_bytes(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x00, 0x01, 0x7F, 0x80, 0x81, 0x8F, 0x90,
                                          0x9F, 0xA0, 0xBE, 0xBF, 0xC0, 0xC2, 0xFF};
    for (unsigned i = 0; i < 0x80 << 8; i++)
        for (unsigned j = 0; j < TW_COUNT(edges) * TW_COUNT(edges); j++) {
            unsigned char text[4] = {(unsigned char)(0x80 | i >> 8), (unsigned char)i,
                                     edges[j / TW_COUNT(edges)], edges[j % TW_COUNT(edges)]};
            if (text[0] < 0xF0) // shorter sequences: counted above
                continue;
            unsigned char again[4];
            uint32_t c = (uint32_t)(text[0] & 7) << 18 | (uint32_t)(text[1] & 0x3F) << 12 |
                         (uint32_t)(text[2] & 0x3F) << 6 | (text[3] & 0x3F);
            bool expected = c >= 0x10000 && c <= 0x10FFFF && encode(c, again) == 4 &&
                            memcmp(again, text, 4) == 0;
            if (utf8(text, 4) != expected)
                fail_msg("%02x %02x %02x %02x: wrong", text[0], text[1], text[2], text[3]);
        }
}

// Eight bytes are looked at together: any byte at any place of them.
static void test_utf8_every_place(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 24; n++)
        for (size_t at = 0; at < n; at++)
            for (unsigned c = 0; c < 256; c++) {
                unsigned char text[24];
                memset(text, at % 2 ? 0x7f : 0x01, sizeof text);
                text[at] = (unsigned char)c;
                if (utf8(text, n) != (c > 0 && c < 0x80))
                    fail_msg("%02x at %zu of %zu", c, at, n);
            }
}

static void test_utf8_texts(void **state)
{
    (void)state;
    assert_true(tw_utf8_valid(TW_STR("")));
    assert_true(tw_utf8_valid(tw_str_of(NULL)));
    assert_true(tw_utf8_valid(
        TW_STR("Milch 3,5 % \xe2\x82\xac \xd7\x97\xd7\x9c\xd7\x91 \xf0\x9f\xa5\x9b")));
    assert_false(tw_utf8_valid(TW_STR("a\0b")));
    assert_false(tw_utf8_valid(TW_STR("\xe2\x82\xac\xe2\x82")));
    assert_false(tw_utf8_valid(TW_STR("latin1 \xfc")));
}

// ---- text that JSON takes as it is -------------------------------------------------------------

// Eight bytes at once, and the last ones with some before them: as one after the other.
static void test_plain_run(void **state)
{
    (void)state;
    char text[40];
    assert_int_equal(tw_plain_run(tw_str_of(NULL)), 0);
    for (int c = 0; c < 256; c++) {
        bool is_plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        for (size_t n = 1; n <= sizeof text; n++) {
            for (size_t at = 0; at < n; at++) {
                memset(text, 'x', sizeof text);
                text[at] = (char)c;
                assert_int_equal(tw_plain_run((struct tw_str){text, n}), is_plain ? n : at);
            }
        }
    }
}

// ---- clocks and dates ---------------------------------------------------------------------------

static void test_clocks(void **state)
{
    (void)state;
    struct timespec pause = {.tv_nsec = 20000000};
    uint64_t before_us = tw_now_us();
    int64_t before_ms = tw_unix_ms();
    nanosleep(&pause, NULL);
    uint64_t slept_us = tw_now_us() - before_us;
    int64_t slept_ms = tw_unix_ms() - before_ms;
    assert_in_range(slept_us, 20000, 5000000);
    assert_in_range(slept_ms, 19, 5000);
    int64_t s = tw_unix_s();
    assert_in_range(time(NULL) + 1 - s, 0, 2); // time() may be a tick behind
    assert_in_range(tw_unix_ms() / 1000 - s, 0, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t now_us = tw_now_us();
        assert_true(now_us >= before_us);
        before_us = now_us;
    }
}

static void assert_time(int64_t unix_ms)
{
    char text[TW_ISO8601_LEN + 2], expected[64];
    time_t s = (time_t)(unix_ms / 1000);
    struct tm tm;
    assert_non_null(gmtime_r(&s, &tm));
    snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(unix_ms % 1000));
    text[TW_ISO8601_LEN] = '#';
    text[TW_ISO8601_LEN + 1] = '\0';
    tw_iso8601_utc(unix_ms, text);
    if (memcmp(text, expected, TW_ISO8601_LEN) != 0 || text[TW_ISO8601_LEN] != '#')
        fail_msg("%" PRId64 ": %s, not %s", unix_ms, text, expected);
}

static void test_iso_time(void **state)
{
    (void)state;
    const int64_t end_ms = INT64_C(253402300800000); // 10000-01-01
    char text[TW_ISO8601_LEN];
    tw_iso8601_utc(0, text);
    kit_assert_str((struct tw_str){text, sizeof text}, "1970-01-01T00:00:00.000Z");
    tw_iso8601_utc(INT64_C(951827696789), text);
    kit_assert_str((struct tw_str){text, sizeof text}, "2000-02-29T12:34:56.789Z");
    tw_iso8601_utc(end_ms - 1, text);
    kit_assert_str((struct tw_str){text, sizeof text}, "9999-12-31T23:59:59.999Z");
    for (int64_t day_ms = 0; day_ms < end_ms; day_ms += 86400000) // every day there is
        assert_time(day_ms + (int64_t)kit_below(86400000));
    for (int i = 0; i < 500000; i++)
        assert_time((int64_t)kit_below((uint64_t)end_ms));
}

// An hour, for a thousand that begin within some milliseconds: each minute ends its share.
static void test_spread(void **state)
{
    (void)state;
    const uint64_t minute_us = 60000000, most_us = 60 * minute_us;
    for (uint64_t apart_us = 1; apart_us < 200; apart_us++) {
        unsigned ends[12] = {0};
        uint64_t began_us = kit_below(UINT64_C(1) << 50);
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t us = tw_spread_us(most_us, began_us + i * apart_us);
            assert_true(us >= 54 * minute_us && us < 66 * minute_us);
            ends[us / minute_us - 54]++;
        }
        for (size_t i = 0; i < TW_COUNT(ends); i++)
            assert_in_range(ends[i], 40, 160);
    }
    assert_int_equal(tw_spread_us(0, 1), 0);
    assert_true(tw_spread_us(UINT64_C(24) * most_us, UINT64_MAX) < UINT64_C(27) * most_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_ignoring_case),
        cmocka_unit_test(test_integers_refused),
        cmocka_unit_test(test_integers_in_bounds),
        cmocka_unit_test(test_integers_round_trip),
        cmocka_unit_test(test_utf8_code_points),
        cmocka_unit_test(test_utf8_every_place),
        cmocka_unit_test(test_utf8_counts),
        cmocka_unit_test(test_utf8_four_bytes),
        cmocka_unit_test(test_utf8_texts),
        cmocka_unit_test(test_plain_run),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_iso_time),
        cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// trace_context: what is no traceparent by W3C Trace Context is none here; shares are as large as
// they say, and the same requests belong to them wherever it is asked.
#include "tests/unit/test_kit.h"

#include "gateway/trace_context.h"

#define GOOD "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void test_good(void **state)
{
    (void)state;
    static const unsigned char trace_id[] = {0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                             0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c};
    static const unsigned char span_id[] = {0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31};
    struct tw_trace_context context;
    char again[TW_TRACEPARENT_TEXT_LEN];
    assert_true(tw_traceparent_parse(TW_STR(GOOD), &context));
    assert_memory_equal(context.trace_id, trace_id, sizeof trace_id);
    assert_memory_equal(context.span_id, span_id, sizeof span_id);
    assert_int_equal(context.flags, TW_TRACE_SAMPLED);
    tw_traceparent_format(&context, again);
    assert_memory_equal(again, GOOD, sizeof again);
    assert_int_equal(tw_trace_randomness(context.trace_id), 0x48eb211c80319c);
}

static void test_judged(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool good;
    } cases[] = {
        {GOOD, true},
        {"", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false},
        {GOOD "-", false}, // version 00 ends here
        {GOOD "-more", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", false},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false},
        {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", false},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01", false},
        {" " GOOD, false},
        {"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", true},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what-comes", false},
    };
    struct tw_trace_context context;
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        if (tw_traceparent_parse(tw_str_of(cases[i].header), &context) != cases[i].good)
            fail_msg("%s", cases[i].header);
}

static void test_shares(void **state)
{
    (void)state;
    enum { N = 200000 };
    unsigned in_tenth = 0, in_all = 0, in_none = 0;
    for (unsigned i = 0; i < N; i++) {
        unsigned char trace_id[TW_TRACE_ID_BYTES];
        for (size_t j = 0; j < sizeof trace_id; j++)
            trace_id[j] = (unsigned char)kit_below(256);
        uint64_t randomness = tw_trace_randomness(trace_id);
        bool is_in = tw_share_has(randomness, 100000);
        in_tenth += is_in;
        in_all += tw_share_has(randomness, 1000000);
        in_none += tw_share_has(randomness, 0);
        assert_true(!is_in || tw_share_has(randomness, 100001)); // a larger share has all of it
    }
    assert_int_equal(in_all, N);
    assert_int_equal(in_none, 0);
    assert_in_range(in_tenth, N / 10 - N / 200, N / 10 + N / 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_judged),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests_name("trace_context", tests, NULL, NULL);
}

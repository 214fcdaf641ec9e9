// SPDX-License-Identifier: Apache-2.0
// money: every amount survives the way JSON text -> jansson -> minor units -> JSON text.
#include "tests/unit/test_kit.h"

#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "gateway/json_out.h"
#include "handlers/money.h"

// As a body is read: json_loadb, then by the kind of number.
static enum tw_decimal read_number(const char *text, unsigned decimals, int64_t *out)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);
    if (!json)
        fail_msg("%s: %s", text, error.text);
    *out = 4711;
    enum tw_decimal result = json_is_integer(json)
                                 ? tw_decimal_from_integer(json_integer_value(json), decimals, out)
                                 : tw_decimal_from_real(json_real_value(json), decimals, out);
    json_decref(json);
    return result;
}

static void write_number(int64_t value, unsigned decimals, bool trim, char out[64])
{
    struct tw_json json = tw_json_fixed(out, 63);
    if (trim)
        tw_json_decimal_short(&json, value, decimals);
    else
        tw_json_decimal(&json, value, decimals);
    assert_false(json.failed);
    out[json.n] = '\0';
}

static void assert_survives(int64_t value, unsigned decimals)
{
    char text[64];
    int64_t back;
    for (int trim = 0; trim < 2; trim++) {
        write_number(value, decimals, trim, text);
        enum tw_decimal result = read_number(text, decimals, &back);
        if (result != TW_DECIMAL_OK || back != value)
            fail_msg("%s (%u decimals): result %d, %" PRId64, text, decimals, (int)result, back);
    }
}

// jansson is slow enough that each value goes through one scale, and each scale sees a seventh.
static void test_every_small_amount(void **state)
{
    (void)state;
    for (int64_t value = -1000000; value <= 1000000; value++) {
        int64_t back;
        char text[64];
        assert_survives(value, 2);
        for (unsigned decimals = 1; decimals <= 6; decimals++) {
            double nearest;
            if (decimals == 2)
                continue;
            write_number(value, decimals, false, text);
            nearest = strtod(text, NULL); // what jansson calls
            if (value == 0)
                continue;
            assert_int_equal(tw_decimal_from_real(nearest, decimals, &back), TW_DECIMAL_OK);
            assert_int_equal(back, value);
        }
    }
}

static void test_random_amounts(void **state)
{
    (void)state;
    for (int i = 0; i < 1000000; i++) {
        int64_t value = (int64_t)kit_below(TW_DECIMAL_MAX + 1);
        for (uint64_t cut = kit_below(15); cut > 0; cut--)
            value /= 10;
        assert_survives(i % 2 ? value : -value, (unsigned)kit_below(7));
    }
}

// The largest there are, where a double is nearly used up.
static void test_largest_amounts(void **state)
{
    (void)state;
    for (unsigned decimals = 0; decimals <= 6; decimals++)
        for (int64_t below = 0; below < 20000; below++) {
            assert_survives(TW_DECIMAL_MAX - below, decimals);
            assert_survives(below - TW_DECIMAL_MAX, decimals);
        }
}

static void test_out_of_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned decimals;
    } cases[] = {
        {"10000000000000.00", 2},
        {"-10000000000000.00", 2},
        {"10000000000000", 2},
        {"-10000000000000", 2},
        {"1000000000000000", 0},
        {"1000000000000000.0", 0},
        {"1e300", 2},
        {"-1e300", 2},
        {"1e15", 0},
        {"1e13", 2},
        {"9223372036854775807", 0},
        {"9223372036854775807", 6},
        {"-9223372036854775808", 6},
        {"1000000000", 6},
        {"-0.0", 2},
        {"-0.00", 0},
        {"-0e5", 3},
        {"-1e-400", 2},
    };
    int64_t out;
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        if (read_number(cases[i].text, cases[i].decimals, &out) != TW_DECIMAL_OUT_OF_RANGE)
            fail_msg("%s", cases[i].text);
    assert_int_equal(tw_decimal_from_real(INFINITY, 2, &out), TW_DECIMAL_OUT_OF_RANGE);
    assert_int_equal(tw_decimal_from_real(-INFINITY, 2, &out), TW_DECIMAL_OUT_OF_RANGE);
    assert_int_equal(tw_decimal_from_real(NAN, 2, &out), TW_DECIMAL_OUT_OF_RANGE);
    assert_int_equal(tw_decimal_from_real(DBL_MAX, 6, &out), TW_DECIMAL_OUT_OF_RANGE);
}

static void test_too_precise(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned decimals;
    } cases[] = {
        {"0.001", 2},        {"1.005", 2},
        {"-1.005", 2},       {"0.1", 0},
        {"1.0001", 3},       {"1e-3", 2},
        {"1e-300", 6},       {"0.0000001", 6},
        {"12.345", 2},       {"999999999999.999", 2},
        {"0.5", 0},          {"4.9e-324", 2},
        {"12.500000001", 2}, {"0.0000005", 6},
    };
    int64_t out;
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        if (read_number(cases[i].text, cases[i].decimals, &out) != TW_DECIMAL_TOO_PRECISE)
            fail_msg("%s", cases[i].text);
}

// Other spellings of the same number are the same amount.
static void test_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t minor;
    } cases[] = {
        {"0", 0},          {"0.0", 0},          {"0e0", 0},
        {"12.5", 1250},    {"12.50", 1250},     {"1.25e1", 1250},
        {"1250e-2", 1250}, {"12.500000", 1250}, {"1e2", 10000},
        {"-3", -300},      {"0.07", 7},         {"0.29", 29},
        {"1.15", 115},     {"19.99", 1999},     {"9999999999999.99", TW_DECIMAL_MAX},
    };
    int64_t out;
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        if (read_number(cases[i].text, 2, &out) != TW_DECIMAL_OK || out != cases[i].minor)
            fail_msg("%s: %" PRId64, cases[i].text, out);
    }
}

// Any double at all: refused, or exactly a decimal that has this double as its nearest.
static void test_any_double(void **state)
{
    (void)state;
    unsigned taken = 0;
    for (int i = 0; i < 2000000; i++) {
        uint64_t bits = kit_random();
        double value;
        int64_t out;
        memcpy(&value, &bits, sizeof value);
        if (i % 2) // half of them of a size that may be one
            value = (double)(int64_t)kit_below(100000000) / 1000;
        if (tw_decimal_from_real(value, 2, &out) != TW_DECIMAL_OK)
            continue;
        char text[64];
        write_number(out, 2, false, text);
        assert_true(strtod(text, NULL) == value);
        taken++;
    }
    assert_in_range(taken, 50000, 200000); // a tenth of the half
}

static void test_decimals_of_what_was_sold_before(void **state)
{
    (void)state;
    const struct tw_config config = {.pos_currency = "JPY", .pos_currency_decimals = 0};
    assert_int_equal(tw_money_decimals(&config, TW_STR("JPY")), 0);
    assert_int_equal(tw_money_decimals(&config, TW_STR("EUR")), 2);
    assert_int_equal(tw_money_decimals(&config, TW_STR("KWD")), 3);
    assert_int_equal(tw_money_decimals(&config, (struct tw_str){NULL, 0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_small_amount),
        cmocka_unit_test(test_random_amounts),
        cmocka_unit_test(test_largest_amounts),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_too_precise),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_any_double),
        cmocka_unit_test(test_decimals_of_what_was_sold_before),
    };
    return cmocka_run_group_tests_name("money", tests, NULL, NULL);
}

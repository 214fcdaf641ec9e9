// SPDX-License-Identifier: Apache-2.0
// params: only what the table names, each once, decoded strictly; times read as they are written.
#include "tests/unit/test_req_kit.h"

#include "handlers/params.h"

enum { CATEGORY, Q, LIMIT, N };
static const struct tw_param_spec specs[N] = {
    [CATEGORY] = {"category", 8}, [Q] = {"q", 20}, [LIMIT] = {"limit", 3}};

static struct tw_str values[N];

static bool parse(struct tw_str query)
{
    struct tw_verdict verdict;
    req_begin();
    req.query = query;
    memset(values, 0xA5, sizeof values);
    bool parsed = tw_query_parse(&req, specs, N, values, &verdict);
    assert_int_equal(answer.n, parsed ? 0 : 1);
    assert_true(parsed || verdict.kind == TW_VERDICT_ANSWERED);
    return parsed;
}

static void assert_refused(const char *query, enum tw_status status, const char *detail)
{
    if (parse(tw_str_of(query)))
        fail_msg("accepted \"%s\"", query);
    assert_int_equal(answer.status, status);
    assert_string_equal(answer.detail, detail);
}

static void test_values(void **state)
{
    (void)state;
    assert_true(parse(TW_STR("")));
    for (size_t i = 0; i < N; i++)
        assert_null(values[i].p);
    assert_true(parse(TW_STR("limit=5&q=a%20b+c&category=")));
    kit_assert_str(values[LIMIT], "5");
    kit_assert_str(values[Q], "a b c");
    kit_assert_str(values[CATEGORY], "");
    assert_non_null(values[CATEGORY].p); // present, though empty
    assert_true(parse(TW_STR("q")));
    assert_true(values[Q].p != NULL && values[Q].n == 0);
    assert_null(values[LIMIT].p);
    assert_true(parse(TW_STR("q=a=b=c")));
    kit_assert_str(values[Q], "a=b=c");
    assert_true(parse(TW_STR("q=%26%3D%3d%2B%25%2f")));
    kit_assert_str(values[Q], "&==+%/");
    assert_true(parse(TW_STR("q=caf%C3%A9%e2%82%ac")));
    kit_assert_str(values[Q], "caf\xc3\xa9\xe2\x82\xac");
    assert_true(parse(TW_STR("q=1&"))); // an end without a value is no value
}

static void test_limits_count_decoded_bytes(void **state)
{
    (void)state;
    assert_true(parse(TW_STR("category=%41%41%41%41%41%41%41%41")));
    kit_assert_str(values[CATEGORY], "AAAAAAAA");
    assert_refused("category=AAAAAAAAA", TW_INVALID_PARAMETER, "Query parameter category.");
    assert_true(parse(TW_STR("limit=500")));
    assert_refused("limit=0500", TW_INVALID_PARAMETER, "Query parameter limit.");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const invalid[] = {
        "q=%",   "q=%4",  "q=%zz",           "q=%4z",       "q=%z4",    "q=a%",
        "q=%00", "q=%ff", "q=%c3",           "q=%ed%a0%80", "q=%c0%80", "q=1&q=1",
        "q=&q=", "q&q",   "limit=5&q=1&q=2", "q=%%41",      "q=% 41",   "q=%+1",
    };
    for (size_t i = 0; i < TW_COUNT(invalid); i++)
        assert_true(!parse(tw_str_of(invalid[i])) && answer.status == TW_INVALID_PARAMETER);
    assert_refused("limits=1", TW_UNKNOWN_PARAMETER, "Query parameter limits.");
    assert_refused("Limit=1", TW_UNKNOWN_PARAMETER, "Query parameter Limit.");
    assert_refused("%6cimit=1", TW_UNKNOWN_PARAMETER, "Query parameter %6cimit.");
    assert_refused("q=1&x", TW_UNKNOWN_PARAMETER, "Query parameter x.");
    assert_refused("&q=1", TW_UNKNOWN_PARAMETER, "Query parameter ?.");
    assert_refused("q=1&&limit=5", TW_UNKNOWN_PARAMETER, "Query parameter ?.");
    assert_refused("=1", TW_UNKNOWN_PARAMETER, "Query parameter ?.");
}

// A name of any length and any bytes makes an answer that is fit for JSON (the kit looks).
static void test_odd_names(void **state)
{
    (void)state;
    char name[300];
    for (size_t n = 1; n < sizeof name; n++) {
        memset(name, 'n', n);
        assert_false(parse((struct tw_str){name, n}));
        assert_int_equal(answer.status, TW_UNKNOWN_PARAMETER);
        for (size_t i = 0; i < n; i++)
            name[i] = (char)(1 + kit_below(255));
        assert_false(parse((struct tw_str){name, n}));
    }
}

// Whatever is encoded comes back.
static void test_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[8], query[64] = "q=";
        size_t n = kit_below(sizeof text + 1), at = 2;
        for (size_t j = 0; j < n; j++) {
            text[j] = (char)(1 + kit_below(127));
            bool escaped = kit_below(2) || strchr("&+%", text[j]);
            at += (size_t)snprintf(query + at, sizeof query - at, escaped ? "%%%02x" : "%c",
                                   text[j]);
        }
        assert_true(parse((struct tw_str){query, at}));
        assert_true(tw_str_eq(values[Q], (struct tw_str){text, n}));
    }
}

static void test_list_limit(void **state)
{
    (void)state;
    static const char *const refused[] = {"", "0", "501", "-1", "01", "1.0", "x", "5 ", "1000"};
    int32_t limit;
    assert_true(tw_list_limit(tw_str_of(NULL), &limit) && limit == 50);
    assert_true(tw_list_limit(TW_STR("1"), &limit) && limit == 1);
    assert_true(tw_list_limit(TW_STR("500"), &limit) && limit == 500);
    for (size_t i = 0; i < TW_COUNT(refused); i++)
        assert_false(tw_list_limit(tw_str_of(refused[i]), &limit));
}

static void test_path_uuid(void **state)
{
    (void)state;
    struct tw_uuid uuid;
    req_begin();
    req.params[1] = TW_STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    req.params[2] = TW_STR("lookup");
    assert_false(tw_path_uuid(&req, 0, &uuid));
    assert_true(tw_path_uuid(&req, 1, &uuid) && uuid.bytes[0] == 0x01 && uuid.bytes[15] == 0x8f);
    assert_false(tw_path_uuid(&req, 2, &uuid));
}

// ---- times --------------------------------------------------------------------------------------

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t unix_ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T12:34:56Z", INT64_C(951827696000)},
        {"2000-02-29T12:34:56.7Z", INT64_C(951827696700)},
        {"2000-02-29T12:34:56.78Z", INT64_C(951827696780)},
        {"2000-02-29T12:34:56.789Z", INT64_C(951827696789)},
        {"2000-02-29T12:34:56.789999Z", INT64_C(951827696789)},
        {"2000-02-29T12:34:56.000000001Z", INT64_C(951827696000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
    };
    int64_t ms;
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        if (!tw_time_parse(tw_str_of(cases[i].text), &ms))
            fail_msg("refused %s", cases[i].text);
        assert_int_equal(ms, cases[i].unix_ms);
    }
}

static void test_refused_times(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "Z",
        "2000-02-29",
        "2000-02-29T12:34Z",
        "2000-02-29T12:34:56",
        "2000-02-29 12:34:56Z",
        "2000-02-29t12:34:56z",
        "2000-02-29T12:34:56+00:00",
        "2000-02-29T12:34:56.Z",
        "2000-02-29T12:34:56.-1Z",
        "2000-02-29T12:34:56,5Z",
        "2000-02-29T12:34:56.5ZZ",
        "2000-02-29T12:34:56.0000000001Z",
        "2000-02-29T12:34:560Z",
        "2000-02-29T24:00:00Z",
        "2000-02-29T12:60:00Z",
        "2000-02-29T12:34:60Z",
        "2000-00-29T12:34:56Z",
        "2000-13-29T12:34:56Z",
        "2000-02-00T12:34:56Z",
        "2000-02-30T12:34:56Z",
        "1900-02-28T12:34:56Z",
        "2001-02-29T12:34:56Z",
        "2100-02-29T12:34:56Z",
        "2001-04-31T12:34:56Z",
        "2001-12-32T12:34:56Z",
        "1969-12-31T23:59:59Z",
        "+000-02-29T12:34:56Z",
        "-200-02-29T12:34:56Z",
        "2000-2-29T012:34:56Z",
        "2000-02-29T1a:34:56Z",
        " 2000-02-29T12:34:56Z",
        "2000-02-29T12:34:56Z ",
    };
    int64_t ms;
    for (size_t i = 0; i < TW_COUNT(refused); i++)
        if (tw_time_parse(tw_str_of(refused[i]), &ms))
            fail_msg("accepted %s", refused[i]);
    assert_false(tw_time_parse(tw_str_of(NULL), &ms));
}

// Every day of the calendar, and what tw_iso8601_utc writes is read back.
static void test_times_round_trip(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 2932897; day++) {
        int64_t given_ms = day * 86400000 + (int64_t)kit_below(86400000), ms = -1;
        char text[TW_ISO8601_LEN];
        tw_iso8601_utc(given_ms, text);
        assert_true(tw_time_parse((struct tw_str){text, sizeof text}, &ms));
        assert_int_equal(ms, given_ms);
    }
}

// Of all the dates that can be written, as many as the calendar has.
static void test_number_of_days(void **state)
{
    (void)state;
    unsigned days = 0;
    int64_t ms;
    for (unsigned year = 1970; year < 10000; year++)
        for (unsigned i = 0; i < 100 * 40; i++) {
            char text[32];
            unsigned month = i / 40, day = i % 40;
            if (month > 14) // refused by its digits alone
                break;
            text[0] = (char)('0' + year / 1000);
            text[1] = (char)('0' + year / 100 % 10);
            text[2] = (char)('0' + year / 10 % 10);
            text[3] = (char)('0' + year % 10);
            memcpy(text + 4, "-mm-ddT23:59:59Z", 17);
            text[5] = (char)('0' + month / 10);
            text[6] = (char)('0' + month % 10);
            text[8] = (char)('0' + day / 10);
            text[9] = (char)('0' + day % 10);
            days += tw_time_parse((struct tw_str){text, 20}, &ms);
        }
    assert_int_equal(days, 2932897); // 1970-01-01 to 9999-12-31
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_values, req_end),
        cmocka_unit_test_teardown(test_limits_count_decoded_bytes, req_end),
        cmocka_unit_test_teardown(test_refused, req_end),
        cmocka_unit_test_teardown(test_odd_names, req_end),
        cmocka_unit_test_teardown(test_round_trip, req_end),
        cmocka_unit_test(test_list_limit),
        cmocka_unit_test_teardown(test_path_uuid, req_end),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_refused_times),
        cmocka_unit_test(test_times_round_trip),
        cmocka_unit_test(test_number_of_days),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}

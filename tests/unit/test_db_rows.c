// SPDX-License-Identifier: Apache-2.0
// db_rows: parameters against PostgreSQL's binary format byte by byte; rows and arrays out of a
// PGresult made here, fed with what the parameters' side wrote.
#include "tests/unit/test_kit.h"

#include <libpq-fe.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/db_rows.h"

#define BYTES(literal) TW_STR(literal)

static const struct tw_uuid sample_uuid = {{0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98,
                                            0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f}};
#define SAMPLE_UUID_BYTES "\x01\x7f\x22\xe2\x79\xb0\x7c\xc3\x98\xc4\xdc\x0c\x0c\x07\x39\x8f"

static struct tw_str value_of(const struct tw_params *params, unsigned i)
{
    if (params->lengths[i] < 0)
        return (struct tw_str){NULL, 0};
    return (struct tw_str){params->bytes + params->offsets[i], (size_t)params->lengths[i]};
}

static void assert_value(const struct tw_params *params, unsigned i, struct tw_str expected)
{
    assert_true(i < params->n);
    assert_int_equal(params->lengths[i], expected.n);
    assert_memory_equal(value_of(params, i).p, expected.p, expected.n);
}

// ---- parameters ---------------------------------------------------------------------------------

static void test_scalars(void **state)
{
    (void)state;
    char buffer[512];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof buffer);
    tw_param_null(&params);
    tw_param_str(&params, TW_STR("caf\xc3\xa9"));
    tw_param_str(&params, TW_STR(""));
    tw_param_str(&params, tw_str_of(NULL));
    tw_param_optional(&params, tw_str_of(NULL));
    tw_param_optional(&params, TW_STR(""));
    tw_param_uuid(&params, &sample_uuid);
    tw_param_i32(&params, -2);
    tw_param_i64(&params, INT64_C(0x0102030405060708));
    tw_param_i64(&params, INT64_MIN);
    tw_param_bool(&params, true);
    tw_param_bool(&params, false);
    tw_param_time(&params, INT64_C(946684800000)); // PostgreSQL's zero
    tw_param_time(&params, INT64_C(946684799999));
    tw_param_time(&params, INT64_C(946684801001));
    assert_false(params.failed);
    assert_int_equal(params.n, 15);
    assert_int_equal(params.lengths[0], -1);
    assert_value(&params, 1, BYTES("caf\xc3\xa9"));
    assert_value(&params, 2, BYTES(""));
    assert_value(&params, 3, BYTES(""));
    assert_int_equal(params.lengths[4], -1);
    assert_value(&params, 5, BYTES(""));
    assert_value(&params, 6, BYTES(SAMPLE_UUID_BYTES));
    assert_value(&params, 7, BYTES("\xff\xff\xff\xfe"));
    assert_value(&params, 8, BYTES("\1\2\3\4\5\6\7\x08"));
    assert_value(&params, 9, BYTES("\x80\0\0\0\0\0\0\0"));
    assert_value(&params, 10, BYTES("\1"));
    assert_value(&params, 11, BYTES("\0"));
    assert_value(&params, 12, BYTES("\0\0\0\0\0\0\0\0"));
    assert_value(&params, 13, BYTES("\xff\xff\xff\xff\xff\xff\xfc\x18")); // -1000 us
    assert_value(&params, 14, BYTES("\0\0\0\0\0\x0f\x46\x28"));           // 1001000 us
    assert_null(params.heap);
    tw_params_free(&params);
}

// array_recv: dimensions, flag, element type, then length and lower bound, then each element
// behind its length.
static void test_arrays(void **state)
{
    (void)state;
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof buffer);
    tw_param_i32(&params, 9);
    tw_param_array(&params, TW_ARRAY_TEXT, 3);
    tw_param_str(&params, TW_STR("ab"));
    tw_param_null(&params);
    tw_param_optional(&params, TW_STR(""));
    tw_param_array_end(&params);
    tw_param_array(&params, TW_ARRAY_I64, 0);
    tw_param_array_end(&params);
    tw_param_array(&params, TW_ARRAY_UUID, 1);
    tw_param_uuid(&params, &sample_uuid);
    tw_param_array_end(&params);
    tw_param_i32(&params, 8); // a parameter of its own again
    assert_false(params.failed);
    assert_int_equal(params.n, 5);
    assert_value(&params, 1,
                 BYTES("\0\0\0\1\0\0\0\1\0\0\0\x19\0\0\0\3\0\0\0\1"
                       "\0\0\0\2"
                       "ab\xff\xff\xff\xff\0\0\0\0"));
    assert_value(&params, 2, BYTES("\0\0\0\0\0\0\0\1\0\0\0\x14"));
    assert_value(&params, 3,
                 BYTES("\0\0\0\1\0\0\0\1\0\0\x0b\x86\0\0\0\1\0\0\0\1"
                       "\0\0\0\x10" SAMPLE_UUID_BYTES));
    assert_value(&params, 4, BYTES("\0\0\0\x08"));
    tw_params_free(&params);
}

// SELECT oid, typname FROM pg_type: uuid 2950, text 25, bytea 17, int4 23, int8 20, timestamptz
// 1184
static void test_element_types(void **state)
{
    (void)state;
    static const struct {
        enum tw_array_of type;
        struct tw_str oid;
    } types[] = {
        {TW_ARRAY_UUID, {"\0\0\x0b\x86", 4}}, {TW_ARRAY_TEXT, {"\0\0\0\x19", 4}},
        {TW_ARRAY_BYTEA, {"\0\0\0\x11", 4}},  {TW_ARRAY_I32, {"\0\0\0\x17", 4}},
        {TW_ARRAY_I64, {"\0\0\0\x14", 4}},    {TW_ARRAY_TIME, {"\0\0\x04\xa0", 4}},
    };
    for (size_t i = 0; i < TW_COUNT(types); i++) {
        char buffer[64];
        struct tw_params params;
        tw_params_init(&params, buffer, sizeof buffer);
        tw_param_array(&params, types[i].type, 0);
        tw_param_array_end(&params);
        assert_memory_equal(value_of(&params, 0).p + 8, types[i].oid.p, 4);
        tw_params_free(&params);
    }
}

// From the caller's bytes to the heap at every possible size: nothing is lost on the way, and
// nothing is written behind the caller's buffer.
static void test_growth(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= 96; cap++) {
        char *buffer = malloc(cap + 1);
        struct tw_params params;
        assert_non_null(buffer);
        buffer[cap] = '#';
        tw_params_init(&params, buffer, cap);
        tw_param_str(&params, TW_STR("first"));
        tw_param_array(&params, TW_ARRAY_I32, 2);
        tw_param_i32(&params, 1);
        tw_param_i32(&params, 2);
        tw_param_array_end(&params);
        tw_param_uuid(&params, &sample_uuid);
        assert_false(params.failed);
        assert_true(buffer[cap] == '#');
        assert_int_equal(params.heap != NULL, cap < 5 + 20 + 16 + 16);
        assert_value(&params, 0, BYTES("first"));
        assert_value(&params, 1,
                     BYTES("\0\0\0\1\0\0\0\1\0\0\0\x17\0\0\0\2\0\0\0\1"
                           "\0\0\0\4\0\0\0\1\0\0\0\4\0\0\0\2"));
        assert_value(&params, 2, BYTES(SAMPLE_UUID_BYTES));
        tw_params_free(&params);
        tw_params_free(&params); // a second time does no harm
        free(buffer);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof buffer);
    for (int32_t i = 0; i < TW_PARAMS_MAX; i++)
        tw_param_i32(&params, i);
    assert_false(params.failed);
    tw_param_i32(&params, 7);
    assert_true(params.failed);
    tw_param_array(&params, TW_ARRAY_I32, 1); // goes on without harm
    tw_param_i32(&params, 7);
    tw_param_array_end(&params);
    assert_true(params.failed);
    assert_int_equal(params.n, TW_PARAMS_MAX);
    tw_params_free(&params);
}

// More than the protocol's 2 GiB is refused without being copied.
static void test_too_large(void **state)
{
    (void)state;
    char buffer[64];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof buffer);
    tw_param_str(&params, (struct tw_str){buffer, (size_t)INT32_MAX + 1});
    assert_true(params.failed);
    tw_params_free(&params);
    tw_params_init(&params, buffer, sizeof buffer);
    tw_param_array(&params, TW_ARRAY_TEXT, 2);
    tw_param_str(&params, (struct tw_str){buffer, (size_t)INT32_MAX});
    assert_true(params.failed);
    tw_param_str(&params, TW_STR("b"));
    tw_param_array_end(&params);
    assert_true(params.failed);
    tw_params_free(&params);
}

// ---- rows ---------------------------------------------------------------------------------------

static PGresult *result;

static const struct tw_rows *rows(void)
{
    static struct tw_rows all;
    all = (struct tw_rows){result, 0, PQntuples(result)};
    return &all;
}

// One row of these values; p NULL is SQL NULL.
static void make_row(const struct tw_str *values, int n)
{
    PGresAttDesc columns[TW_PARAMS_MAX];
    memset(columns, 0, sizeof columns);
    static char name[] = "c";
    for (int i = 0; i < n; i++) {
        columns[i].name = name;
        columns[i].format = 1;
    }
    PQclear(result);
    result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_non_null(result);
    assert_true(PQsetResultAttrs(result, n, columns));
    for (int i = 0; i < n; i++) {
        char copy[256];
        assert_true(values[i].n <= sizeof copy);
        memcpy(copy, values[i].p ? values[i].p : "", values[i].n);
        assert_true(PQsetvalue(result, 0, i, values[i].p ? copy : NULL,
                               values[i].p ? (int)values[i].n : -1));
    }
}

static void make_row_of(const struct tw_params *params)
{
    struct tw_str values[TW_PARAMS_MAX];
    for (unsigned i = 0; i < params->n; i++)
        values[i] = value_of(params, i);
    make_row(values, (int)params->n);
}

static int clear_result(void **state)
{
    (void)state;
    PQclear(result);
    result = NULL;
    return 0;
}

static void test_scalars_come_back(void **state)
{
    (void)state;
    char buffer[512];
    for (int i = 0; i < 20000; i++) {
        struct tw_params params;
        int64_t wide = kit_random_i64(), ms = kit_random_i64() >> 12;
        tw_params_init(&params, buffer, sizeof buffer);
        tw_param_i64(&params, wide);
        tw_param_i32(&params, (int32_t)wide);
        tw_param_bool(&params, wide & 1);
        tw_param_time(&params, ms);
        tw_param_uuid(&params, &sample_uuid);
        tw_param_str(&params, TW_STR("a\0b"));
        make_row_of(&params);
        assert_int_equal(tw_rows_count(rows()), 1);
        assert_int_equal(tw_row_i64(rows(), 0, 0), wide);
        assert_int_equal(tw_row_i32(rows(), 0, 1), (int32_t)wide);
        assert_int_equal(tw_row_bool(rows(), 0, 2), wide & 1);
        assert_int_equal(tw_row_unix_ms(rows(), 0, 3), ms);
        struct tw_uuid uuid = tw_row_uuid(rows(), 0, 4);
        assert_memory_equal(uuid.bytes, sample_uuid.bytes, 16);
        assert_true(tw_str_eq(tw_row_str(rows(), 0, 5), TW_STR("a\0b")));
        tw_params_free(&params);
    }
}

static void test_nulls(void **state)
{
    (void)state;
    struct tw_str values[] = {{NULL, 0}, TW_STR("")};
    static const struct tw_uuid zero;
    make_row(values, 2);
    assert_true(tw_row_is_null(rows(), 0, 0));
    assert_false(tw_row_is_null(rows(), 0, 1));
    assert_null(tw_row_str(rows(), 0, 0).p);
    assert_non_null(tw_row_str(rows(), 0, 1).p);
    assert_int_equal(tw_row_i64(rows(), 0, 0), 0);
    assert_int_equal(tw_row_i32(rows(), 0, 0), 0);
    assert_false(tw_row_bool(rows(), 0, 0));
    struct tw_uuid uuid = tw_row_uuid(rows(), 0, 0);
    assert_memory_equal(uuid.bytes, zero.bytes, 16);
    struct tw_array array = tw_row_array(rows(), 0, 0);
    struct tw_str element;
    assert_int_equal(array.left, 0);
    assert_false(tw_array_next(&array, &element));
}

// Microseconds are cut towards the past, also before 2000 and before 1970.
static void test_times_and_dates(void **state)
{
    (void)state;
    struct tw_str values[] = {
        TW_STR("\0\0\0\0\0\0\x03\xe7"),             // 999 us
        TW_STR("\xff\xff\xff\xff\xff\xff\xff\xff"), // -1 us
        TW_STR("\xff\xff\xff\xff\xff\xff\xfc\x18"), // -1000 us
        TW_STR("\xff\xff\xff\xff\xff\xff\xfc\x17"), // -1001 us
        TW_STR("\0\0\0\0"),                         // 2000-01-01
        TW_STR("\xff\xff\xd5\x33"),                 // 1970-01-01
    };
    make_row(values, TW_COUNT(values));
    assert_int_equal(tw_row_unix_ms(rows(), 0, 0), INT64_C(946684800000));
    assert_int_equal(tw_row_unix_ms(rows(), 0, 1), INT64_C(946684799999));
    assert_int_equal(tw_row_unix_ms(rows(), 0, 2), INT64_C(946684799999));
    assert_int_equal(tw_row_unix_ms(rows(), 0, 3), INT64_C(946684799998));
    assert_int_equal(tw_row_unix_day(rows(), 0, 4), 10957);
    assert_int_equal(tw_row_unix_day(rows(), 0, 5), 0);
}

static void test_arrays_come_back(void **state)
{
    (void)state;
    char buffer[512];
    struct tw_params params;
    struct tw_str element;
    tw_params_init(&params, buffer, sizeof buffer);
    tw_param_array(&params, TW_ARRAY_I64, 3);
    tw_param_i64(&params, INT64_MIN);
    tw_param_null(&params);
    tw_param_i64(&params, 5);
    tw_param_array_end(&params);
    tw_param_array(&params, TW_ARRAY_TEXT, 3);
    tw_param_str(&params, TW_STR("x"));
    tw_param_null(&params);
    tw_param_str(&params, TW_STR(""));
    tw_param_array_end(&params);
    tw_param_array(&params, TW_ARRAY_UUID, 1);
    tw_param_uuid(&params, &sample_uuid);
    tw_param_array_end(&params);
    tw_param_array(&params, TW_ARRAY_I32, 0);
    tw_param_array_end(&params);
    tw_param_array(&params, TW_ARRAY_I32, 1);
    tw_param_i32(&params, -3);
    tw_param_array_end(&params);
    make_row_of(&params);

    struct tw_array array = tw_row_array(rows(), 0, 0);
    assert_int_equal(array.left, 3);
    assert_int_equal(tw_array_next_i64(&array), INT64_MIN);
    assert_int_equal(tw_array_next_i64(&array), 0);
    assert_int_equal(tw_array_next_i64(&array), 5);
    assert_int_equal(tw_array_next_i64(&array), 0);
    array = tw_row_array(rows(), 0, 1);
    assert_true(tw_array_next(&array, &element) && tw_str_eq(element, TW_STR("x")));
    assert_true(tw_array_next(&array, &element) && element.p == NULL);
    assert_true(tw_array_next(&array, &element) && element.p != NULL && element.n == 0);
    assert_false(tw_array_next(&array, &element));
    assert_null(tw_array_next_str(&array).p);
    array = tw_row_array(rows(), 0, 2);
    struct tw_uuid uuid = tw_array_next_uuid(&array);
    assert_memory_equal(uuid.bytes, sample_uuid.bytes, 16);
    array = tw_row_array(rows(), 0, 3);
    assert_int_equal(array.left, 0);
    assert_false(tw_array_next(&array, &element));
    array = tw_row_array(rows(), 0, 4);
    assert_int_equal(tw_array_next_i32(&array), -3);
    tw_params_free(&params);
}

// ---- defects of ours ----------------------------------------------------------------------------

static void read_narrow_as_wide(void)
{
    (void)tw_row_i64(rows(), 0, 0);
}

static void read_wide_as_narrow(void)
{
    (void)tw_row_i32(rows(), 0, 1);
}

static void read_number_as_uuid(void)
{
    (void)tw_row_uuid(rows(), 0, 1);
}

static void read_text_elements_as_numbers(void)
{
    struct tw_array array = tw_row_array(rows(), 0, 2);
    (void)tw_array_next_i64(&array);
}

// An array whose last element says that it is longer than what came.
static void read_cut_array(void)
{
    struct tw_array array = tw_row_array(rows(), 0, 3);
    (void)tw_array_next_str(&array);
}

static void assert_aborts(void (*defect)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO); // the assertion's text is no news
        signal(SIGABRT, SIG_DFL);
        defect();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_wrong_types_abort(void **state)
{
    (void)state;
    struct tw_str values[] = {
        TW_STR("\0\0\0\1"),
        TW_STR("\0\0\0\0\0\0\0\1"),
        TW_STR("\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\1\0\0\0\1\0\0\0\1x"),
        TW_STR("\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\1\0\0\0\1\0\0\0\x02x"),
    };
    make_row(values, TW_COUNT(values));
    assert_aborts(read_narrow_as_wide);
    assert_aborts(read_wide_as_narrow);
    assert_aborts(read_number_as_uuid);
    assert_aborts(read_text_elements_as_numbers);
    assert_aborts(read_cut_array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_element_types),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test_teardown(test_scalars_come_back, clear_result),
        cmocka_unit_test_teardown(test_nulls, clear_result),
        cmocka_unit_test_teardown(test_times_and_dates, clear_result),
        cmocka_unit_test_teardown(test_arrays_come_back, clear_result),
        cmocka_unit_test_teardown(test_wrong_types_abort, clear_result),
    };
    return cmocka_run_group_tests_name("db_rows", tests, NULL, NULL);
}

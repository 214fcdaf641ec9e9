// SPDX-License-Identifier: Apache-2.0
// schema: a body against a table; every fault with its pointer, nothing unknown, no bombs (FAULTS
// B3 to B5).
#include "tests/unit/test_req_kit.h"

#include "handlers/schema.h"

#include <time.h>

struct line {
    struct tw_optional_uuid id;
    struct tw_number quantity;
};

struct order {
    struct tw_str name, key;
    struct tw_number total, rate;
    struct tw_optional_uuid id;
    struct tw_list lines;
    struct tw_optional_bool parked;
    bool key_is_null;
};

static const struct tw_field line_fields[] = {
    {.name = "id", .type = TW_FIELD_UUID, .offset = offsetof(struct line, id), .required = true},
    {.name = "quantity",
     .type = TW_FIELD_QUANTITY,
     .offset = offsetof(struct line, quantity),
     .min = 1,
     .max = 1000000,
     .not_null = true},
};
static const struct tw_schema line_schema = {line_fields, TW_COUNT(line_fields),
                                             sizeof(struct line)};
static const struct tw_field order_fields[] = {
    {.name = "name",
     .type = TW_FIELD_TEXT,
     .offset = offsetof(struct order, name),
     .required = true,
     .min = 1,
     .max = 10},
    {.name = "key",
     .type = TW_FIELD_TOKEN,
     .offset = offsetof(struct order, key),
     .max = 8,
     .null_at = offsetof(struct order, key_is_null)},
    {.name = "parked", .type = TW_FIELD_BOOL, .offset = offsetof(struct order, parked)},
    {.name = "total",
     .type = TW_FIELD_MONEY,
     .offset = offsetof(struct order, total),
     .max = 100000},
    {.name = "rate", .type = TW_FIELD_RATE, .offset = offsetof(struct order, rate), .max = 1000000},
    {.name = "id", .type = TW_FIELD_UUID, .offset = offsetof(struct order, id)},
    {.name = "lines",
     .type = TW_FIELD_LIST,
     .offset = offsetof(struct order, lines),
     .max = 3,
     .element = &line_schema},
    {.name = "createdAt", .type = TW_FIELD_READ_ONLY},
};
static const struct tw_schema order_schema = {order_fields, TW_COUNT(order_fields),
                                              sizeof(struct order)};

static struct order order;

static bool parse(struct tw_str body)
{
    struct tw_verdict verdict;
    req_begin();
    req.body = body;
    memset(&order, 0xA5, sizeof order);
    bool parsed = tw_body_parse(&req, &order_schema, &order, &verdict);
    assert_int_equal(answer.n, parsed ? 0 : 1);
    assert_true(parsed || verdict.kind == TW_VERDICT_ANSWERED);
    return parsed;
}

static void parse_ok(const char *body)
{
    if (!parse(tw_str_of(body)))
        fail_msg("refused %s: %s %s", body, answer.errors[0].pointer, answer.errors[0].code);
}

// The body has this fault and no other.
static void assert_fault(const char *body, const char *pointer, const char *code)
{
    if (parse(tw_str_of(body)))
        fail_msg("accepted %s", body);
    assert_int_equal(answer.status, TW_VALIDATION_FAILED);
    if (answer.n_errors != 1 || strcmp(answer.errors[0].pointer, pointer) != 0 ||
        strcmp(answer.errors[0].code, code) != 0)
        fail_msg("%s: %zu faults, the first %s %s", body, answer.n_errors, answer.errors[0].pointer,
                 answer.errors[0].code);
}

static void assert_malformed(struct tw_str body)
{
    if (parse(body))
        fail_msg("accepted %.*s", (int)body.n, body.p);
    assert_int_equal(answer.status, TW_MALFORMED_JSON);
    assert_int_equal(answer.n_errors, 0);
}

// ---- values -------------------------------------------------------------------------------------

static void test_everything(void **state)
{
    (void)state;
    parse_ok("{\"name\":\"caf\xc3\xa9\",\"key\":\"a-B_1.:\",\"total\":12.5,\"rate\":0.2,"
             "\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"createdAt\":{\"any\":[1]},"
             "\"lines\":[{\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c073990\",\"quantity\":1.5},"
             "{\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c073991\"}]}");
    kit_assert_str(order.name, "caf\xc3\xa9");
    kit_assert_str(order.key, "a-B_1.:");
    assert_true(order.total.present && order.total.value == 1250);
    assert_true(order.rate.present && order.rate.value == 200000);
    assert_true(order.id.present && order.id.value.bytes[15] == 0x8f);
    assert_int_equal(order.lines.n, 2);
    const struct line *lines = order.lines.items;
    assert_true(lines[0].id.value.bytes[15] == 0x90 && lines[0].quantity.value == 1500);
    assert_true(lines[1].id.value.bytes[15] == 0x91 && !lines[1].quantity.present);
}

// null is as good as nothing.
static void test_absent(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"name\":\"x\"}", "{\"name\":\"x\",\"key\":null,\"total\":null,\"rate\":null,\"id\":null,"
                            "\"lines\":null,\"createdAt\":null}"};
    for (size_t i = 0; i < TW_COUNT(bodies); i++) {
        parse_ok(bodies[i]);
        assert_null(order.key.p);
        assert_false(order.total.present || order.rate.present || order.id.present);
        assert_int_equal(order.lines.n, 0);
    }
    assert_fault("{}", "/name", "required");
    assert_fault("{\"name\":null}", "/name", "required");
    parse_ok("{\"name\":\"x\",\"lines\":[]}");
    assert_int_equal(order.lines.n, 0);
}

// What a merge patch needs: null is told from absent where the table asks for it, only there.
static void test_null(void **state)
{
    (void)state;
    parse_ok("{\"name\":\"x\"}");
    assert_false(order.key_is_null || order.parked.present);
    parse_ok("{\"name\":\"x\",\"key\":null,\"parked\":null,\"id\":null}");
    assert_true(order.key_is_null && !order.key.p);
    assert_false(order.parked.present || order.id.present);
    parse_ok("{\"name\":\"x\",\"key\":\"k\",\"parked\":true}");
    assert_true(!order.key_is_null && order.key.n == 1 && order.parked.value);
    parse_ok("{\"name\":\"x\",\"parked\":false}");
    assert_true(order.parked.present && !order.parked.value);
    assert_fault("{\"name\":\"x\",\"lines\":[{\"id\":\"017f22e2-79b0-7cc3-98c4-dc0c0c073990\","
                 "\"quantity\":null}]}",
                 "/lines/0/quantity", "required");
    assert_fault("{\"name\":\"x\",\"parked\":1}", "/parked", "type");
    assert_fault("{\"name\":\"x\",\"parked\":\"true\"}", "/parked", "type");
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *pointer, *code;
    } cases[] = {
        {"\"key\":\"a b\"", "/key", "format"},
        {"\"key\":\"caf\xc3\xa9\"", "/key", "format"},
        {"\"key\":\"123456789\"", "/key", "length"},
        {"\"key\":7", "/key", "type"},
        {"\"total\":\"12.50\"", "/total", "type"},
        {"\"total\":true", "/total", "type"},
        {"\"total\":12.345", "/total", "decimals"},
        {"\"total\":1000.01", "/total", "range"},
        {"\"total\":-0.01", "/total", "range"},
        {"\"total\":-0.0", "/total", "range"},
        {"\"total\":1e300", "/total", "range"},
        {"\"total\":9223372036854775807", "/total", "range"},
        {"\"rate\":0.0000001", "/rate", "decimals"},
        {"\"rate\":1.000001", "/rate", "range"},
        {"\"id\":\"017f22e2\"", "/id", "format"},
        {"\"id\":1", "/id", "type"},
        {"\"id\":\"\"", "/id", "format"},
        {"\"lines\":{}", "/lines", "type"},
        {"\"lines\":[1,2,3,4]", "/lines", "length"},
        {"\"lines\":[7]", "/lines/0", "type"},
        {"\"lines\":[null]", "/lines/0", "type"},
        {"\"lines\":[{}]", "/lines/0/id", "required"},
        {"\"Total\":1", "/Total", "unknown"},
        {"\"a/b~c\":1", "/a~1b~0c", "unknown"},
        {"\"\":1", "/", "unknown"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"name\":\"x\",%s}", cases[i].rest);
        assert_fault(body, cases[i].pointer, cases[i].code);
    }
    assert_fault("{\"name\":\"\"}", "/name", "length");
    assert_fault("{\"name\":\"12345678901\"}", "/name", "length");
    assert_fault("{\"name\":{}}", "/name", "type");
    assert_fault("[]", "", "type");
}

static void test_all_faults_at_once(void **state)
{
    (void)state;
    assert_false(parse(TW_STR("{\"total\":\"x\",\"key\":\" \",\"discuont\":1,\"lines\":"
                              "[{\"quantity\":0},{\"id\":\"x\",\"quantity\":0.0001}]}")));
    static const char *const pointers[] = {"/name",
                                           "/key",
                                           "/total",
                                           "/lines/0/id",
                                           "/lines/0/quantity",
                                           "/lines/1/id",
                                           "/lines/1/quantity",
                                           "/discuont"};
    assert_int_equal(answer.n_errors, TW_COUNT(pointers));
    for (size_t i = 0; i < TW_COUNT(pointers); i++)
        assert_string_equal(answer.errors[i].pointer, pointers[i]);
    assert_string_equal(answer.errors[4].detail, "Must be from 0.001 to 1000.000.");
}

// The currency decides how many decimals an amount has.
static void test_decimals_of_the_currency(void **state)
{
    (void)state;
    static const struct {
        unsigned decimals;
        const char *good, *bad;
        int64_t value;
    } cases[] = {{0, "12", "12.5", 12}, {2, "12.34", "12.345", 1234}, {3, "1.234", "1.2345", 1234}};
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        char body[64];
        req_config.pos_currency_decimals = cases[i].decimals;
        snprintf(body, sizeof body, "{\"name\":\"x\",\"total\":%s}", cases[i].good);
        parse_ok(body);
        assert_int_equal(order.total.value, cases[i].value);
        snprintf(body, sizeof body, "{\"name\":\"x\",\"total\":%s}", cases[i].bad);
        assert_fault(body, "/total", "decimals");
    }
    req_config.pos_currency_decimals = 2;
}

// ---- bytes --------------------------------------------------------------------------------------

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        " ",
        "{",
        "{\"name\":\"x\"",
        "{\"name\":\"x\"}}",
        "{\"name\":\"x\"} x",
        "{\"name\":\"x\",}",
        "{'name':'x'}",
        "{name:1}",
        "null",
        "1",
        "\"x\"",
        "{\"name\":\"x\",\"name\":\"x\"}",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"\\u0000\"}",
        "{\"name\":\"\xff\"}",
        "{\"name\":\"\xc0\x80\"}",
        "{\"name\":\"\xed\xa0\x80\"}",
        "{\"name\":\"a\nb\"}",
        "{\"total\":01}",
        "{\"total\":1.}",
        "{\"total\":.5}",
        "{\"total\":+1}",
        "{\"total\":NaN}",
        "{\"total\":Infinity}",
        "\xef\xbb\xbf{\"name\":\"x\"}",
        "{\"caf\xc3\":1}",
        "// {}",
    };
    for (size_t i = 0; i < TW_COUNT(bodies); i++)
        assert_malformed(tw_str_of(bodies[i]));
    assert_malformed(tw_str_of(NULL));
    assert_malformed(TW_STR("{\"name\":\"x\0\"}"));
    assert_malformed(TW_STR("{\"name\":\"x\"}\0"));
}

// Depth 32 is read, 33 is not; brackets in strings do not count, whatever their quotes look like.
static void test_depth(void **state)
{
    (void)state;
    char body[256];
    for (unsigned depth = 30; depth <= 36; depth++) {
        size_t n = (size_t)snprintf(body, sizeof body, "{\"name\":\"x\",\"createdAt\":");
        memset(body + n, '[', depth - 1);
        memset(body + n + depth - 1, ']', depth - 1);
        memcpy(body + n + 2 * (depth - 1), "}", 2);
        if (depth <= 32)
            parse_ok(body);
        else
            assert_malformed(tw_str_of(body));
    }
    parse_ok("{\"name\":\"x\",\"createdAt\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}");
    parse_ok("{\"name\":\"x\",\"createdAt\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\\\"}");
    parse_ok("{\"name\":\"x\",\"createdAt\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
             "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}");
    char *bomb = malloc(1 << 20);
    assert_non_null(bomb);
    memset(bomb, '[', 1 << 20);
    assert_malformed((struct tw_str){bomb, 1 << 20});
    free(bomb);
}

static void test_bombs_are_cheap(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024 };
    char *body = malloc(SIZE + 64);
    assert_non_null(body);
    size_t n = (size_t)snprintf(body, SIZE, "{\"name\":\"x\"");
    for (unsigned i = 0; n < SIZE; i++)
        n += (size_t)snprintf(body + n, 32, ",\"k%u\":{}", i);
    body[n++] = '}';
    clock_t began = clock();
    assert_false(parse((struct tw_str){body, n}));
    assert_int_equal(answer.status, TW_VALIDATION_FAILED);
    assert_int_equal(answer.n_errors, 50); // enough is enough
    memset(body, '9', SIZE);
    memcpy(body, "{\"total\":", 9);
    body[SIZE] = '}';
    assert_false(parse((struct tw_str){body, SIZE + 1}));
    // Of CPU time: ten times the promise, for the sanitizers.
    assert_true(clock() - began < CLOCKS_PER_SEC / 2);
    free(body);
}

// Names of any length in any alphabet: pointers are cut, yet stay text (the kit looks).
static void test_long_names(void **state)
{
    (void)state;
    static const char *const letters[] = {"n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa5\x9b", "~"};
    for (size_t i = 0; i < TW_COUNT(letters); i++)
        for (size_t length = 1; length < 200; length++) {
            char body[1024];
            size_t n = (size_t)snprintf(body, sizeof body, "{\"name\":\"x\",\"");
            for (size_t j = 0; j < length; j++)
                n += (size_t)snprintf(body + n, sizeof body - n, "%s", letters[i]);
            n += (size_t)snprintf(body + n, sizeof body - n, "\":1}");
            assert_false(parse((struct tw_str){body, n}));
            assert_int_equal(answer.status, TW_VALIDATION_FAILED);
            assert_string_equal(answer.errors[0].code, "unknown");
            assert_int_equal(answer.errors[0].pointer[0], '/');
        }
}

// An element's faults are its own, and their pointers begin at it.
static void test_each(void **state)
{
    (void)state;
    struct tw_parsed *parsed;
    struct tw_verdict verdict;
    size_t n;
    req_begin();
    req.body = TW_STR(
        "[{\"name\":\"a\"},{\"total\":\"x\",\"q\":1},7,null,{\"name\":\"b\",\"lines\":[{}]},"
        "{\"name\":\"c\",\"total\":1.5}]");
    assert_true(tw_body_parse_each(&req, &order_schema, 6, &parsed, &n, &verdict));
    assert_int_equal(n, 6);
    static const size_t faults[] = {0, 3, 1, 1, 1, 0};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(parsed[i].n_errors, faults[i]);
    kit_assert_str(((struct order *)parsed[0].value)->name, "a");
    kit_assert_str(parsed[1].errors[0].pointer, "/name");
    kit_assert_str(parsed[1].errors[1].pointer, "/total");
    kit_assert_str(parsed[1].errors[2].pointer, "/q");
    kit_assert_str(parsed[2].errors[0].pointer, "");
    assert_string_equal(parsed[3].errors[0].code, "type");
    kit_assert_str(parsed[4].errors[0].pointer, "/lines/0/id");
    assert_int_equal(((struct order *)parsed[5].value)->total.value, 150);

    static const struct {
        const char *body, *code; // NULL: not JSON
    } refused[] = {
        {"{}", "type"}, {"[]", "length"}, {"[1,2,3]", "length"}, {"[{}", NULL}, {"[-0]", "range"}};
    for (size_t i = 0; i < TW_COUNT(refused); i++) {
        req_begin();
        req.body = tw_str_of(refused[i].body);
        assert_false(tw_body_parse_each(&req, &order_schema, 2, &parsed, &n, &verdict));
        assert_int_equal(answer.n, 1);
        assert_int_equal(answer.status, refused[i].code ? TW_VALIDATION_FAILED : TW_MALFORMED_JSON);
        if (refused[i].code)
            assert_string_equal(answer.errors[0].code, refused[i].code);
    }
}

// Random changes to a good body: an answer or a parsed struct, never anything else.
static void test_mutations(void **state)
{
    (void)state;
    static const char good[] =
        "{\"name\":\"caf\xc3\xa9\",\"key\":\"k\",\"total\":12.5,\"rate\":2e-1,\"lines\":[{\"id\":"
        "\"017f22e2-79b0-7cc3-98c4-dc0c0c073990\",\"quantity\":1.5}]}";
    unsigned parsed = 0;
    for (int i = 0; i < 100000; i++) {
        char body[sizeof good];
        memcpy(body, good, sizeof good);
        for (uint64_t left = 1 + kit_below(3); left > 0; left--) {
            size_t at = kit_below(sizeof good - 1);
            body[at] = kit_below(2) ? (char)kit_below(256) : good[kit_below(sizeof good - 1)];
        }
        parsed += parse((struct tw_str){body, sizeof good - 1});
        assert_true(answer.n == 0 || answer.status == TW_MALFORMED_JSON ||
                    answer.status == TW_VALIDATION_FAILED);
    }
    assert_in_range(parsed, 1000, 90000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_all_faults_at_once),
        cmocka_unit_test(test_decimals_of_the_currency),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_bombs_are_cheap),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_each),
        cmocka_unit_test_teardown(test_mutations, req_end),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, req_end);
}

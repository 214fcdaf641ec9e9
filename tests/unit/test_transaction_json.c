// SPDX-License-Identifier: Apache-2.0
// transaction_json: a row as record_sales returns it becomes the documented transaction (DESIGN
// §5).
#include "tests/unit/test_kit.h"

#include <jansson.h>
#include <libpq-fe.h>

#include "handlers/transaction_json.h"

#define UUID_TEXT "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
enum { FIRST = 3, COLUMNS = 35 }; // as behind record_sales' three columns of verdict

static const struct tw_uuid id = {{0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4, 0xdc,
                                   0x0c, 0x0c, 0x07, 0x39, 0x8f}};
static bool is_exception; // whether the sale at hand was made offline, of what was not there and at
                          // another price
static const int64_t sold_ms = INT64_C(951827696789);

static void put_texts(struct tw_params *params, const char *a, const char *b)
{
    tw_param_array(params, TW_ARRAY_TEXT, 2);
    tw_param_optional(params, tw_str_of(a));
    tw_param_optional(params, tw_str_of(b));
    tw_param_array_end(params);
}

static void put_numbers(struct tw_params *params, int64_t a, int64_t b)
{
    tw_param_array(params, TW_ARRAY_I64, 2);
    tw_param_i64(params, a);
    tw_param_i64(params, b);
    tw_param_array_end(params);
}

// The columns in the order of db/queries/transaction_get.sql.
static void put_columns(struct tw_params *params)
{
    for (int i = 0; i < FIRST; i++)
        tw_param_null(params);
    tw_param_uuid(params, &id);
    tw_param_time(params, sold_ms + 1000);
    tw_param_time(params, sold_ms);
    tw_param_i32(params, 11016 - 10957); // 2000-02-29, in days since 2000
    tw_param_str(params, TW_STR("main"));
    tw_param_str(params, TW_STR("till-1"));
    tw_param_str(params, TW_STR("anna"));
    tw_param_str(params, TW_STR("EUR"));
    tw_param_bool(params, true);
    tw_param_i64(params, 1000);
    tw_param_i64(params, 50);
    tw_param_i64(params, 152);
    tw_param_i64(params, 950);
    tw_param_i64(params, 50);
    tw_param_str(params, TW_STR("split"));
    tw_param_str(params, TW_STR("completed"));
    tw_param_i64(params, 77);
    tw_param_array(params, TW_ARRAY_UUID, 2);
    tw_param_uuid(params, &id);
    tw_param_uuid(params, &id);
    tw_param_array_end(params);
    put_texts(params, "Milk \"3,5\"", "caf\xc3\xa9");
    put_numbers(params, 1500, 2000);
    put_numbers(params, 400, 200);
    put_numbers(params, 50, 0);
    tw_param_array(params, TW_ARRAY_I32, 2);
    tw_param_i32(params, 190000);
    tw_param_i32(params, 0);
    tw_param_array_end(params);
    put_numbers(params, 88, 0);
    put_numbers(params, 550, 400);
    put_texts(params, "cash", "card");
    put_numbers(params, 500, 500);
    put_texts(params, NULL, "A-1");
    if (is_exception)
        tw_param_uuid(params, &id);
    else
        tw_param_null(params);
    tw_param_i64(params, 50);
    tw_param_bool(params, is_exception);
    tw_param_bool(params, is_exception);
    if (is_exception)
        put_numbers(params, 0, 1500);
    else
        tw_param_null(params);
    tw_param_bool(params, is_exception);
    tw_param_bool(params, is_exception);
}

static PGresult *make_row(void)
{
    static char buffer[4096], name[] = "c";
    struct tw_params params;
    PGresAttDesc columns[TW_PARAMS_MAX];
    tw_params_init(&params, buffer, sizeof buffer);
    put_columns(&params);
    assert_false(params.failed);
    assert_int_equal(params.n, FIRST + COLUMNS);
    memset(columns, 0, sizeof columns);
    for (size_t i = 0; i < TW_COUNT(columns); i++)
        columns[i].name = name;
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_true(PQsetResultAttrs(result, (int)params.n, columns));
    for (unsigned i = 0; i < params.n; i++)
        assert_true(
            PQsetvalue(result, 0, (int)i, params.bytes + params.offsets[i], params.lengths[i]));
    tw_params_free(&params);
    return result;
}

static void assert_transaction(unsigned decimals, const char *expected)
{
    static char buffer[8192];
    struct tw_config config = {.pos_currency = "EUR", .pos_currency_decimals = decimals};
    struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
    PGresult *result = make_row();
    tw_json_transaction(&json, &config, &(struct tw_rows){result, 0, 1}, 0, FIRST);
    assert_false(json.failed);
    kit_assert_str((struct tw_str){json.p, json.n}, expected);
    json_t *parsed = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    PQclear(result);
}

static void test_two_decimals(void **state)
{
    (void)state;
    assert_transaction(
        2,
        "{\"transactionId\":\"" UUID_TEXT "\",\"timestamp\":\"2000-02-29T12:34:56.789Z\","
        "\"date\":\"2000-02-29\",\"items\":["
        "{\"productId\":\"" UUID_TEXT "\",\"name\":\"Milk \\\"3,5\\\"\",\"quantity\":1.5,"
        "\"unitPrice\":4.00,\"discount\":0.50,\"taxRate\":0.19,\"tax\":0.88,\"lineTotal\":5.50},"
        "{\"productId\":\"" UUID_TEXT "\",\"name\":\"caf\xc3\xa9\",\"quantity\":2,"
        "\"unitPrice\":2.00,\"discount\":0.00,\"taxRate\":0,\"tax\":0.00,\"lineTotal\":4.00}],"
        "\"subtotal\":10.00,\"discount\":0.50,\"discountTotal\":0.50,\"taxTotal\":1.52,\"total\":9."
        "50,"
        "\"currency\":\"EUR\",\"pricesIncludeTax\":true,\"cashierId\":\"anna\",\"customerId\":null,"
        "\"storeId\":\"main\",\"registerId\":\"till-1\",\"paymentMethod\":\"split\","
        "\"payments\":[{\"method\":\"cash\",\"amount\":5.00,\"reference\":null},"
        "{\"method\":\"card\",\"amount\":5.00,\"reference\":\"A-1\"}],\"change\":0.50,"
        "\"status\":\"completed\",\"receiptNumber\":77,"
        "\"offline\":false,\"stockException\":false,\"priceException\":false,\"amountException\":"
        "false,"
        "\"recordedAt\":\"2000-02-29T12:34:57.789Z\",\"refunds\":[]}");
}

// Yen have none, and quantities and rates have theirs all the same.
static void test_no_decimals(void **state)
{
    (void)state;
    assert_transaction(
        0,
        "{\"transactionId\":\"" UUID_TEXT "\",\"timestamp\":\"2000-02-29T12:34:56.789Z\","
        "\"date\":\"2000-02-29\",\"items\":["
        "{\"productId\":\"" UUID_TEXT "\",\"name\":\"Milk \\\"3,5\\\"\",\"quantity\":1.5,"
        "\"unitPrice\":400,\"discount\":50,\"taxRate\":0.19,\"tax\":88,\"lineTotal\":550},"
        "{\"productId\":\"" UUID_TEXT "\",\"name\":\"caf\xc3\xa9\",\"quantity\":2,"
        "\"unitPrice\":200,\"discount\":0,\"taxRate\":0,\"tax\":0,\"lineTotal\":400}],"
        "\"subtotal\":1000,\"discount\":50,\"discountTotal\":50,\"taxTotal\":152,\"total\":950,"
        "\"currency\":\"EUR\",\"pricesIncludeTax\":true,\"cashierId\":\"anna\",\"customerId\":null,"
        "\"storeId\":\"main\",\"registerId\":\"till-1\",\"paymentMethod\":\"split\","
        "\"payments\":[{\"method\":\"cash\",\"amount\":500,\"reference\":null},"
        "{\"method\":\"card\",\"amount\":500,\"reference\":\"A-1\"}],\"change\":50,"
        "\"status\":\"completed\",\"receiptNumber\":77,"
        "\"offline\":false,\"stockException\":false,\"priceException\":false,\"amountException\":"
        "false,"
        "\"recordedAt\":\"2000-02-29T12:34:57.789Z\",\"refunds\":[]}");
}

// What the stock lacked stands at the line, and whose customer it was at the sale.
static void test_an_exception(void **state)
{
    (void)state;
    is_exception = true;
    assert_transaction(
        0, "{\"transactionId\":\"" UUID_TEXT "\",\"timestamp\":\"2000-02-29T12:34:56.789Z\","
           "\"date\":\"2000-02-29\",\"items\":["
           "{\"productId\":\"" UUID_TEXT "\",\"name\":\"Milk \\\"3,5\\\"\",\"quantity\":1.5,"
           "\"unitPrice\":400,\"discount\":50,\"taxRate\":0.19,\"tax\":88,\"lineTotal\":550,"
           "\"shortage\":0},"
           "{\"productId\":\"" UUID_TEXT "\",\"name\":\"caf\xc3\xa9\",\"quantity\":2,"
           "\"unitPrice\":200,\"discount\":0,\"taxRate\":0,\"tax\":0,\"lineTotal\":400,"
           "\"shortage\":1.5}],"
           "\"subtotal\":1000,\"discount\":50,\"discountTotal\":50,\"taxTotal\":152,\"total\":950,"
           "\"currency\":\"EUR\",\"pricesIncludeTax\":true,\"cashierId\":\"anna\",\"customerId\":"
           "\"" UUID_TEXT "\","
           "\"storeId\":\"main\",\"registerId\":\"till-1\",\"paymentMethod\":\"split\","
           "\"payments\":[{\"method\":\"cash\",\"amount\":500,\"reference\":null},"
           "{\"method\":\"card\",\"amount\":500,\"reference\":\"A-1\"}],\"change\":50,"
           "\"status\":\"completed\",\"receiptNumber\":77,"
           "\"offline\":true,\"stockException\":true,\"priceException\":true,\"amountException\":"
           "true,"
           "\"recordedAt\":\"2000-02-29T12:34:57.789Z\",\"refunds\":[]}");
    is_exception = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_decimals),
        cmocka_unit_test(test_no_decimals),
        cmocka_unit_test(test_an_exception),
    };
    return cmocka_run_group_tests_name("transaction_json", tests, NULL, NULL);
}

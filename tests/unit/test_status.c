// SPDX-License-Identifier: Apache-2.0
// status: the table is whole, its codes are stable in form, unique, and found again by their text.
#include "tests/unit/test_kit.h"

#include "gateway/status.h"

static void test_rows(void **state)
{
    (void)state;
    for (int i = 0; i < TW_STATUS_COUNT; i++) {
        const struct tw_status_info *info = tw_status_info((enum tw_status)i);
        assert_non_null(info);
        assert_non_null(info->code);
        assert_true(strlen(info->title) > 0);
        assert_int_equal(strspn(info->code, "abcdefghijklmnopqrstuvwxyz-"), strlen(info->code));
        assert_true(i == TW_OK ? info->http == 200 : info->http >= 400 && info->http <= 599);
        // Who asks wrongly, be it in words we do not speak (501, 505), is no event of ours; what we
        // cannot do is.
        bool ours = info->http >= 500 && info->http != 501 && info->http != 505;
        assert_int_equal(ours, info->level >= TW_LEVEL_WARN);
        assert_int_equal(tw_status_by_code(tw_str_of(info->code)), i); // so it is unique, too
    }
}

// Parts of the API that clients and SQL lean on; to change one is to break them.
static void test_promised_rows(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        enum tw_status status;
        unsigned http;
    } promised[] = {
        {"ok", TW_OK, 200},
        {"malformed-json", TW_MALFORMED_JSON, 400},
        {"token-expired", TW_TOKEN_EXPIRED, 401},
        {"token-invalid", TW_TOKEN_INVALID, 401},
        {"forbidden", TW_FORBIDDEN, 403},
        {"method-not-allowed", TW_METHOD_NOT_ALLOWED, 405},
        {"body-missing", TW_BODY_MISSING, 400},
        {"body-unexpected", TW_BODY_UNEXPECTED, 400},
        {"not-acceptable", TW_NOT_ACCEPTABLE, 406},
        {"unsupported-media-type", TW_UNSUPPORTED_MEDIA_TYPE, 415},
        {"insufficient-stock", TW_INSUFFICIENT_STOCK, 409},
        {"payload-too-large", TW_PAYLOAD_TOO_LARGE, 413},
        {"total-mismatch", TW_TOTAL_MISMATCH, 422},
        {"idempotency-mismatch", TW_IDEMPOTENCY_MISMATCH, 422},
        {"quota-exceeded", TW_QUOTA_EXCEEDED, 429},
        {"outcome-unknown", TW_OUTCOME_UNKNOWN, 503},
        {"deadline-exceeded", TW_DEADLINE_EXCEEDED, 504},
    };
    for (size_t i = 0; i < TW_COUNT(promised); i++) {
        assert_int_equal(tw_status_by_code(tw_str_of(promised[i].code)), promised[i].status);
        assert_int_equal(tw_status_info(promised[i].status)->http, promised[i].http);
    }
}

static void test_what_is_no_status(void **state)
{
    (void)state;
    assert_int_equal(tw_status_by_code(TW_STR("")), TW_INTERNAL);
    assert_int_equal(tw_status_by_code(tw_str_of(NULL)), TW_INTERNAL);
    assert_int_equal(tw_status_by_code(TW_STR("OK")), TW_INTERNAL);
    assert_int_equal(tw_status_by_code(TW_STR("ok\0")), TW_INTERNAL);
    assert_int_equal(tw_status_by_code(TW_STR("insufficient-stoc")), TW_INTERNAL);
    assert_ptr_equal(tw_status_info(TW_STATUS_COUNT), tw_status_info(TW_INTERNAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_promised_rows),
        cmocka_unit_test(test_what_is_no_status),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// claims: the matrix of what a payload may say, and when. NOW and LEEWAY are fixed: no clock here.
#include "tests/unit/test_auth_kit.h"

#include "auth/claims.h"

#define NOW    INT64_C(1800000000)
#define LEEWAY 30

static const struct tw_claim_names names = {.groups = "cognito:groups", .store = "custom:storeId"};
static const char *const clients[] = {"till", "office"};
static const struct tw_issuer_rules rules = {.issuer = "https://issuer.example",
                                             .audiences = clients,
                                             .n_audiences = 2,
                                             .token_uses = TW_TOKEN_USE_ACCESS};

static const char *parse(const char *payload, struct tw_claims *out)
{
    return tw_claims_parse(tw_str_of(payload), &names, out);
}

static void expect_parse(const char *payload, const char *expected)
{
    struct tw_claims claims;
    const char *reason = parse(payload, &claims);
    if (!reason)
        tw_claims_dispose(&claims);
    if (!reason != !expected || (expected && !strstr(reason, expected)))
        fail_msg("expected '%s', got '%s' for %s", expected ? expected : "OK",
                 reason ? reason : "OK", payload);
}

static void expect_text(struct tw_str got, const char *expected)
{
    if (!tw_str_eq(got, tw_str_of(expected)))
        fail_msg("expected '%s', got '%.*s'", expected, (int)got.n, got.p);
}

static void test_everything_is_read(void **state)
{
    (void)state;
    struct tw_claims c;
    assert_null(
        parse("{\"iss\":\"i\",\"sub\":\"s\",\"exp\":30,\"nbf\":10,\"iat\":20.75,"
              "\"token_use\":\"access\",\"client_id\":\"c\",\"scope\":\"a b\",\"jti\":\"j\","
              "\"username\":\"u\",\"cognito:groups\":[\"cashier\",\"x\"],"
              "\"custom:storeId\":\"main\",\"aud\":[\"a\",\"b\"],\"other\":{\"z\":[1.5]}}",
              &c));
    expect_text(c.iss, "i");
    expect_text(c.sub, "s");
    expect_text(c.token_use, "access");
    expect_text(c.client_id, "c");
    expect_text(c.scope, "a b");
    expect_text(c.jti, "j");
    expect_text(c.username, "u");
    expect_text(c.store, "main");
    assert_int_equal(c.exp_unix_s, 30);
    assert_int_equal(c.nbf_unix_s, 10);
    assert_int_equal(c.iat_unix_s, 21); // decimals never to the token's advantage
    assert_int_equal(tw_claims_group_count(&c), 2);
    expect_text(tw_claims_group(&c, 0), "cashier");
    expect_text(tw_claims_group(&c, 1), "x");
    tw_claims_dispose(&c);
}

static void test_least_claims(void **state)
{
    (void)state;
    struct tw_claims c;
    assert_null(parse("{\"sub\":\"s\",\"exp\":1}", &c));
    expect_text(c.iss, "");
    expect_text(c.store, "");
    assert_int_equal(c.nbf_unix_s, 0);
    assert_int_equal(tw_claims_group_count(&c), 0);
    tw_claims_dispose(&c);
}

static void test_names_are_options(void **state)
{
    (void)state;
    struct tw_claims c;
    const struct tw_claim_names own = {.groups = "roles", .store = "shop"};
    assert_null(
        tw_claims_parse(TW_STR("{\"sub\":\"s\",\"exp\":1,\"roles\":\"admin\",\"shop\":\"7\","
                               "\"cognito:groups\":3,\"custom:storeId\":4}"),
                        &own, &c));
    assert_int_equal(tw_claims_group_count(&c), 1);
    expect_text(tw_claims_group(&c, 0), "admin");
    expect_text(c.store, "7");
    tw_claims_dispose(&c);
}

// A name that begins with '/' is a path into objects (RFC 6901).
static void test_claims_in_objects(void **state)
{
    (void)state;
    static const char payload[] =
        "{\"sub\":\"s\",\"exp\":1,\"realm_access\":{\"roles\":[\"cashier\"]},"
        "\"https://shop.example/store\":\"n\",\"a/b\":{\"~\":\"e\"},\"list\":[\"x\"]}";
    static const struct {
        const char *groups, *store;
        const char *group, *shop;
    } cases[] = {
        {"/realm_access/roles", "https://shop.example/store", "cashier", "n"},
        {"realm_access/roles", "/a~1b/~0", NULL, "e"},
        {"/realm_access/roles/0", "/a~1b/~2", NULL, NULL},
        {"/list/0", "/a~1b", NULL, "malformed"},
        {"/", "/a~1b/~", NULL, NULL},
        {"/realm_access//roles", "/nothing/here", NULL, NULL},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_claims c;
        const struct tw_claim_names own = {.groups = cases[i].groups, .store = cases[i].store};
        const char *reason = tw_claims_parse(tw_str_of(payload), &own, &c);
        if (cases[i].shop && strcmp(cases[i].shop, "malformed") == 0) {
            assert_string_equal(reason, "store claim is malformed");
            continue;
        }
        assert_null(reason);
        assert_int_equal(tw_claims_group_count(&c), cases[i].group != NULL);
        if (cases[i].group)
            expect_text(tw_claims_group(&c, 0), cases[i].group);
        assert_true(tw_str_eq(c.store, tw_str_of(cases[i].shop)));
        tw_claims_dispose(&c);
    }
}

static void test_cognito_username_wins(void **state)
{
    (void)state;
    struct tw_claims c;
    assert_null(
        parse("{\"sub\":\"s\",\"exp\":1,\"username\":\"a\",\"cognito:username\":\"b\"}", &c));
    expect_text(c.username, "b");
    tw_claims_dispose(&c);
}

static void test_malformed(void **state)
{
    (void)state;
#define C(more) "{\"sub\":\"s\",\"exp\":1," more "}"
    static const char *const cases[][2] = {
        {"", "strict JSON"},
        {"[]", "strict JSON"},
        {"{\"sub\":\"s\",\"exp\":1", "strict JSON"},
        {"{\"sub\":\"s\",\"exp\":1}{}", "strict JSON"},
        {C("\"exp\":9"), "strict JSON"},
        {C("\"\\u0073ub\":\"admin\""), "strict JSON"},
        {C("\"x\":{\"a\":1,\"a\":1}"), "strict JSON"},
        {C("\"x\":\"\\u0000\""), "strict JSON"},
        {C("\"x\":\"\\ud800\""), "strict JSON"},
        {C("\"x\":\"\xc0\x80\""), "strict JSON"},
        {C("\"x\":1e999"), "strict JSON"},
        {C("\"x\":99999999999999999999"), "strict JSON"},
        {C("\"iss\":1"), "iss"},
        {C("\"iss\":[\"a\"]"), "iss"},
        {"{\"exp\":1}", "sub is missing"},
        {"{\"exp\":1,\"sub\":\"\"}", "sub is missing"},
        {"{\"exp\":1,\"sub\":5}", "sub is malformed"},
        {"{\"exp\":1,\"sub\":null}", "sub is malformed"},
        {"{\"exp\":1,\"sub\":\"a\\nb\"}", "sub is malformed"},
        {"{\"exp\":1,\"sub\":\"a\\u007f\"}", "sub is malformed"},
        {"{\"exp\":1,\"sub\":\"a\\u0085\"}", NULL},
        {C("\"client_id\":{}"), "client_id"},
        {C("\"token_use\":true"), "token_use"},
        {C("\"scope\":[\"a\"]"), "scope"},
        {C("\"jti\":1"), "jti"},
        {C("\"username\":1"), "username"},
        {C("\"username\":\"a\\r\\nX: 1\""), "username"},
        {C("\"cognito:username\":1"), "cognito:username"},
        {C("\"custom:storeId\":1"), "store claim"},
        {C("\"custom:storeId\":\"\\t\""), "store claim"},
        {C("\"cognito:groups\":1"), "groups claim"},
        {C("\"cognito:groups\":{\"admin\":1}"), "groups claim"},
        {C("\"cognito:groups\":[\"a\",1]"), "groups claim"},
        {C("\"cognito:groups\":[[\"admin\"]]"), "groups claim"},
        {C("\"cognito:groups\":null"), "groups claim"},
        {C("\"cognito:groups\":[]"), NULL},
        {C("\"aud\":1"), "aud"},
        {C("\"aud\":null"), "aud"},
        {C("\"aud\":[\"a\",null]"), "aud"},
        {C("\"aud\":{\"a\":\"till\"}"), "aud"},
        {C("\"aud\":[]"), NULL},
        {"{\"sub\":\"s\"}", "exp is missing"},
        {"{\"sub\":\"s\",\"exp\":null}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":\"1\"}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":true}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":-1}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":-0.5}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":253402300800}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":9223372036854775807}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":1e300}", "exp is not a time"},
        {"{\"sub\":\"s\",\"exp\":253402300799}", NULL},
        {"{\"sub\":\"s\",\"exp\":1e9}", NULL},
        {"{\"sub\":\"s\",\"exp\":0}", NULL},
        {C("\"nbf\":\"1\""), "nbf"},
        {C("\"nbf\":-5"), "nbf"},
        {C("\"iat\":[]"), "iat"},
        {C("\"iat\":1e20"), "iat"},
    };
#undef C
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_parse(cases[i][0], cases[i][1]);
}

static void test_bounds_of_texts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t max;
    } texts[] = {
        {"iss", TW_CLAIM_ISS_MAX_BYTES},
        {"client_id", TW_CLAIM_TEXT_MAX_BYTES},
        {"scope", TW_CLAIM_SCOPE_MAX_BYTES},
        {"username", TW_CLAIM_TEXT_MAX_BYTES},
        {"custom:storeId", TW_CLAIM_TEXT_MAX_BYTES},
    };
    for (size_t i = 0; i < TW_COUNT(texts); i++)
        for (size_t over = 0; over < 2; over++) {
            char *payload = kit_format("{\"sub\":\"s\",\"exp\":1,\"%s\":\"%*s\"}", texts[i].name,
                                       (int)(texts[i].max + over), "x");
            expect_parse(payload, over ? "malformed" : NULL);
            free(payload);
        }
}

// Checks "{base, more}" at NOW; base is a good access token for "till" but has no aud.
static void expect_verdict_by(const struct tw_issuer_rules *by, const char *payload,
                              enum tw_status expected, const char *expected_reason)
{
    struct tw_claims claims;
    const char *reason = parse(payload, &claims);
    assert_null(reason);
    enum tw_status status = tw_claims_check(&claims, by, LEEWAY, NOW, &reason);
    tw_claims_dispose(&claims);
    if (status != expected || !reason != !expected_reason ||
        (reason && !strstr(reason, expected_reason)))
        fail_msg("got %s, '%s' for %s", tw_status_info(status)->code, reason ? reason : "",
                 payload);
}

static void expect_verdict(const char *payload, enum tw_status expected, const char *reason)
{
    expect_verdict_by(&rules, payload, expected, reason);
}

#define P(iss, exp, more) "{\"sub\":\"s\",\"iss\":\"" iss "\",\"exp\":" exp "," more "}"
#define I                 "https://issuer.example"
#define ACCESS            "\"token_use\":\"access\""
#define TILL              ",\"client_id\":\"till\""
#define LATER             "1800003600"

static void test_issuer_use_and_audience(void **state)
{
    (void)state;
    static const char use[] = "token_use", aud[] = "audience", iss[] = "claim iss";
    static const struct {
        const char *payload, *reason;
    } cases[] = {
        {P(I, LATER, ACCESS TILL), NULL},
        {P(I, LATER, ACCESS ",\"client_id\":\"office\""), NULL},
        {P(I, LATER, ACCESS ",\"aud\":\"till\"" TILL), NULL}, // bound to a resource
        {P(I, LATER, ACCESS ",\"aud\":[\"x\",\"office\"]" TILL), NULL},
        {P(I, LATER, ACCESS ",\"aud\":\"till\""), aud}, // an access token names its client
        {P(I, LATER, ACCESS ",\"aud\":[\"till\"],\"client_id\":\"stranger\""), aud},
        {P(I "/", LATER, ACCESS TILL), iss},
        {P("", LATER, ACCESS TILL), iss},
        {P("HTTPS://issuer.example", LATER, ACCESS TILL), iss},
        {P(I, LATER, "\"token_use\":\"id\"" TILL), use},
        {P(I, LATER, "\"token_use\":\"Access\"" TILL), use},
        {P(I, LATER, "\"token_use\":\"\"" TILL), use},
        {P(I, LATER, "\"client_id\":\"till\""), use},
        {P(I, LATER, ACCESS), aud},
        {P(I, LATER, ACCESS ",\"client_id\":\"\""), aud},
        {P(I, LATER, ACCESS ",\"client_id\":\"til\""), aud},
        {P(I, LATER, ACCESS ",\"client_id\":\"tills\""), aud},
        {P(I, LATER, ACCESS ",\"aud\":\"other\"" TILL), aud}, // aud wins over client_id
        {P(I, LATER, ACCESS ",\"aud\":[]" TILL), aud},
        {P(I, LATER, ACCESS ",\"aud\":\"\"" TILL), aud},
        {P(I, LATER, ACCESS ",\"aud\":\"till office\""), aud},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_verdict(cases[i].payload, cases[i].reason ? TW_TOKEN_INVALID : TW_OK,
                       cases[i].reason);
}

static void test_other_rules(void **state)
{
    (void)state;
    struct tw_issuer_rules other = rules;
    other.token_uses = 0;
    expect_verdict_by(&other, P(I, LATER, "\"aud\":\"till\""), TW_OK, NULL);
    expect_verdict_by(&other, P(I, LATER, "\"aud\":[\"x\",\"office\"]"), TW_OK, NULL);
    expect_verdict_by(&other, P(I, LATER, "\"client_id\":\"till\""), TW_TOKEN_INVALID, "audience");
    other.token_uses = TW_TOKEN_USE_ID;
    expect_verdict_by(&other, P(I, LATER, "\"token_use\":\"id\",\"aud\":\"till\""), TW_OK, NULL);
    expect_verdict_by(&other, P(I, LATER, "\"token_use\":\"id\",\"aud\":[\"till\"]"),
                      TW_TOKEN_INVALID, "audience");
    expect_verdict_by(&other, P(I, LATER, "\"token_use\":\"id\",\"client_id\":\"till\""),
                      TW_TOKEN_INVALID, "audience");
    expect_verdict_by(&other, P(I, LATER, ACCESS TILL), TW_TOKEN_INVALID, "token_use");
    other.token_uses = TW_TOKEN_USE_ID | TW_TOKEN_USE_ACCESS;
    expect_verdict_by(&other, P(I, LATER, ACCESS TILL), TW_OK, NULL);
    other.n_audiences = 0; // nobody is meant
    expect_verdict_by(&other, P(I, LATER, ACCESS TILL), TW_TOKEN_INVALID, "audience");
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        enum tw_status status;
        const char *reason;
    } cases[] = {
        {P(I, "1800000001", ACCESS TILL), TW_OK, NULL},
        {P(I, "1799999971", ACCESS TILL), TW_OK, NULL}, // within the leeway
        {P(I, "1799999970", ACCESS TILL), TW_TOKEN_EXPIRED, "expired"},
        {P(I, "1799999970.9", ACCESS TILL), TW_TOKEN_EXPIRED, "expired"},
        {P(I, "0", ACCESS TILL), TW_TOKEN_EXPIRED, "expired"},
        {P(I, LATER, ACCESS TILL ",\"nbf\":1800000030"), TW_OK, NULL},
        {P(I, LATER, ACCESS TILL ",\"nbf\":1800000031"), TW_TOKEN_INVALID, "not valid yet"},
        {P(I, LATER, ACCESS TILL ",\"iat\":1800000030"), TW_OK, NULL},
        {P(I, LATER, ACCESS TILL ",\"iat\":1800000031"), TW_TOKEN_INVALID, "future"},
        {P(I, LATER, ACCESS TILL ",\"iat\":253402300799"), TW_TOKEN_INVALID, "future"},
        // Expired is said only when nothing else is wrong.
        {P(I, "1", "\"token_use\":\"id\"" TILL), TW_TOKEN_INVALID, "token_use"},
        {P(I, "1", ACCESS), TW_TOKEN_INVALID, "audience"},
        {P("x", "1", ACCESS TILL), TW_TOKEN_INVALID, "iss"},
        {P(I, "1", ACCESS TILL ",\"nbf\":1900000000"), TW_TOKEN_INVALID, "not valid yet"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_verdict(cases[i].payload, cases[i].status, cases[i].reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),
        cmocka_unit_test(test_least_claims),
        cmocka_unit_test(test_names_are_options),
        cmocka_unit_test(test_claims_in_objects),
        cmocka_unit_test(test_cognito_username_wins),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bounds_of_texts),
        cmocka_unit_test(test_issuer_use_and_audience),
        cmocka_unit_test(test_other_rules),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests_name("auth claims", tests, NULL, NULL);
}

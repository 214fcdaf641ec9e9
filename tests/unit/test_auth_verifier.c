// SPDX-License-Identifier: Apache-2.0
// verifier: whole tokens of two issuers through the front door, and the cache behind it.
#include "tests/unit/test_auth_kit.h"

#include "auth/policy.h"
#include "auth/verifier.h"

#define NOW     INT64_C(1800000000)
#define POOL    "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Test"
#define GENERIC "https://issuer.example/"

enum { POOL_ISSUER, GENERIC_ISSUER };

static EVP_PKEY *rsa, *rsa2, *ec;
static char *rsa_jwks, *rsa2_jwks, *both_jwks, *ec_jwks;
static char *good; // an access token of the pool
static struct tw_verifier *verifier;

#define ACCESS_CLAIMS                                                                           \
    "{\"sub\":\"user-1\",\"iss\":\"" POOL "\",\"client_id\":\"till\",\"exp\":1800003600,"       \
    "\"iat\":1800000000,\"token_use\":\"access\",\"scope\":\"pos/sell\",\"username\":\"anna\"," \
    "\"cognito:groups\":[\"manager\",\"eu\"],\"custom:storeId\":\"north\",\"jti\":\"1\"}"

static int make_everything(void **state)
{
    (void)state;
    rsa = kit_rsa_key(2048);
    rsa2 = kit_rsa_key(2048);
    ec = kit_ec_key("P-256");
    rsa_jwks = kit_jwks(kit_rsa_jwk(rsa, "rsa-1", ""), NULL);
    rsa2_jwks = kit_jwks(kit_rsa_jwk(rsa2, "rsa-2", ""), NULL);
    both_jwks = kit_jwks(kit_rsa_jwk(rsa, "rsa-1", ""), kit_rsa_jwk(rsa2, "rsa-2", ""));
    ec_jwks = kit_jwks(kit_ec_jwk(ec, "P-256", 32, "ec-1", ""), NULL);
    good = kit_token(rsa, KIT_RS256, ACCESS_CLAIMS);
    return 0;
}

static int free_everything(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa2);
    EVP_PKEY_free(ec);
    free(rsa_jwks);
    free(rsa2_jwks);
    free(both_jwks);
    free(ec_jwks);
    free(good);
    return 0;
}

static struct tw_verifier *new_verifier(int64_t leeway_s, size_t cache_entries)
{
    static const char *const pool_clients[] = {"till"}, *const generic_audiences[] = {"pos-api"};
    const struct tw_issuer_rules issuers[] = {
        {.issuer = POOL,
         .audiences = pool_clients,
         .n_audiences = 1,
         .token_uses = TW_TOKEN_USE_ACCESS | TW_TOKEN_USE_ID,
         .algorithms = TW_ALGORITHM_USUAL},
        {.issuer = GENERIC,
         .audiences = generic_audiences,
         .n_audiences = 1,
         .algorithms = TW_ALGORITHM_USUAL},
    };
    const struct tw_verifier_config config = {.issuers = issuers,
                                              .n_issuers = TW_COUNT(issuers),
                                              .leeway_s = leeway_s,
                                              .cache_entries = cache_entries,
                                              .hash_key = "0123456789abcde"};
    return tw_verifier_new(&config);
}

static bool set_keys(size_t issuer, const char *jwks, uint64_t generation)
{
    struct tw_jwks_report report;
    bool taken = tw_verifier_set_keys(verifier, issuer, tw_str_of(jwks), generation, &report);
    assert_int_equal(taken, report.reason == NULL);
    return taken;
}

static int start(void **state)
{
    (void)state;
    verifier = new_verifier(30, 1000);
    assert_non_null(verifier);
    assert_true(set_keys(POOL_ISSUER, rsa_jwks, 1));
    assert_true(set_keys(GENERIC_ISSUER, ec_jwks, 1));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    tw_verifier_free(verifier);
    verifier = NULL;
    return 0;
}

// What may stand in error_description between quotes (RFC 6750 section 3).
static void assert_quotable(const char *reason)
{
    for (const char *c = reason ? reason : ""; *c; c++)
        assert_true(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
}

static struct tw_auth_result verify_bytes(struct tw_str token, int64_t now)
{
    struct tw_auth_result result = tw_verifier_verify(verifier, token, now);
    assert_int_equal(result.principal != NULL, result.status == TW_OK);
    assert_int_equal(result.reason == NULL, result.status == TW_OK);
    assert_true(!result.scopes || result.status == TW_INSUFFICIENT_SCOPE);
    assert_quotable(result.reason);
    return result;
}

// What a request does: recalls the token, else verifies it. Both must say the same.
static struct tw_auth_result check_bytes(struct tw_str token, int64_t now)
{
    struct tw_principal *known = tw_verifier_recall(verifier, token, now);
    if (!known)
        return verify_bytes(token, now);
    return (struct tw_auth_result){.status = TW_OK, .principal = known, .unknown_kid_issuer = -1};
}

static bool is_recalled(const char *token, int64_t now)
{
    struct tw_principal *known = tw_verifier_recall(verifier, tw_str_of(token), now);
    tw_principal_unref(known);
    return known != NULL;
}

// For when only the status and the flags matter: gives the principal back.
static struct tw_auth_result check_at(const char *token, int64_t now)
{
    struct tw_auth_result result = check_bytes(tw_str_of(token), now);
    tw_principal_unref(result.principal);
    return result;
}

static void expect(const char *token, enum tw_status status, const char *reason)
{
    struct tw_auth_result result = check_at(token, NOW);
    if (result.status != status || (reason && !strstr(result.reason, reason)))
        fail_msg("got %s, '%s'", tw_status_info(result.status)->code, result.reason);
}

// Signs and expects; the token is made of one header and one payload.
static void expect_signed(EVP_PKEY *key, const char *header, const char *payload,
                          enum tw_status status, const char *reason)
{
    char *token = kit_token(key, header, payload);
    expect(token, status, reason);
    free(token);
}

static void expect_text(struct tw_str got, const char *expected)
{
    assert_non_null(got.p);
    assert_true(tw_str_eq(got, tw_str_of(expected)));
}

static void test_access_token(void **state)
{
    (void)state;
    struct tw_auth_result result = verify_bytes(tw_str_of(good), NOW);
    assert_int_equal(result.status, TW_OK);
    assert_int_equal(result.unknown_kid_issuer, -1);
    const struct tw_principal *p = result.principal;
    expect_text(p->subject, "user-1");
    expect_text(p->username, "anna");
    expect_text(p->client_id, "till");
    expect_text(p->issuer, POOL);
    expect_text(p->store, "north");
    expect_text(p->token_use, "access");
    expect_text(p->scope, "pos/sell");
    assert_int_equal(p->roles, TW_ROLE_MANAGER);
    assert_int_equal(p->exp_unix_s, 1800003600);
    assert_true(tw_policy_allows(p, TW_ROLE_CASHIER));
    assert_false(tw_policy_allows(p, TW_ROLE_ADMIN));
    tw_principal_unref(result.principal);
}

static void test_es256_of_another_issuer(void **state)
{
    (void)state;
    char *token = kit_token(ec, KIT_ES256,
                            "{\"sub\":\"s\",\"iss\":\"" GENERIC "\",\"aud\":[\"pos-api\",\"x\"],"
                            "\"exp\":1800000010.5}");
    struct tw_auth_result result = check_bytes(tw_str_of(token), NOW);
    assert_int_equal(result.status, TW_OK);
    expect_text(result.principal->username, "");
    expect_text(result.principal->client_id, "pos-api");
    expect_text(result.principal->store, "");
    assert_int_equal(result.principal->roles, 0);
    tw_principal_unref(result.principal);
    assert_true(is_recalled(token, NOW));
    free(token);
}

// Each issuer's keys sign only for that issuer.
static void test_keys_of_the_other_issuer(void **state)
{
    (void)state;
    expect_signed(ec, KIT_ES256, ACCESS_CLAIMS, TW_TOKEN_INVALID, "not known");
    expect_signed(ec, "{\"alg\":\"ES256\",\"kid\":\"rsa-1\"}", ACCESS_CLAIMS, TW_TOKEN_INVALID,
                  "not the algorithm of the key");
    expect_signed(rsa, "{\"alg\":\"RS256\",\"kid\":\"ec-1\"}",
                  "{\"sub\":\"s\",\"iss\":\"" GENERIC "\",\"aud\":\"pos-api\",\"exp\":1900000000}",
                  TW_TOKEN_INVALID, "not the algorithm of the key");
    expect_signed(rsa2, KIT_RS256, ACCESS_CLAIMS, TW_TOKEN_INVALID, "does not verify");
}

static void test_claims_are_checked(void **state)
{
    (void)state;
#define T(sub, iss, more) "{" sub "\"iss\":\"" iss "\"," more "}"
#define SUB               "\"sub\":\"s\","
    static const struct {
        const char *payload;
        enum tw_status status;
        const char *reason;
    } cases[] = {
        {T(SUB, POOL, "\"client_id\":\"till\",\"token_use\":\"access\",\"exp\":1900000000"), TW_OK,
         NULL},
        {T(SUB, POOL, "\"client_id\":\"till\",\"token_use\":\"id\",\"exp\":1900000000"),
         TW_TOKEN_INVALID, "audience"},
        {T(SUB, POOL, "\"aud\":\"till\",\"token_use\":\"id\",\"exp\":1900000000"), TW_OK, NULL},
        {T(SUB, POOL, "\"client_id\":\"x\",\"token_use\":\"id\",\"exp\":1900000000"),
         TW_TOKEN_INVALID, "audience"},
        {T(SUB, POOL, "\"client_id\":\"till\",\"token_use\":\"refresh\",\"exp\":1900000000"),
         TW_TOKEN_INVALID, "token_use"},
        {T(SUB, POOL, "\"client_id\":\"till\",\"token_use\":\"id\""), TW_TOKEN_INVALID, "exp"},
        {T("", POOL, "\"client_id\":\"till\",\"token_use\":\"id\",\"exp\":1900000000"),
         TW_TOKEN_INVALID, "sub"},
        {T(SUB, "https://evil.example", "\"exp\":1900000000"), TW_TOKEN_INVALID, "issuer"},
        {T(SUB, "", "\"exp\":1900000000"), TW_TOKEN_INVALID, "issuer"},
        {"{\"sub\":\"s\",\"exp\":1900000000}", TW_TOKEN_INVALID, "issuer"},
        {T(SUB, POOL, "\"aud\":\"till\",\"token_use\":\"id\",\"exp\":1799999900"), TW_TOKEN_EXPIRED,
         "expired"},
        {T(SUB, POOL, "\"client_id\":\"x\",\"token_use\":\"id\",\"exp\":1799999900"),
         TW_TOKEN_INVALID, "audience"},
        {"text", TW_TOKEN_INVALID, "payload"},
        {"", TW_TOKEN_INVALID, "payload"},
    };
#undef T
#undef SUB
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_signed(rsa, KIT_RS256, cases[i].payload, cases[i].status, cases[i].reason);
}

// A forged token never learns that it would also have expired.
static void test_expired_only_with_a_good_signature(void **state)
{
    (void)state;
    static const char expired[] = "{\"sub\":\"s\",\"iss\":\"" POOL "\",\"client_id\":\"till\","
                                  "\"token_use\":\"access\",\"exp\":1}";
    expect_signed(rsa, KIT_RS256, expired, TW_TOKEN_EXPIRED, NULL);
    expect_signed(rsa2, KIT_RS256, expired, TW_TOKEN_INVALID, "does not verify");
}

static void test_refused_bytes(void **state)
{
    (void)state;
    char *huge = kit_format("%s%*s", good, 100000, "");
    expect(huge, TW_TOKEN_INVALID, "too long");
    free(huge);
    expect("", TW_TOKEN_INVALID, "empty");
    expect("a.b.c.d.e", TW_TOKEN_INVALID, "three segments"); // a JWE
    assert_int_equal(check_bytes((struct tw_str){NULL, 0}, NOW).status, TW_TOKEN_INVALID);
    assert_int_equal(check_bytes((struct tw_str){"\0.\0.\0", 5}, NOW).status, TW_TOKEN_INVALID);
}

// Every single-bit change of a cached token misses the cache and fails.
static void test_flipped_bits_of_a_cached_token(void **state)
{
    (void)state;
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    char *token = kit_format("%s", good);
    size_t n = strlen(token);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            token[i] = (char)(token[i] ^ 1 << bit);
            struct tw_auth_result result = check_bytes((struct tw_str){token, n}, NOW);
            assert_int_equal(result.status, TW_TOKEN_INVALID);
            token[i] = (char)(token[i] ^ 1 << bit);
        }
    assert_true(is_recalled(token, NOW));
    assert_int_equal(tw_verifier_cache_stats(verifier).entries, 1);
    free(token);
}

static void test_cached_until_exp_and_leeway(void **state)
{
    (void)state;
    const int64_t exp = 1800003600;
    assert_false(is_recalled(good, NOW));
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    assert_true(is_recalled(good, NOW));
    assert_true(is_recalled(good, exp + 29));
    assert_int_equal(check_at(good, exp + 30).status, TW_TOKEN_EXPIRED);
    assert_int_equal(tw_verifier_cache_stats(verifier).entries, 0);
    assert_int_equal(check_at(good, exp + 29).status, TW_OK); // the clock went back
    assert_true(is_recalled(good, exp + 29));
    // And far back, before iat: the cache says what a verification would say.
    assert_int_equal(check_at(good, NOW - 30).status, TW_OK);
    assert_int_equal(check_at(good, NOW - 31).status, TW_TOKEN_INVALID);
}

static void test_key_rotation(void **state)
{
    (void)state;
    char *newer = kit_token(rsa2, "{\"alg\":\"RS256\",\"kid\":\"rsa-2\"}", ACCESS_CLAIMS);
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    struct tw_auth_result result = check_at(newer, NOW);
    assert_int_equal(result.status, TW_TOKEN_INVALID);
    assert_int_equal(result.unknown_kid_issuer, POOL_ISSUER);

    assert_true(set_keys(POOL_ISSUER, both_jwks, 2)); // both work, nothing comes from the cache
    assert_false(is_recalled(good, NOW));
    assert_int_equal(check_at(newer, NOW).status, TW_OK);

    assert_true(set_keys(POOL_ISSUER, rsa2_jwks, 3)); // the old one is gone, cached or not
    result = check_at(good, NOW);
    assert_int_equal(result.status, TW_TOKEN_INVALID);
    assert_int_equal(result.unknown_kid_issuer, POOL_ISSUER);
    assert_int_equal(check_at(newer, NOW).status, TW_OK);
    free(newer);
}

static void test_generation_is_per_issuer(void **state)
{
    (void)state;
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    assert_true(set_keys(GENERIC_ISSUER, ec_jwks, 99));
    assert_true(is_recalled(good, NOW));
    assert_true(set_keys(POOL_ISSUER, rsa_jwks, 1)); // the same generation: the same keys
    assert_true(is_recalled(good, NOW));
    assert_true(set_keys(POOL_ISSUER, rsa_jwks, 2));
    assert_false(is_recalled(good, NOW));
}

static void test_refused_document_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    assert_false(set_keys(POOL_ISSUER, "<html>", 2));
    assert_false(set_keys(POOL_ISSUER, "{\"keys\":[]}", 3));
    assert_true(is_recalled(good, NOW));
    char *other = kit_token(rsa, KIT_RS256 " ", ACCESS_CLAIMS);
    assert_int_equal(check_at(other, NOW).status, TW_OK); // not from the cache
    free(other);
}

// Only a token that would be good with the key asks for new keys.
static void test_unknown_kid_of_a_hopeless_token(void **state)
{
    (void)state;
    char *token = kit_token(rsa2, "{\"alg\":\"RS256\",\"kid\":\"rsa-2\"}",
                            "{\"sub\":\"s\",\"iss\":\"" POOL "\",\"client_id\":\"till\","
                            "\"token_use\":\"access\",\"exp\":1}");
    struct tw_auth_result result = check_at(token, NOW);
    assert_int_equal(result.status, TW_TOKEN_INVALID);
    assert_int_equal(result.unknown_kid_issuer, -1);
    free(token);
}

static void test_keys_unavailable(void **state)
{
    (void)state;
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    tw_verifier_drop_keys(verifier, POOL_ISSUER);
    struct tw_auth_result result = check_at(good, NOW);
    assert_int_equal(result.status, TW_KEYS_UNAVAILABLE);
    assert_int_equal(result.unknown_kid_issuer, -1);
    expect_signed(rsa, "{\"alg\":\"none\",\"kid\":\"rsa-1\"}", ACCESS_CLAIMS, TW_TOKEN_INVALID,
                  "alg");
    assert_false(set_keys(POOL_ISSUER, "{}", 1));
    assert_int_equal(check_at(good, NOW).status, TW_KEYS_UNAVAILABLE);
    assert_true(set_keys(POOL_ISSUER, rsa_jwks, 1));
    assert_false(is_recalled(good, NOW));
    assert_int_equal(check_at(good, NOW).status, TW_OK);
}

static void test_principal_outlives_everything(void **state)
{
    (void)state;
    struct tw_auth_result first = check_bytes(tw_str_of(good), NOW);
    struct tw_auth_result second = check_bytes(tw_str_of(good), NOW);
    assert_ptr_equal(first.principal, second.principal);
    assert_true(set_keys(POOL_ISSUER, rsa2_jwks, 2));
    assert_int_equal(check_at(good, NOW).status, TW_TOKEN_INVALID);
    tw_principal_unref(first.principal);
    tw_verifier_free(verifier);
    verifier = NULL;
    expect_text(second.principal->subject, "user-1");
    tw_principal_unref(second.principal);
}

static void test_configuration(void **state)
{
    (void)state;
    assert_null(new_verifier(-1, 10));
    assert_null(new_verifier(TW_VERIFIER_LEEWAY_MAX_S + 1, 10));
    struct tw_verifier *strange = new_verifier(TW_VERIFIER_LEEWAY_MAX_S, SIZE_MAX);
    assert_non_null(strange);
    tw_verifier_free(strange);
    tw_verifier_free(NULL);

    const struct tw_verifier_config nobody = {.cache_entries = 1};
    verifier = tw_verifier_new(&nobody);
    expect(good, TW_TOKEN_INVALID, "issuer is not known");
}

static void test_without_cache(void **state)
{
    (void)state;
    verifier = new_verifier(0, 0);
    assert_true(set_keys(POOL_ISSUER, rsa_jwks, 1));
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    assert_false(is_recalled(good, NOW));
    assert_int_equal(check_at(good, 1800003599).status, TW_OK);
    assert_int_equal(check_at(good, 1800003600).status, TW_TOKEN_EXPIRED);
}

static bool deny(const char *text)
{
    struct tw_deny_list_fault fault;
    return tw_verifier_set_denied(verifier, tw_str_of(text), &fault);
}

// A revoked token is refused although it is remembered, and comes back with the list's end.
static void test_deny_list(void **state)
{
    (void)state;
    static const char *const lists[] = {"sub user-1", "jti 1\n", "# gone\njti 0\nsub user-1\n"};
    static const char *const others[] = {"", "sub 1", "jti user-1",
                                         "sub user-10\njti 10\nsub USER-1"};
    assert_int_equal(check_at(good, NOW).status, TW_OK);
    for (size_t i = 0; i < TW_COUNT(lists); i++) {
        assert_true(is_recalled(good, NOW));
        assert_true(deny(lists[i]));
        assert_false(is_recalled(good, NOW));
        expect(good, TW_TOKEN_INVALID, "revoked");
        assert_false(deny("sub"));
        expect(good, TW_TOKEN_INVALID, "revoked"); // the previous list stays
        assert_true(deny(""));
    }
    for (size_t i = 0; i < TW_COUNT(others); i++) {
        assert_true(deny(others[i]));
        assert_true(is_recalled(good, NOW));
    }
}

static struct tw_verifier *with_rules(struct tw_texts scopes, struct tw_texts groups,
                                      unsigned algorithms)
{
    static const char *const clients[] = {"till"};
    const struct tw_issuer_rules rules = {.issuer = POOL,
                                          .audiences = clients,
                                          .n_audiences = 1,
                                          .token_uses = TW_TOKEN_USE_ACCESS,
                                          .algorithms = algorithms,
                                          .scopes = scopes,
                                          .groups = groups};
    const struct tw_verifier_config config = {.issuers = &rules, .n_issuers = 1};
    return tw_verifier_new(&config);
}

#define TEXTS(...)                                         \
    ((struct tw_texts){(const char *const[]){__VA_ARGS__}, \
                       sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)})

static void test_required_scopes_and_groups(void **state)
{
    (void)state;
    const struct tw_texts none = {NULL, 0};
    const struct {
        struct tw_texts scopes, groups;
        enum tw_status status;
    } cases[] = {
        {TEXTS("pos/sell"), none, TW_OK},
        {TEXTS("pos/read", "pos/sell"), none, TW_OK},
        {TEXTS("pos/read"), none, TW_INSUFFICIENT_SCOPE},
        {TEXTS("pos/sel"), none, TW_INSUFFICIENT_SCOPE},
        {none, TEXTS("eu"), TW_OK},
        {none, TEXTS("us", "manager"), TW_OK},
        {none, TEXTS("us"), TW_FORBIDDEN},
        {TEXTS("pos/read"), TEXTS("us"), TW_INSUFFICIENT_SCOPE},
        {TEXTS("pos/sell"), TEXTS("eu"), TW_OK},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        verifier = with_rules(cases[i].scopes, cases[i].groups, TW_ALGORITHM_USUAL);
        assert_true(set_keys(0, rsa_jwks, 1));
        expect(good, cases[i].status, NULL);
        // What is wrong with the token itself is said first.
        assert_int_equal(check_at(good, 1800003600).status, TW_TOKEN_EXPIRED);
        tw_verifier_free(verifier);
    }
    verifier = NULL;
}

// The issuer's keys may be used with its algorithms only, whatever a key or a token says.
static void test_algorithms_of_an_issuer(void **state)
{
    (void)state;
    const struct tw_texts none = {NULL, 0};
    verifier = with_rules(none, none, TW_ALGORITHM_ES256 | TW_ALGORITHM_PS256);
    assert_true(set_keys(0, rsa_jwks, 1)); // RSA, now bound to PS256
    expect(good, TW_TOKEN_INVALID, "not the algorithm of the key");
    tw_verifier_free(verifier);
    verifier = with_rules(none, none, TW_ALGORITHM_ES256);
    assert_false(set_keys(0, rsa_jwks, 1));
    tw_verifier_free(verifier);
    verifier = NULL;
}

#define STARTED(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STARTED(test_access_token),
        STARTED(test_es256_of_another_issuer),
        STARTED(test_keys_of_the_other_issuer),
        STARTED(test_claims_are_checked),
        STARTED(test_expired_only_with_a_good_signature),
        STARTED(test_refused_bytes),
        STARTED(test_flipped_bits_of_a_cached_token),
        STARTED(test_cached_until_exp_and_leeway),
        STARTED(test_key_rotation),
        STARTED(test_generation_is_per_issuer),
        STARTED(test_refused_document_changes_nothing),
        STARTED(test_unknown_kid_of_a_hopeless_token),
        STARTED(test_keys_unavailable),
        STARTED(test_principal_outlives_everything),
        STARTED(test_deny_list),
        cmocka_unit_test(test_required_scopes_and_groups),
        cmocka_unit_test(test_algorithms_of_an_issuer),
        cmocka_unit_test_teardown(test_configuration, stop),
        cmocka_unit_test_teardown(test_without_cache, stop),
    };
    return cmocka_run_group_tests_name("auth verifier", tests, make_everything, free_everything);
}

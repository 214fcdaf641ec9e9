// SPDX-License-Identifier: Apache-2.0
// mint/key: thumbprints by the RFCs' own keys, keys made, read back and refused. What they sign is
// judged by a gateway (tests/e2e/test_token_command.py).
#include "tests/unit/test_kit.h"

#include "auth/jwks.h"
#include "config/config.h"
#include "mint/key.h"
#include "mint/token.h"

static void assert_thumbprint(const char *members, const char *expected)
{
    char thumbprint[TW_MINT_THUMBPRINT_BYTES];
    json_t *jwk = json_loads(members, 0, NULL);
    assert_non_null(jwk);
    assert_true(tw_mint_thumbprint(jwk, thumbprint));
    assert_string_equal(thumbprint, expected);
    json_decref(jwk);
}

// Section 3.1. The order of members is not that of the hash.
static void thumbprint_of_rfc7638(void **state)
{
    (void)state;
    assert_thumbprint("{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhW"
                      "x4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W"
                      "-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqz"
                      "s8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"
                      "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\","
                      "\"e\":\"AQAB\"}",
                      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

// RFC 8037 appendix A.3.
static void thumbprint_of_rfc8037(void **state)
{
    (void)state;
    assert_thumbprint("{\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kty\":\"OKP\","
                      "\"crv\":\"Ed25519\"}",
                      "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

static struct tw_mint_key *make(const char *alg)
{
    char err[256];
    struct tw_mint_key *key = tw_mint_key_make(alg, err, sizeof(err));
    assert_non_null(key);
    assert_string_equal(tw_mint_key_alg(key), alg);
    assert_int_equal(strlen(tw_mint_key_kid(key)), TW_MINT_THUMBPRINT_BYTES - 1);
    return key;
}

// Read back it is the same key, under the same id or one of the caller's.
static void keys_read_back(void **state)
{
    static const char *const algs[] = {"RS256", "ES256"};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(algs); i++) {
        char err[256];
        struct tw_mint_key *made = make(algs[i]);
        struct tw_str pem = tw_str_of(tw_mint_key_pem(made));
        struct tw_mint_key *same = tw_mint_key_read(pem, NULL, err, sizeof(err));
        struct tw_mint_key *named = tw_mint_key_read(pem, "till-7", err, sizeof(err));
        assert_non_null(same);
        assert_non_null(named);
        assert_string_equal(tw_mint_key_kid(same), tw_mint_key_kid(made));
        assert_string_equal(tw_mint_key_pem(same), tw_mint_key_pem(made));
        assert_string_equal(tw_mint_key_kid(named), "till-7");
        tw_mint_key_free(named);
        tw_mint_key_free(same);
        tw_mint_key_free(made);
    }
}

// What auth/, which shares nothing with mint/, thinks of many key sets: a coordinate that begins
// with a zero byte keeps its length (one key in 128 has one).
static void auth_takes_every_key(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        struct tw_jwks_report report;
        struct tw_mint_key *key = make("ES256");
        json_t *set = json_pack("{s:[o]}", "keys", tw_mint_key_jwk(key));
        char *text = json_dumps(set, JSON_COMPACT);
        struct tw_jwks *keys = tw_jwks_parse(tw_str_of(text), TW_ALGORITHM_ES256, &report);
        if (!keys)
            fail_msg("%s: %s", report.key_reason ? report.key_reason : report.reason, text);
        assert_non_null(tw_jwks_find(keys, tw_str_of(tw_mint_key_kid(key))));
        tw_jwks_free(keys);
        free(text);
        json_decref(set);
        tw_mint_key_free(key);
    }
}

// No text makes it read past its end or leave anything behind, and every refusal is one line.
static void damaged_pem_is_refused_in_one_line(void **state)
{
    (void)state;
    struct tw_mint_key *made = make("ES256");
    size_t n = strlen(tw_mint_key_pem(made));
    for (int i = 0; i < 3000; i++) {
        char err[256] = "";
        char *copy = strdup(tw_mint_key_pem(made));
        copy[kit_below(n)] = (char)kit_below(256);
        size_t kept = kit_below(4) == 0 ? kit_below(n) : n;
        struct tw_mint_key *key = tw_mint_key_read((struct tw_str){copy, kept}, NULL, err,
                                                   sizeof(err));
        assert_true((key != NULL) == (err[0] == '\0'));
        assert_null(strchr(err, '\n'));
        tw_mint_key_free(key);
        free(copy);
    }
    tw_mint_key_free(made);
}

// Claims that cannot be made are an error, not an end: no text here is UTF-8.
static void a_wish_that_is_not_utf8_is_an_error(void **state)
{
    (void)state;
    struct tw_mint_key *key = make("ES256");
    const struct tw_mint_wish good = {.issuer = "https://x.example.com",
                                      .use = "access",
                                      .client = "c",
                                      .username = "ana",
                                      .store = "",
                                      .ttl_s = 60};
    struct tw_mint_wish wishes[] = {good, good, good, good, good, good, good};
    wishes[0].issuer = wishes[1].client = wishes[2].username = wishes[3].store = "\xff";
    wishes[4].sub = wishes[5].scope = wishes[6].username = "\xc3";
    wishes[6].use = "id";
    for (size_t i = 0; i < TW_COUNT(wishes); i++) {
        char err[256] = "";
        assert_null(tw_mint_token(key, &wishes[i], err, sizeof(err)));
        assert_string_equal(err, "cannot make claims (is every text UTF-8?)");
    }
    char err[256];
    char *token = tw_mint_token(key, &good, err, sizeof(err));
    assert_non_null(token);
    free(token);
    tw_mint_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thumbprint_of_rfc7638),
        cmocka_unit_test(thumbprint_of_rfc8037),
        cmocka_unit_test(keys_read_back),
        cmocka_unit_test(auth_takes_every_key),
        cmocka_unit_test(damaged_pem_is_refused_in_one_line),
        cmocka_unit_test(a_wish_that_is_not_utf8_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

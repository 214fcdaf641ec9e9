// SPDX-License-Identifier: Apache-2.0
// vectors: the examples of RFC 7515, 7517 and 7520, from the directory that TILLWAY_CORPORA names
// (its subdirectory rfc-jose-vectors). Without it every test says so and is skipped.
#include "tests/unit/test_auth_kit.h"

#include "auth/base64url.h"
#include "auth/json.h"
#include "auth/verifier.h"
#include "config/config.h"

// The file's bytes, without white space at the end; NULL when there is no corpus.
static char *vector(const char *name)
{
    const char *corpora = getenv("TILLWAY_CORPORA");
    if (!corpora)
        return NULL;
    char *path = kit_format("%s/rfc-jose-vectors/%s", corpora, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot read %s", path);
    char *text = calloc(1, 65536);
    size_t n = fread(text, 1, 65535, file);
    fclose(file);
    free(path);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        text[--n] = '\0';
    return text;
}

#define NEED(text)                                                  \
    do {                                                            \
        if (!(text)) {                                              \
            print_message("skipped: TILLWAY_CORPORA is not set\n"); \
            skip();                                                 \
        }                                                           \
    } while (0)

// The public half of a JWK file, with a kid, as the vectors of RFC 7515 have none.
static const char *public_key(const char *name, struct tw_jwk *out)
{
    static const char *const private_names[] = {"d", "p", "q", "dp", "dq", "qi"};
    char *text = vector(name);
    json_t *jwk = tw_auth_json_object(tw_str_of(text));
    assert_non_null(jwk);
    for (size_t i = 0; i < TW_COUNT(private_names); i++)
        json_object_del(jwk, private_names[i]);
    if (!json_object_get(jwk, "kid"))
        json_object_set_new(jwk, "kid", json_string("k"));
    const char *reason = tw_jwk_parse(jwk, TW_ALGORITHM_USUAL, out);
    json_decref(jwk);
    free(text);
    return reason;
}

// tw_jws_parse wants a kid; this takes apart what it would have.
static void take_apart(const char *token, const struct tw_jws_alg *alg, struct tw_jws *out)
{
    const char *dot = strrchr(token, '.');
    *out = (struct tw_jws){.signing_input = {token, (size_t)(dot - token)}, .alg_hint = alg};
    assert_true(tw_base64url_decode(tw_str_of(dot + 1), out->signature, sizeof out->signature,
                                    &out->signature_n));
}

static void verify_without_kid(const char *token_name, const char *key_name)
{
    static struct tw_jws jws;
    struct tw_jwk key;
    char *token = vector(token_name);
    NEED(token);
    assert_null(public_key(key_name, &key));
    assert_string_equal(tw_jws_parse(tw_str_of(token), &jws), "header kid is missing or too long");
    take_apart(token, key.alg, &jws);
    assert_null(tw_jws_verify(&jws, key.alg, key.pkey));
    jws.signature[7] ^= 0x10;
    assert_non_null(tw_jws_verify(&jws, key.alg, key.pkey));
    tw_jwk_dispose(&key);
    free(token);
}

static void test_7515_a2_rs256(void **state)
{
    (void)state;
    verify_without_kid("rfc7515_A.2.jwsc", "rfc7515_A.2.jwk");
}

static void test_7515_a3_es256(void **state)
{
    (void)state;
    verify_without_kid("rfc7515_A.3.jwsc", "rfc7515_A.3.jwk");
}

static void test_7520_rs256_with_kid(void **state)
{
    (void)state;
    static struct tw_jws jws;
    struct tw_jwk key;
    char *token = vector("rfc7520_4.1.jwsc");
    NEED(token);
    assert_null(public_key("rfc7520_3.3.jwk", &key));
    assert_null(tw_jws_parse(tw_str_of(token), &jws));
    assert_true(
        tw_str_eq((struct tw_str){jws.kid, jws.kid_n}, (struct tw_str){key.kid, key.kid_n}));
    assert_null(tw_jws_verify(&jws, key.alg, key.pkey));
    tw_jwk_dispose(&key);
    free(token);
}

// HS256, ES512, none, PS384, detached payload, flattened and general JSON: no parser of ours.
static void test_refused_tokens(void **state)
{
    (void)state;
    static struct tw_jws jws;
    static const char *const names[] = {
        "rfc7515_A.1.jwsc", "rfc7515_A.4.jwsc", "rfc7515_A.5.jwsc", "rfc7515_A.6.jwsg",
        "rfc7515_A.7.jwsf", "rfc7520_4.1.jwsf", "rfc7520_4.1.jwsg", "rfc7520_4.2.jwsc",
        "rfc7520_4.2.jwsf", "rfc7520_4.2.jwsg", "rfc7520_4.3.jwsc", "rfc7520_4.3.jwsf",
        "rfc7520_4.3.jwsg", "rfc7520_4.4.jwsc", "rfc7520_4.4.jwsf", "rfc7520_4.4.jwsg",
        "rfc7520_4.6.jwsf", "rfc7520_4.6.jwsg", "rfc7520_4.7.jwsf", "rfc7520_4.7.jwsg",
        "rfc7520_4.8.jwsg", "rfc7520_4.5.jwsc", "rfc7520_4.5.jwsf", "rfc7520_4.5.jwsg",
    };
    for (size_t i = 0; i < TW_COUNT(names); i++) {
        char *token = vector(names[i]);
        NEED(token);
        if (!tw_jws_parse(tw_str_of(token), &jws))
            fail_msg("accepted %s", names[i]);
        free(token);
    }
}

static void expect_set(const char *name, unsigned taken, unsigned refused, const char *reason)
{
    struct tw_jwks_report report;
    char *document = vector(name);
    NEED(document);
    struct tw_jwks *set = tw_jwks_parse(tw_str_of(document), TW_ALGORITHM_USUAL, &report);
    assert_int_equal(set != NULL, reason == NULL);
    assert_int_equal(report.keys_taken, taken);
    assert_int_equal(report.keys_refused, refused);
    assert_true(!reason || strstr(report.reason, reason));
    tw_jwks_free(set);
    free(document);
}

static void test_7517_sets(void **state)
{
    (void)state;
    expect_set("rfc7517_A.1.jwkset", 1, 1, NULL);            // the EC key is for encryption
    expect_set("rfc7517_A.2.jwkset", 0, 2, "no usable key"); // private keys
    expect_set("rfc7517_A.3.jwkset", 0, 2, "no usable key"); // symmetric keys
    expect_set("rfc7515_A.6.jwkset", 0, 2, "no usable key"); // private, without kid
    expect_set("rfc7520_4.8.jwkset", 0, 0, "repeats a kid");
    expect_set("rfc7517_B.jwk", 0, 0, "no array of keys");
}

static void test_single_keys(void **state)
{
    (void)state;
    struct tw_jwk key;
    char *present = vector("rfc7517_B.jwk");
    NEED(present);
    free(present);
    assert_null(public_key("rfc7517_B.jwk", &key));
    tw_jwk_dispose(&key);
    assert_non_null(public_key("rfc7515_A.1.jwk", &key)); // symmetric
    assert_non_null(public_key("rfc7515_A.4.jwk", &key)); // P-521
    assert_non_null(public_key("rfc7520_3.1.jwk", &key)); // P-521
    assert_non_null(public_key("rfc7520_3.5.jwk", &key)); // symmetric
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_7515_a2_rs256),       cmocka_unit_test(test_7515_a3_es256),
        cmocka_unit_test(test_7520_rs256_with_kid), cmocka_unit_test(test_refused_tokens),
        cmocka_unit_test(test_7517_sets),           cmocka_unit_test(test_single_keys),
    };
    return cmocka_run_group_tests_name("auth vectors", tests, NULL, NULL);
}

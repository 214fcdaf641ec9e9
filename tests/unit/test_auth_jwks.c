// SPDX-License-Identifier: Apache-2.0
// jwks: FAULTS A2, documents and keys that must be refused, and what is left of the rest.
#include "tests/unit/test_auth_kit.h"

#include <openssl/err.h>

#include "auth/jwks.h"
#include "config/config.h"

static EVP_PKEY *rsa, *ec;
static char *rsa_n; // base64url of the modulus
static char *ec_x, *ec_y;

static int make_keys(void **state)
{
    (void)state;
    rsa = kit_rsa_key(2048);
    ec = kit_ec_key("P-256");
    rsa_n = kit_key_number(rsa, OSSL_PKEY_PARAM_RSA_N, 0);
    ec_x = kit_key_number(ec, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    ec_y = kit_key_number(ec, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    free(rsa_n);
    free(ec_x);
    free(ec_y);
    return 0;
}

static void expect_document_refused(const char *document, size_t n, const char *expected)
{
    struct tw_jwks_report report = {.keys_taken = 9, .keys_refused = 9};
    struct tw_jwks *set = tw_jwks_parse((struct tw_str){document, n}, TW_ALGORITHM_USUAL, &report);
    assert_null(set);
    if (!report.reason || !strstr(report.reason, expected))
        fail_msg("expected '%s', got '%s'", expected, report.reason ? report.reason : "taken");
    assert_int_equal(report.keys_taken, 0);
}

// A key set of this doubtful key and a good one: the good one must survive. Frees `jwk`.
static void expect_key(char *jwk, const char *expected_reason)
{
    struct tw_jwks_report report;
    char *document = kit_jwks(jwk, kit_rsa_jwk(rsa, "good", ""));
    ERR_clear_error();
    struct tw_jwks *set = tw_jwks_parse(tw_str_of(document), TW_ALGORITHM_USUAL, &report);
    assert_non_null(set);
    assert_null(report.reason);
    assert_non_null(tw_jwks_find(set, TW_STR("good")));
    assert_int_equal(report.keys_taken, expected_reason ? 1 : 2);
    assert_int_equal(report.keys_refused, expected_reason ? 1 : 0);
    if (expected_reason && !strstr(report.key_reason, expected_reason))
        fail_msg("expected '%s', got '%s'", expected_reason, report.key_reason);
    assert_true(!expected_reason || !tw_jwks_find(set, TW_STR("k")));
    assert_int_equal(ERR_peek_error(), 0);
    tw_jwks_free(set);
    free(document);
}

static void test_algorithm_is_bound_to_the_key(void **state)
{
    (void)state;
    struct tw_jwks_report report;
    char *document = kit_jwks(kit_rsa_jwk(rsa, "r", ""), kit_ec_jwk(ec, "P-256", 32, "e", ""));
    struct tw_jwks *set = tw_jwks_parse(tw_str_of(document), TW_ALGORITHM_USUAL, &report);
    free(document);
    assert_non_null(set);
    assert_int_equal(report.keys_taken, 2);
    assert_string_equal(tw_jwks_find(set, TW_STR("r"))->alg->name, "RS256");
    assert_string_equal(tw_jwks_find(set, TW_STR("e"))->alg->name, "ES256");
    assert_int_equal(EVP_PKEY_eq(tw_jwks_find(set, TW_STR("r"))->pkey, rsa), 1);
    assert_int_equal(EVP_PKEY_eq(tw_jwks_find(set, TW_STR("e"))->pkey, ec), 1);
    assert_null(tw_jwks_find(set, TW_STR("R")));
    assert_null(tw_jwks_find(set, TW_STR("")));
    assert_null(tw_jwks_find(set, TW_STR("rr")));
    tw_jwks_free(set);
}

static void test_accepted_keys(void **state)
{
    (void)state;
    static const char *const extras[] = {
        "",
        ",\"use\":\"sig\"",
        ",\"alg\":\"RS256\"",
        ",\"key_ops\":[\"verify\"]",
        ",\"key_ops\":[\"encrypt\",\"verify\"],\"use\":\"sig\"",
        ",\"x5c\":[\"MIIB\"],\"x5t\":\"abc\",\"unknown\":{\"a\":[1]}",
    };
    for (size_t i = 0; i < TW_COUNT(extras); i++)
        expect_key(kit_rsa_jwk(rsa, "k", extras[i]), NULL);
    expect_key(kit_ec_jwk(ec, "P-256", 32, "k", ",\"use\":\"sig\",\"alg\":\"ES256\""), NULL);
    EVP_PKEY *largest = kit_rsa_key(3072);
    expect_key(kit_rsa_jwk(largest, "k", ""), NULL);
    EVP_PKEY_free(largest);
    expect_key(kit_format("{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":\"Aw\"}", rsa_n),
               NULL);
}

static void test_refused_by_members(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {",\"d\":\"AQAB\"", "private"},
        {",\"p\":\"AQAB\"", "private"},
        {",\"q\":\"AQAB\"", "private"},
        {",\"dp\":\"AQAB\"", "private"},
        {",\"dq\":\"AQAB\"", "private"},
        {",\"qi\":\"AQAB\"", "private"},
        {",\"oth\":[]", "private"},
        {",\"k\":\"AQAB\"", "private"},
        {",\"d\":null", "private"},
        {",\"use\":\"enc\"", "not for checking"},
        {",\"use\":\"SIG\"", "not for checking"},
        {",\"use\":1", "not for checking"},
        {",\"key_ops\":[]", "not for checking"},
        {",\"key_ops\":[\"sign\"]", "not for checking"},
        {",\"key_ops\":\"verify\"", "not for checking"},
        {",\"key_ops\":[\"verify\",1]", "not for checking"},
        {",\"key_ops\":{\"verify\":1}", "not for checking"},
        {",\"alg\":\"RS384\"", "not supported"},
        {",\"alg\":\"PS256\"", "not supported"},
        {",\"alg\":\"ES256\"", "not supported"},
        {",\"alg\":\"HS256\"", "not supported"},
        {",\"alg\":\"none\"", "not supported"},
        {",\"alg\":\"RSA-OAEP\"", "not supported"},
        {",\"alg\":null", "not supported"},
        {",\"alg\":[\"RS256\"]", "not supported"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_key(kit_rsa_jwk(rsa, "k", cases[i][0]), cases[i][1]);
    expect_key(kit_ec_jwk(ec, "P-256", 32, "k", ",\"alg\":\"RS256\""), "not supported");
    expect_key(kit_ec_jwk(ec, "P-256", 32, "k", ",\"d\":\"AQAB\""), "private");
}

static void test_refused_by_type_and_kid(void **state)
{
    (void)state;
    char kid[TW_JWS_KID_MAX_BYTES + 2] = "";
    memset(kid, 'k', TW_JWS_KID_MAX_BYTES + 1);
    expect_key(kit_rsa_jwk(rsa, NULL, ""), "no kid");
    expect_key(kit_rsa_jwk(rsa, "", ""), "no kid");
    expect_key(kit_rsa_jwk(rsa, kid, ""), "no kid or a too long one");
    expect_key(kit_rsa_jwk(rsa, NULL, ",\"kid\":7"), "no kid");
    expect_key(kit_format("%d", 1), "not an object");
    expect_key(kit_format("null"), "not an object");
    expect_key(kit_format("[]"), "not an object");
    expect_key(kit_format("{\"kid\":\"k\"}"), "not supported");
    expect_key(kit_format("{\"kid\":\"k\",\"kty\":\"oct\"}"), "not supported");
    expect_key(kit_format("{\"kid\":\"k\",\"kty\":\"rsa\"}"), "not supported");
    expect_key(kit_format("{\"kid\":\"k\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", ec_x),
               "not supported");
    expect_key(kit_format("{\"kid\":\"k\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", ec_x, ec_y),
               "not supported");
    EVP_PKEY *p384 = kit_ec_key("P-384");
    expect_key(kit_ec_jwk(p384, "P-384", 48, "k", ""), "not supported");
    expect_key(kit_ec_jwk(p384, "P-256", 48, "k", ""), "coordinates");
    EVP_PKEY_free(p384);
    EVP_PKEY *k1 = kit_ec_key("secp256k1");
    expect_key(kit_ec_jwk(k1, "secp256k1", 32, "k", ""), "not supported");
    expect_key(kit_ec_jwk(k1, "P-256", 32, "k", ""), "not valid for its type"); // not on the curve
    EVP_PKEY_free(k1);
}

static void expect_rsa_numbers(const char *n, const char *e, const char *reason)
{
    expect_key(kit_format("{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":\"%s\"}", n, e),
               reason);
}

// An RSA key whose modulus is a number of that many bits, odd or even, with the exponent 65537.
static void expect_modulus(unsigned bits, bool odd, const char *reason)
{
    unsigned char number[1200] = {0};
    size_t n = (bits + 7) / 8;
    memset(number, 0x55, n);
    number[0] = (unsigned char)(1 << (bits - 1) % 8);
    number[n - 1] = odd ? 0x55 : 0x54;
    char *text = kit_base64url(number, n);
    expect_rsa_numbers(text, "AQAB", reason);
    free(text);
}

static void test_weak_rsa_numbers(void **state)
{
    (void)state;
    expect_modulus(1024, true, "modulus");
    expect_modulus(2047, true, "modulus");
    expect_modulus(2048, true, NULL);
    expect_modulus(2048, false, "modulus");
    expect_modulus(8192, true, NULL);
    expect_modulus(8193, true, "modulus");
    expect_modulus(8200, true, "modulus");
    expect_modulus(9000, true, "no valid n and e");
    expect_rsa_numbers(rsa_n, "AQ", "exponent");           // 1
    expect_rsa_numbers(rsa_n, "AA", "exponent");           // 0
    expect_rsa_numbers(rsa_n, "Ag", "exponent");           // 2
    expect_rsa_numbers(rsa_n, "AQAA", "exponent");         // 65536
    expect_rsa_numbers(rsa_n, "AQAAAAAAAAAB", "exponent"); // 65 bits
    expect_rsa_numbers(rsa_n, "gAAAAAAAAAE", NULL);        // 64 bits
    expect_rsa_numbers(rsa_n, "", "no valid");
    expect_rsa_numbers("", "AQAB", "no valid");
    expect_rsa_numbers(rsa_n, "AQAB=", "no valid");
    expect_rsa_numbers(rsa_n, "AQA+", "no valid");
    expect_rsa_numbers(rsa_n, rsa_n, "exponent");
    expect_key(kit_format("{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\"}", rsa_n), "no valid");
    expect_key(kit_format("{\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":65537}", rsa_n),
               "no valid");
}

static void expect_point(const char *x, const char *y, const char *reason)
{
    expect_key(
        kit_format("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%s\",\"y\":\"%s\"}", x,
                   y),
        reason);
}

static void test_bad_points(void **state)
{
    (void)state;
    unsigned char zero[33] = {0};
    char *zeros = kit_base64url(zero, 32), *longer = kit_base64url(zero, 33);
    expect_point(ec_x, ec_y, NULL);
    expect_point(ec_y, ec_x, "not valid for its type");
    expect_point(zeros, zeros, "not valid for its type");
    expect_point(ec_x, longer, "coordinates");
    expect_point(ec_x, "AQAB", "coordinates");
    expect_point(ec_x, "", "coordinates");
    expect_point("", ec_y, "coordinates");
    expect_key(kit_format("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%s\"}", ec_x),
               "coordinates");
    free(zeros);
    free(longer);
}

static void test_refused_documents(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "strict JSON"},
        {" ", "strict JSON"},
        {"<html>502 Bad Gateway</html>", "strict JSON"},
        {"[]", "strict JSON"},
        {"null", "strict JSON"},
        {"\"keys\"", "strict JSON"},
        {"{\"keys\":[]", "strict JSON"},
        {"{\"keys\":[]} x", "strict JSON"},
        {"{\"keys\":[],\"keys\":[]}", "strict JSON"},
        {"{\"keys\":[{\"kid\":\"a\",\"kid\":\"a\"}]}", "strict JSON"},
        {"{}", "no array"},
        {"{\"keys\":{}}", "no array"},
        {"{\"keys\":null}", "no array"},
        {"{\"keys\":\"\"}", "no array"},
        {"{\"Keys\":[]}", "no array"},
        {"{\"keys\":[]}", "no usable key"},
        {"{\"keys\":[1,2]}", "no usable key"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_document_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    expect_document_refused(NULL, 0, "strict JSON");
    expect_document_refused("{\"keys\":[]}\0", 12, "strict JSON");
}

static void test_repeated_kid(void **state)
{
    (void)state;
    char *document = kit_jwks(kit_rsa_jwk(rsa, "a", ""), kit_ec_jwk(ec, "P-256", 32, "a", ""));
    expect_document_refused(document, strlen(document), "repeats a kid");
    free(document);
    document = kit_jwks(kit_rsa_jwk(rsa, "a", ""), kit_rsa_jwk(rsa, "\\u0061", ",\"use\":\"enc\""));
    expect_document_refused(document, strlen(document), "repeats a kid");
    free(document);
}

// `n` keys with kids of their own.
static char *many_keys(unsigned n)
{
    char *document = kit_format("{\"keys\":[");
    for (unsigned i = 0; i < n; i++) {
        char *longer = kit_format(
            "%s%s{\"kty\":\"RSA\",\"kid\":\"%u\",\"n\":\"%s\",\"e\":\"AQAB\"}", document,
            i ? "," : "", i, rsa_n);
        free(document);
        document = longer;
    }
    char *closed = kit_format("%s]}", document);
    free(document);
    return closed;
}

static void test_bounds(void **state)
{
    (void)state;
    struct tw_jwks_report report;
    char *document = many_keys(TW_JWKS_MAX_KEYS);
    struct tw_jwks *set = tw_jwks_parse(tw_str_of(document), TW_ALGORITHM_USUAL, &report);
    assert_non_null(set);
    assert_int_equal(report.keys_taken, TW_JWKS_MAX_KEYS);
    assert_non_null(tw_jwks_find(set, TW_STR("99")));
    tw_jwks_free(set);
    free(document);

    document = many_keys(TW_JWKS_MAX_KEYS + 1);
    expect_document_refused(document, strlen(document), "too many keys");
    free(document);

    document = many_keys(1);
    char *padded = kit_format("%s%*s", document, (int)(TW_JWKS_MAX_BYTES - strlen(document)), "");
    set = tw_jwks_parse(tw_str_of(padded), TW_ALGORITHM_USUAL, &report);
    assert_non_null(set);
    tw_jwks_free(set);
    char *too_long = kit_format("%s ", padded);
    expect_document_refused(too_long, strlen(too_long), "too long");
    free(document);
    free(padded);
    free(too_long);

    char *deep = malloc(200000);
    memset(deep, '[', 200000);
    expect_document_refused(deep, 200000, "strict JSON");
    free(deep);
}

static void test_free_nothing(void **state)
{
    (void)state;
    tw_jwks_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithm_is_bound_to_the_key),
        cmocka_unit_test(test_accepted_keys),
        cmocka_unit_test(test_refused_by_members),
        cmocka_unit_test(test_refused_by_type_and_kid),
        cmocka_unit_test(test_weak_rsa_numbers),
        cmocka_unit_test(test_bad_points),
        cmocka_unit_test(test_refused_documents),
        cmocka_unit_test(test_repeated_kid),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_free_nothing),
    };
    return cmocka_run_group_tests_name("auth jwks", tests, make_keys, free_keys);
}

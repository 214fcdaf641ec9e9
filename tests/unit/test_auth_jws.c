// SPDX-License-Identifier: Apache-2.0
// jws: FAULTS A5, each attack as a token that is refused for its own reason.
#include "tests/unit/test_auth_kit.h"

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "auth/jws.h"

#define PAYLOAD "{\"iss\":\"me\"}"

static EVP_PKEY *rsa, *ec;
static const struct tw_jws_alg *rs256, *es256;
static struct tw_jws jws;

static int make_keys(void **state)
{
    (void)state;
    rsa = kit_rsa_key(2048);
    ec = kit_ec_key("P-256");
    rs256 = tw_jws_alg_by_name(TW_STR("RS256"));
    es256 = tw_jws_alg_by_name(TW_STR("ES256"));
    return rs256 && es256 ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return 0;
}

// Parse, then verify: NULL or the reason of the first that refuses.
static const char *judge(struct tw_str token, const struct tw_jws_alg *alg, EVP_PKEY *key)
{
    const char *reason = tw_jws_parse(token, &jws);
    return reason ? reason : tw_jws_verify(&jws, alg, key);
}

static void expect_reason(const char *token, const char *expected)
{
    const char *reason = judge(tw_str_of(token), rs256, rsa);
    if (!reason || !strstr(reason, expected))
        fail_msg("expected '%s', got '%s' for %.80s", expected, reason ? reason : "OK", token);
}

static void expect_header_refused(const char *header, const char *expected)
{
    char *token = kit_token(rsa, header, PAYLOAD);
    expect_reason(token, expected);
    free(token);
}

static void test_good_tokens(void **state)
{
    (void)state;
    char *r = kit_token(rsa, KIT_RS256, PAYLOAD), *e = kit_token(ec, KIT_ES256, PAYLOAD);
    assert_null(judge(tw_str_of(r), rs256, rsa));
    assert_true(tw_str_eq(TW_STR("rsa-1"), (struct tw_str){jws.kid, jws.kid_n}));
    assert_true(tw_str_eq(TW_STR(PAYLOAD), (struct tw_str){jws.payload, jws.payload_n}));
    assert_null(judge(tw_str_of(e), es256, ec));
    free(r);
    free(e);
}

static void test_accepted_headers(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"JWT\"}",
        "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"application/AT+JWT\"}",
        "{\"alg\":\"RS256\",\"kid\":\"a\",\"x5t\":\"abc\",\"cty\":\"json\"}",
        " {\r\n \"kid\" : \"a\", \"alg\" : \"RS256\" } ",
    };
    for (size_t i = 0; i < TW_COUNT(headers); i++) {
        char *token = kit_token(rsa, headers[i], PAYLOAD);
        assert_null(judge(tw_str_of(token), rs256, rsa));
        free(token);
    }
}

static void test_refused_headers(void **state)
{
    (void)state;
#define H(more) "{\"alg\":\"RS256\",\"kid\":\"rsa-1\"," more "}"
    static const char *const cases[][2] = {
        {H("\"crit\":[\"exp\"]"), "crit"},
        {H("\"crit\":[]"), "crit"},
        {H("\"b64\":false"), "b64"},
        {H("\"b64\":true"), "b64"},
        {H("\"b64\":false,\"crit\":[\"b64\"]"), "crit"},
        {H("\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), "carries a key"},
        {H("\"jwk\":null"), "carries a key"},
        {H("\"jku\":\"https://attacker.example/keys\""), "key location"},
        {H("\"x5u\":\"https://attacker.example/cert\""), "key location"},
        {H("\"x5c\":[\"MIIB\"]"), "certificate"},
        {H("\"\\u006aku\":\"https://attacker.example/keys\""), "key location"},
        {H("\"typ\":\"logout+jwt\""), "typ"},
        {H("\"typ\":1"), "typ"},
        {H("\"typ\":null"), "typ"},
        {H("\"alg\":\"RS256\""), "strict JSON"},
        {H("\"kid\":\"other\""), "strict JSON"},
        {H("\"\\u0061lg\":\"none\""), "strict JSON"},
        {H("\"a\":{\"b\":1,\"b\":2}"), "strict JSON"},
        {H("\"a\":\"\\u0000\""), "strict JSON"},
        {H("\"a\":\"\xff\""), "strict JSON"},
        {KIT_RS256 " x", "strict JSON"},
        {KIT_RS256 "{}", "strict JSON"},
        {"[1]", "strict JSON"},
        {"\"RS256\"", "strict JSON"},
        {"", "strict JSON"},
        {"{\"alg\":\"RS256\"}", "kid"},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", "kid"},
        {"{\"alg\":\"RS256\",\"kid\":7}", "kid"},
        {"{\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":null,\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":[\"RS256\"],\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"none\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"None\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"rs256\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"RS256 \",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"RS384\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"RS512\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"PS384\",\"kid\":\"a\"}", "alg is not supported"},
        {"{\"alg\":\"PS256\",\"kid\":\"a\"}", "not the algorithm of the key"},
        {"{\"alg\":\"EdDSA\",\"kid\":\"a\"}", "not the algorithm of the key"},
        {"{\"alg\":\"ES256\",\"kid\":\"a\"}", "not the algorithm of the key"},
    };
#undef H
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect_header_refused(cases[i][0], cases[i][1]);
}

static void test_bounds_of_the_header(void **state)
{
    (void)state;
    char kid[TW_JWS_KID_MAX_BYTES + 2] = "", nested[200] = "";
    memset(kid, 'k', TW_JWS_KID_MAX_BYTES);
    char *header = kit_format("{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
    char *token = kit_token(rsa, header, PAYLOAD);
    assert_null(judge(tw_str_of(token), rs256, rsa));
    free(header);
    free(token);

    kid[TW_JWS_KID_MAX_BYTES] = 'k';
    header = kit_format("{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
    expect_header_refused(header, "kid");
    free(header);

    memset(nested, '[', 32); // with the object: 33 deep
    memset(nested + 32, ']', 32);
    header = kit_format("{\"alg\":\"RS256\",\"kid\":\"a\",\"x\":%s}", nested);
    expect_header_refused(header, "strict JSON");
    free(header);
    header = kit_format("{\"alg\":\"RS256\",\"kid\":\"a\",\"s\":\"[\\\"[[\",\"x\":%.62s}",
                        nested + 1);
    token = kit_token(rsa, header, PAYLOAD);
    assert_null(judge(tw_str_of(token), rs256, rsa));
    free(header);
    free(token);

    header = kit_format("{\"alg\":\"RS256\",\"kid\":\"a\"%2048s}", "");
    expect_header_refused(header, "header is not canonical base64url or too long");
    free(header);
}

// The token is at most 8192 bytes long, and exactly that many are fine.
static void test_bound_of_the_token(void **state)
{
    (void)state;
    char *base = kit_token(rsa, KIT_RS256, "");
    size_t payload_letters = TW_JWS_MAX_BYTES - strlen(base);
    char *payload = kit_format("%*s", (int)(payload_letters * 3 / 4), "");
    char *token = kit_token(rsa, KIT_RS256, payload);
    assert_in_range(strlen(token), TW_JWS_MAX_BYTES - 1, TW_JWS_MAX_BYTES);
    assert_null(judge(tw_str_of(token), rs256, rsa));
    free(token);
    free(payload);
    payload = kit_format("%*s", (int)(payload_letters * 3 / 4 + 2), "");
    token = kit_token(rsa, KIT_RS256, payload);
    expect_reason(token, "too long");
    free(token);
    free(payload);
    free(base);
}

static void test_serialisations(void **state)
{
    (void)state;
    char *token = kit_token(rsa, KIT_RS256, PAYLOAD);
    char *dot1 = strchr(token, '.'), *dot2 = strchr(dot1 + 1, '.');
    int h = (int)(dot1 - token), p = (int)(dot2 - dot1 - 1);
    struct {
        char *token;
        const char *reason;
    } cases[] = {
        {kit_format("{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%s\"}", h, token,
                    p, dot1 + 1, dot2 + 1),
         "three segments"},
        {kit_format("%s.", token), "three segments"},
        {kit_format("%s.%s", token, dot2 + 1), "three segments"},
        {kit_format(".%s", token), "three segments"},
        {kit_format("%.*s", (int)(dot2 - token), token), "three segments"},
        {kit_format("%.*s", h, token), "three segments"},
        {kit_format("%.*s.", (int)(dot2 - token), token), "signature is empty"},
        {kit_format("%.*s..%s", h, token, dot2 + 1), "signature does not verify"}, // detached
        {kit_format(".%.*s.%s", p, dot1 + 1, dot2 + 1), "header is not a strict JSON"},
        {kit_format(".."), "signature is empty"},
        {kit_format("%s", ""), "empty"},
        {kit_format("%s=", token), "signature is not canonical"},
        {kit_format("%s==", token), "signature is not canonical"},
        {kit_format("%s\n", token), "signature is not canonical"},
        {kit_format("%s ", token), "signature is not canonical"},
        {kit_format(" %s", token), "header is not canonical"},
        {kit_format("%.*s=.%s", h, token, dot1 + 1), "header is not canonical"},
        {kit_format("%.*s==.%s", (int)(dot2 - token), token, dot2 + 1), "payload is not canonical"},
        {kit_format("%sAAAA", token), "does not verify"},
        {kit_format("%s!", token), "signature is not canonical"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        expect_reason(cases[i].token, cases[i].reason);
        free(cases[i].token);
    }
    free(token);
}

// 256 bytes of signature end in a letter with four unused bits, a sloppy decoder takes 16
// spellings.
static void test_trailing_bits(void **state)
{
    (void)state;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *token = kit_token(rsa, KIT_RS256, PAYLOAD);
    char *last = token + strlen(token) - 1;
    unsigned good = 0, not_canonical = 0;
    for (const char *letter = letters; *letter; letter++) {
        *last = *letter;
        const char *reason = judge(tw_str_of(token), rs256, rsa);
        good += reason == NULL;
        not_canonical += reason && strstr(reason, "not canonical") != NULL;
    }
    assert_int_equal(good, 1);
    assert_int_equal(not_canonical, 60);
    free(token);
}

static void refuse_every_flip(EVP_PKEY *key, const struct tw_jws_alg *alg, const char *header)
{
    char *token = kit_token(key, header, PAYLOAD);
    struct tw_str text = tw_str_of(token);
    for (size_t i = 0; i < text.n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            token[i] = (char)(token[i] ^ 1 << bit);
            assert_non_null(judge(text, alg, key));
            token[i] = (char)(token[i] ^ 1 << bit);
        }
    assert_null(judge(text, alg, key));
    free(token);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    refuse_every_flip(rsa, rs256, KIT_RS256);
    refuse_every_flip(ec, es256, KIT_ES256);
}

// "HS256" with the public key's PEM as the secret, the classic confusion.
static void test_hs256_with_the_public_pem(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}", KIT_RS256};
    char *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, rsa), 1);
    long pem_n = BIO_get_mem_data(bio, &pem);
    for (size_t i = 0; i < TW_COUNT(headers); i++) {
        unsigned char mac[32];
        unsigned mac_n = 0;
        char *h = kit_base64url(headers[i], strlen(headers[i]));
        char *p = kit_base64url(PAYLOAD, strlen(PAYLOAD));
        char *input = kit_format("%s.%s", h, p);
        HMAC(EVP_sha256(), pem, (int)pem_n, (unsigned char *)input, strlen(input), mac, &mac_n);
        char *tail = kit_base64url(mac, mac_n), *token = kit_format("%s.%s", input, tail);
        expect_reason(token, i == 0 ? "alg is not supported" : "does not verify");
        free(h);
        free(p);
        free(input);
        free(tail);
        free(token);
    }
    BIO_free(bio);
}

static void test_confused_keys(void **state)
{
    (void)state;
    EVP_PKEY *other_rsa = kit_rsa_key(2048), *other_ec = kit_ec_key("P-256");
    char *r = kit_token(rsa, KIT_RS256, PAYLOAD), *e = kit_token(ec, KIT_ES256, PAYLOAD);
    char *r_as_es = kit_token(rsa, KIT_ES256, PAYLOAD),
         *e_as_rs = kit_token(ec, KIT_RS256, PAYLOAD);
    assert_string_equal(judge(tw_str_of(r), es256, ec),
                        "header alg is not the algorithm of the key");
    assert_string_equal(judge(tw_str_of(e), rs256, rsa),
                        "header alg is not the algorithm of the key");
    assert_string_equal(judge(tw_str_of(r_as_es), es256, ec), "signature does not verify");
    assert_string_equal(judge(tw_str_of(e_as_rs), rs256, rsa), "signature does not verify");
    assert_string_equal(judge(tw_str_of(r), rs256, other_rsa), "signature does not verify");
    assert_string_equal(judge(tw_str_of(e), es256, other_ec), "signature does not verify");
    free(r);
    free(e);
    free(r_as_es);
    free(e_as_rs);
    EVP_PKEY_free(other_rsa);
    EVP_PKEY_free(other_ec);
}

static const char *judge_es256_signature(const unsigned char *signature, size_t n)
{
    char *good = kit_token(ec, KIT_ES256, PAYLOAD), *tail = kit_base64url(signature, n);
    char *token = kit_format("%.*s.%s", (int)(strrchr(good, '.') - good), good, tail);
    const char *reason = judge(tw_str_of(token), es256, ec);
    free(good);
    free(tail);
    free(token);
    return reason;
}

// DER instead of r || s, a good signature cut or with more behind it, and zeros (CVE-2022-21449).
static void test_es256_signature_forms(void **state)
{
    (void)state;
    static const char bad[] = "signature does not verify";
    unsigned char zeros[130] = {0}, ones[64], made[130] = {0};
    memset(ones, 0xff, sizeof ones);
    assert_string_equal(judge_es256_signature(zeros, 64), bad);
    assert_string_equal(judge_es256_signature(zeros, 130), bad);
    assert_string_equal(judge_es256_signature(ones, 64), bad);

    char *good = kit_token(ec, KIT_ES256, PAYLOAD);
    struct tw_str input = {good, (size_t)(strrchr(good, '.') - good)};
    size_t n = kit_sign_bytes(ec, "SHA256", 0, input, made, sizeof made);
    assert_string_equal(judge_es256_signature(made, n), bad);
    n = kit_der_to_raw(made, n);
    assert_null(judge_es256_signature(made, n));
    static const size_t lengths[] = {1, 32, 63, 65, 66, 96, 128, 130};
    for (size_t i = 0; i < TW_COUNT(lengths); i++)
        assert_string_equal(judge_es256_signature(made, lengths[i]), bad);
    free(good);
}

static void test_error_queue_is_left_alone(void **state)
{
    (void)state;
    char *bad = kit_token(ec, KIT_RS256, PAYLOAD);
    ERR_clear_error();
    assert_non_null(judge(tw_str_of(bad), rs256, rsa));
    assert_int_equal(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_USER, 42); // somebody else's
    assert_non_null(judge(tw_str_of(bad), rs256, rsa));
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), 42);
    assert_int_equal(ERR_peek_error(), 0);
    free(bad);
}

static size_t sign_with_long_salt(EVP_PKEY *key, struct tw_str text, unsigned char *out)
{
    EVP_PKEY_CTX *key_ctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = TW_JWS_SIGNATURE_MAX_BYTES;
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &key_ctx, "SHA256", NULL, NULL, key, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, 64), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &n, (const unsigned char *)text.p, text.n), 1);
    EVP_MD_CTX_free(ctx);
    return n;
}

static void verify_with_row(const struct tw_jws_alg *row, EVP_PKEY *key)
{
    struct tw_jws made = {.signing_input = TW_STR("header.payload"), .alg_hint = row};
    made.signature_n = kit_sign_bytes(key, row->digest, row->rsa_padding, made.signing_input,
                                      made.signature, sizeof made.signature);
    assert_null(tw_jws_verify(&made, row, key));
    made.signature[made.signature_n - 1] ^= 1;
    assert_non_null(tw_jws_verify(&made, row, key));
    if (row->rsa_padding) { // neither another padding nor a salt of another length
        made.signature_n = kit_sign_bytes(key, row->digest, RSA_PKCS1_PADDING, made.signing_input,
                                          made.signature, sizeof made.signature);
        assert_non_null(tw_jws_verify(&made, row, key));
        made.signature_n = sign_with_long_salt(key, made.signing_input, made.signature);
        assert_non_null(tw_jws_verify(&made, row, key));
    }
}

static void test_optional_algorithms(void **state)
{
    (void)state;
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    verify_with_row(tw_jws_alg_by_name(TW_STR("PS256")), rsa);
    verify_with_row(tw_jws_alg_by_name(TW_STR("EdDSA")), ed);
    EVP_PKEY_free(ed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_tokens),
        cmocka_unit_test(test_accepted_headers),
        cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(test_bounds_of_the_header),
        cmocka_unit_test(test_bound_of_the_token),
        cmocka_unit_test(test_serialisations),
        cmocka_unit_test(test_trailing_bits),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_hs256_with_the_public_pem),
        cmocka_unit_test(test_confused_keys),
        cmocka_unit_test(test_es256_signature_forms),
        cmocka_unit_test(test_error_queue_is_left_alone),
        cmocka_unit_test(test_optional_algorithms),
    };
    return cmocka_run_group_tests_name("auth jws", tests, make_keys, free_keys);
}

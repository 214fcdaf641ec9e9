// SPDX-License-Identifier: Apache-2.0
// test_auth_kit: an issuer in a header: makes keys, key sets and tokens, good and bad, for
// test_auth_*.
//
// Not for: the product. It trusts its caller and asserts on everything. What it returns as char *
// is to be freed by the caller, unless it is a literal.

#ifndef TW_TEST_AUTH_KIT_H
#define TW_TEST_AUTH_KIT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // vasprintf
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "gateway/base.h"

#define KIT __attribute__((unused)) static

#define KIT_RS256 "{\"alg\":\"RS256\",\"kid\":\"rsa-1\"}"
#define KIT_ES256 "{\"alg\":\"ES256\",\"kid\":\"ec-1\"}"

KIT char *kit_format(const char *format, ...) TW_PRINTF(1, 2);
KIT char *kit_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    assert_true(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return text;
}

KIT char *kit_base64url(const void *bytes, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *p = bytes;
    char *text = calloc(1, n * 4 / 3 + 5), *to = text;
    assert_non_null(text);
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6)
            *to++ = letters[bits >> (have - 6) & 63];
    }
    if (have > 0)
        *to = letters[bits << (6 - have) & 63];
    return text;
}

KIT EVP_PKEY *kit_rsa_key(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    assert_non_null(key);
    return key;
}

KIT EVP_PKEY *kit_ec_key(const char *group)
{
    EVP_PKEY *key = EVP_EC_gen(group);
    assert_non_null(key);
    return key;
}

// One number of a key, as the base64url of exactly `bytes` bytes (0: as many as it needs).
KIT char *kit_key_number(EVP_PKEY *key, const char *parameter, int bytes)
{
    unsigned char buffer[2048];
    BIGNUM *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, parameter, &number), 1);
    if (bytes == 0)
        bytes = BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, buffer, bytes), bytes);
    BN_free(number);
    return kit_base64url(buffer, (size_t)bytes);
}

// `extra` is appended inside the object, e.g. ",\"use\":\"sig\"". kid NULL: none.
KIT char *kit_rsa_jwk(EVP_PKEY *key, const char *kid, const char *extra)
{
    char *n = kit_key_number(key, OSSL_PKEY_PARAM_RSA_N, 0);
    char *e = kit_key_number(key, OSSL_PKEY_PARAM_RSA_E, 0);
    char *jwk = kid ? kit_format("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\",\"kid\":\"%s\"%s}", n,
                                 e, kid, extra)
                    : kit_format("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", n, e, extra);
    free(n);
    free(e);
    return jwk;
}

KIT char *kit_ec_jwk(EVP_PKEY *key, const char *crv, int bytes, const char *kid, const char *extra)
{
    char *x = kit_key_number(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes);
    char *y = kit_key_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes);
    char *jwk = kit_format(
        "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"%s\"%s}", crv, x, y,
        kid, extra);
    free(x);
    free(y);
    return jwk;
}

// A key set of one or two keys; frees them. `b` may be NULL.
KIT char *kit_jwks(char *a, char *b)
{
    char *document = b ? kit_format("{\"keys\":[%s,%s]}", a, b) : kit_format("{\"keys\":[%s]}", a);
    free(a);
    free(b);
    return document;
}

// A raw signature over `text`; `padding` 0 unless RSA, `digest` NULL for EdDSA.
KIT size_t kit_sign_bytes(EVP_PKEY *key, const char *digest, int padding, struct tw_str text,
                          unsigned char *out, size_t out_max)
{
    EVP_PKEY_CTX *key_ctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &key_ctx, digest, NULL, NULL, key, NULL), 1);
    if (padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_ctx, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    size_t n = out_max;
    assert_int_equal(EVP_DigestSign(ctx, out, &n, (const unsigned char *)text.p, text.n), 1);
    EVP_MD_CTX_free(ctx);
    return n;
}

// DER to r || s of 32 bytes each.
KIT size_t kit_der_to_raw(unsigned char *signature, size_t n)
{
    const unsigned char *der = signature;
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &der, (long)n);
    assert_non_null(parsed);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(parsed), signature, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(parsed), signature + 32, 32), 32);
    ECDSA_SIG_free(parsed);
    return 64;
}

// Signs `input` ("header.payload" in base64url) the way the key's type does: RS256 or ES256.
KIT char *kit_sign_input(EVP_PKEY *key, const char *input)
{
    unsigned char signature[1100];
    bool rsa = EVP_PKEY_is_a(key, "RSA");
    size_t n = kit_sign_bytes(key, "SHA256", rsa ? RSA_PKCS1_PADDING : 0, tw_str_of(input),
                              signature, sizeof signature);
    if (!rsa)
        n = kit_der_to_raw(signature, n);
    char *tail = kit_base64url(signature, n);
    char *token = kit_format("%s.%s", input, tail);
    free(tail);
    return token;
}

KIT char *kit_token(EVP_PKEY *key, const char *header, const char *payload)
{
    char *h = kit_base64url(header, strlen(header)), *p = kit_base64url(payload, strlen(payload));
    char *input = kit_format("%s.%s", h, p);
    char *token = kit_sign_input(key, input);
    free(h);
    free(p);
    free(input);
    return token;
}

#endif

// SPDX-License-Identifier: Apache-2.0
#include "auth/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "auth/base64url.h"
#include "auth/json.h"

#define RSA_MIN_BITS          2048
#define RSA_MAX_BITS          8192
#define RSA_EXPONENT_MAX_BITS 64 // a long exponent is only a way to make us compute

static bool has_private_member(const json_t *jwk)
{
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    for (size_t i = 0; i < TW_COUNT(names); i++)
        if (json_object_get(jwk, names[i]))
            return true;
    return false;
}

// `key_ops` absent, or an array of strings that has "verify" (RFC 7517 section 4.3).
static bool operations_allow_verify(const json_t *ops)
{
    bool found = false;
    if (!ops)
        return true;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        struct tw_str op = tw_auth_json_slice(json_array_get(ops, i));
        if (!op.p)
            return false;
        found = found || tw_str_eq(op, TW_STR("verify"));
    }
    return found;
}

static bool use_is_signature(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use");
    return (!use || tw_str_eq(tw_auth_json_slice(use), TW_STR("sig"))) &&
           operations_allow_verify(json_object_get(jwk, "key_ops"));
}

static const struct tw_jws_alg *bound_algorithm(const json_t *jwk, unsigned allowed)
{
    const json_t *alg = json_object_get(jwk, "alg");
    if (alg && !json_is_string(alg))
        return NULL;
    return tw_jws_alg_for_key(allowed, tw_auth_json_string(jwk, "kty"),
                              tw_auth_json_string(jwk, "crv"), tw_auth_json_slice(alg));
}

// A Base64urlUInt member (RFC 7518 section 2) as a new number; NULL when it is none. A leading zero
// byte, which the RFC forbids and some issuers send, changes nothing and is let through.
static BIGNUM *number_member(const json_t *jwk, const char *name)
{
    unsigned char bytes[RSA_MAX_BITS / 8 + 1];
    size_t n = 0;
    struct tw_str text = tw_auth_json_string(jwk, name);
    if (text.n == 0 || !tw_base64url_decode(text, bytes, sizeof bytes, &n))
        return NULL;
    return BN_bin2bn(bytes, (int)n, NULL);
}

static const char *judge_rsa(const BIGNUM *n, const BIGNUM *e)
{
    if (!n || !e)
        return "RSA key has no valid n and e";
    if (BN_num_bits(n) < RSA_MIN_BITS || BN_num_bits(n) > RSA_MAX_BITS || !BN_is_odd(n))
        return "RSA modulus is too short, too long or even";
    if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > RSA_EXPONENT_MAX_BITS)
        return "RSA exponent is even, one or too long";
    return NULL;
}

// The numbers must live until the builder's parameters are made, hence `n` and `e` from outside.
static const char *push_rsa(OSSL_PARAM_BLD *builder, const BIGNUM *n, const BIGNUM *e)
{
    const char *reason = judge_rsa(n, e);
    if (!reason && (!OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) ||
                    !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e)))
        reason = "out of memory";
    return reason;
}

static bool coordinate(const json_t *jwk, const char *name, size_t bytes, unsigned char *out)
{
    size_t n = 0;
    struct tw_str text = tw_auth_json_string(jwk, name);
    return text.n > 0 && tw_base64url_decode(text, out, bytes, &n) && n == bytes;
}

// x alone (RFC 8037), or the uncompressed point 04 || x || y (SEC 1 section 2.3.3).
static const char *push_point(OSSL_PARAM_BLD *builder, const json_t *jwk,
                              const struct tw_jws_alg *alg,
                              unsigned char point[1 + 2 * TW_JWS_COORDINATE_MAX_BYTES])
{
    size_t n = alg->coordinate_bytes;
    unsigned char *x = alg->has_y ? point + 1 : point;
    point[0] = 4;
    if (!coordinate(jwk, "x", n, x) || (alg->has_y && !coordinate(jwk, "y", n, x + n)))
        return "key coordinates are not valid";
    size_t total = alg->has_y ? 1 + 2 * n : n;
    if ((alg->openssl_group && !OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
                                                                alg->openssl_group, 0)) ||
        !OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, total))
        return "out of memory";
    return NULL;
}

static EVP_PKEY *key_from_parameters(OSSL_PARAM_BLD *builder, const struct tw_jws_alg *alg)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, alg->openssl_type, NULL);
    if (!parameters || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(parameters);
    return key;
}

static const char *build_key(const json_t *jwk, const struct tw_jws_alg *alg, EVP_PKEY **out)
{
    unsigned char point[1 + 2 * TW_JWS_COORDINATE_MAX_BYTES];
    bool rsa = alg->coordinate_bytes == 0;
    BIGNUM *n = rsa ? number_member(jwk, "n") : NULL;
    BIGNUM *e = rsa ? number_member(jwk, "e") : NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    const char *reason = "out of memory";
    if (!builder)
        goto out;
    reason = rsa ? push_rsa(builder, n, e) : push_point(builder, jwk, alg, point);
    if (reason)
        goto out;
    *out = key_from_parameters(builder, alg);
    if (!*out)
        reason = "key is not valid for its type";
out:
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return reason;
}

const char *tw_jwk_parse(const json_t *jwk, unsigned algorithms, struct tw_jwk *out)
{
    if (!json_is_object(jwk))
        return "key is not an object";
    if (has_private_member(jwk))
        return "key has private or secret members";
    struct tw_str kid = tw_auth_json_string(jwk, "kid");
    if (kid.n == 0 || kid.n > sizeof out->kid)
        return "key has no kid or a too long one";
    if (!use_is_signature(jwk))
        return "key is not for checking signatures";
    out->alg = bound_algorithm(jwk, algorithms);
    if (!out->alg)
        return "key type, curve or algorithm is not supported";
    memcpy(out->kid, kid.p, kid.n);
    out->kid_n = kid.n;
    out->pkey = NULL;
    ERR_set_mark();
    const char *reason = build_key(jwk, out->alg, &out->pkey);
    ERR_pop_to_mark();
    return reason;
}

void tw_jwk_dispose(struct tw_jwk *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}

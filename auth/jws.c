// SPDX-License-Identifier: Apache-2.0
#include "auth/jws.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "auth/base64url.h"
#include "auth/json.h"

// DER of a sequence of two integers, each with a sign byte: 2 + 2 * (2 + 1 + 66) and some spare.
#define DER_MAX_BYTES 160

struct segments {
    struct tw_str header, payload, signature;
};

static const struct {
    const char *name, *reason;
} refused_members[] = {
    {"crit", "header member crit is not supported"},
    {"b64", "header member b64 is not supported"},
    {"jwk", "header carries a key"},
    {"jku", "header carries a key location"},
    {"x5u", "header carries a key location"},
    {"x5c", "header carries a certificate"},
};

// Cuts off everything before the next '.'; false when there is none.
static bool cut_segment(struct tw_str *rest, struct tw_str *segment)
{
    const char *dot = rest->n > 0 ? memchr(rest->p, '.', rest->n) : NULL;
    if (!dot)
        return false;
    *segment = (struct tw_str){rest->p, (size_t)(dot - rest->p)};
    rest->p = dot + 1;
    rest->n -= segment->n + 1;
    return true;
}

static bool split(struct tw_str token, struct segments *out)
{
    struct tw_str rest = token;
    if (!cut_segment(&rest, &out->header) || !cut_segment(&rest, &out->payload))
        return false;
    out->signature = rest;
    return rest.n == 0 || memchr(rest.p, '.', rest.n) == NULL;
}

static bool type_is_accepted(const json_t *typ)
{
    static const char *const accepted[] = {"JWT", "at+jwt", "application/at+jwt"};
    if (!typ)
        return true;
    struct tw_str text = tw_auth_json_slice(typ);
    for (size_t i = 0; i < TW_COUNT(accepted); i++)
        if (text.p && tw_str_ieq(text, tw_str_of(accepted[i])))
            return true;
    return false;
}

static const char *read_header(const json_t *header, struct tw_jws *out)
{
    for (size_t i = 0; i < TW_COUNT(refused_members); i++)
        if (json_object_get(header, refused_members[i].name))
            return refused_members[i].reason;
    if (!type_is_accepted(json_object_get(header, "typ")))
        return "header typ is not accepted";
    out->alg_hint = tw_jws_alg_by_name(tw_auth_json_string(header, "alg"));
    if (!out->alg_hint)
        return "header alg is not supported";
    struct tw_str kid = tw_auth_json_string(header, "kid");
    if (kid.n == 0 || kid.n > sizeof out->kid)
        return "header kid is missing or too long";
    memcpy(out->kid, kid.p, kid.n);
    out->kid_n = kid.n;
    return NULL;
}

static const char *parse_header(struct tw_str segment, struct tw_jws *out)
{
    char text[TW_JWS_HEADER_MAX_BYTES];
    size_t n = 0;
    if (!tw_base64url_decode(segment, text, sizeof text, &n))
        return "header is not canonical base64url or too long";
    json_t *header = tw_auth_json_object((struct tw_str){text, n});
    if (!header)
        return "header is not a strict JSON object";
    const char *reason = read_header(header, out);
    json_decref(header);
    return reason;
}

const char *tw_jws_parse(struct tw_str token, struct tw_jws *out)
{
    struct segments parts;
    if (token.n == 0 || token.n > TW_JWS_MAX_BYTES)
        return "token is empty or too long";
    if (!split(token, &parts))
        return "token does not have three segments";
    if (parts.signature.n == 0)
        return "signature is empty";
    if (!tw_base64url_decode(parts.payload, out->payload, sizeof out->payload, &out->payload_n))
        return "payload is not canonical base64url";
    if (!tw_base64url_decode(parts.signature, out->signature, sizeof out->signature,
                             &out->signature_n))
        return "signature is not canonical base64url or too long";
    out->signing_input = (struct tw_str){token.p, parts.header.n + 1 + parts.payload.n};
    return parse_header(parts.header, out);
}

// r || s of RFC 7518 section 3.4 to the DER that OpenSSL checks. 0 when out of memory.
static size_t raw_to_der(const unsigned char *raw, size_t half, unsigned char der[DER_MAX_BYTES])
{
    int n = 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(raw + half, (int)half, NULL);
    if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s))
        goto out;
    r = s = NULL; // now the signature's
    n = i2d_ECDSA_SIG(sig, NULL);
    n = n > 0 && n <= DER_MAX_BYTES ? i2d_ECDSA_SIG(sig, &der) : 0;
out:
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct tw_jws_alg *alg)
{
    if (alg->rsa_padding == 0)
        return true;
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, alg->rsa_padding) != 1)
        return false;
    return alg->rsa_padding != RSA_PKCS1_PSS_PADDING ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool digest_verify(struct tw_str data, const struct tw_jws_alg *alg, EVP_PKEY *key,
                          const unsigned char *signature, size_t signature_n)
{
    EVP_PKEY_CTX *key_ctx = NULL; // owned by ctx
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx &&
              EVP_DigestVerifyInit_ex(ctx, &key_ctx, alg->digest, NULL, NULL, key, NULL) == 1 &&
              set_padding(key_ctx, alg) &&
              EVP_DigestVerify(ctx, signature, signature_n, (const unsigned char *)data.p,
                               data.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool signature_is_good(const struct tw_jws *jws, const struct tw_jws_alg *alg, EVP_PKEY *key)
{
    if (!alg->has_y)
        return digest_verify(jws->signing_input, alg, key, jws->signature, jws->signature_n);
    unsigned char der[DER_MAX_BYTES];
    if (jws->signature_n != 2 * alg->coordinate_bytes)
        return false;
    size_t n = raw_to_der(jws->signature, alg->coordinate_bytes, der);
    return n > 0 && digest_verify(jws->signing_input, alg, key, der, n);
}

const char *tw_jws_verify(const struct tw_jws *jws, const struct tw_jws_alg *key_alg, EVP_PKEY *key)
{
    if (jws->alg_hint != key_alg)
        return "header alg is not the algorithm of the key";
    ERR_set_mark();
    bool good = signature_is_good(jws, key_alg, key);
    ERR_pop_to_mark();
    return good ? NULL : "signature does not verify";
}

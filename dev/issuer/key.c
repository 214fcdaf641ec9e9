// SPDX-License-Identifier: Apache-2.0
// key: see key.h. OpenSSL makes the keys, ours is only their form.

#include "dev/issuer/key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// A new base64url text without padding; the caller frees it.
static char *base64url(const unsigned char *bytes, size_t n)
{
    char *text = malloc(4 * (n / 3 + 1) + 1);
    if (!text)
        die("out of memory");
    int len = EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
    while (len > 0 && text[len - 1] == '=')
        text[--len] = '\0';
    for (char *c = text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return text;
}

static json_t *bignum_json(const EVP_PKEY *pkey, const char *name, int min_bytes)
{
    BIGNUM *number = NULL;
    unsigned char bytes[512];
    if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1)
        return NULL;
    int n = BN_num_bytes(number) > min_bytes ? BN_num_bytes(number) : min_bytes;
    bool ok = n <= (int)sizeof(bytes) && BN_bn2binpad(number, bytes, n) == n;
    BN_free(number);
    char *text = ok ? base64url(bytes, (size_t)n) : NULL;
    json_t *json = text ? json_string(text) : NULL;
    free(text);
    return json;
}

// The public members that RFC 7638 hashes, in its order (jansson keeps the order of insertion,
// JSON_SORT_KEYS makes it certain). A new object, or NULL.
static json_t *public_members(const EVP_PKEY *pkey)
{
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
        return json_pack("{s:o, s:s, s:o}", "e", bignum_json(pkey, OSSL_PKEY_PARAM_RSA_E, 1), "kty",
                         "RSA", "n", bignum_json(pkey, OSSL_PKEY_PARAM_RSA_N, 1));
    return json_pack("{s:s, s:s, s:o, s:o}", "crv", "P-256", "kty", "EC", "x",
                     bignum_json(pkey, OSSL_PKEY_PARAM_EC_PUB_X, 32), "y",
                     bignum_json(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, 32));
}

static EVP_PKEY *pkey_of_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return pkey;
}

json_t *key_make(const char *alg)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    json_t *key = NULL, *members = NULL;
    char *canonical = NULL, *kid = NULL, *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *pkey = strcmp(alg, "ES256") == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
    if (!bio || !pkey || PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        goto out;
    long pem_n = BIO_get_mem_data(bio, &pem);
    members = public_members(pkey);
    canonical = members ? json_dumps(members, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!canonical ||
        EVP_Digest(canonical, strlen(canonical), digest, NULL, EVP_sha256(), NULL) != 1)
        goto out;
    kid = base64url(digest, 32);
    key = json_pack("{s:s, s:s, s:s%}", "kid", kid, "alg", alg, "private", pem, (size_t)pem_n);
out:
    free(kid);
    free(canonical);
    json_decref(members);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return key;
}

json_t *key_public(const json_t *key)
{
    EVP_PKEY *pkey = pkey_of_pem(text_of(key, "private"));
    json_t *jwk = pkey ? public_members(pkey) : NULL;
    EVP_PKEY_free(pkey);
    if (!jwk)
        return NULL;
    json_object_set(jwk, "kid", json_object_get(key, "kid"));
    json_object_set(jwk, "alg", json_object_get(key, "alg"));
    json_object_set_new(jwk, "use", json_string("sig"));
    return jwk;
}

// SPDX-License-Identifier: Apache-2.0
#include "mint/key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

// What auth/ takes; kept here anew on purpose (see key.h).
#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192
#define RSA_NEW_BITS 2048
#define P256_BYTES   32

#define BASE64_BYTES(n) (4 * (((n) + 2) / 3) + 1) // with padding and a NUL

struct tw_mint_key {
    const char *alg; // static
    char *kid;
    char *pem;
    json_t *members; // of the public key: those that RFC 7638 hashes
};

// ---- the public half ----------------------------------------------------------------------------

// base64url without padding; `out` has BASE64_BYTES(n).
static void base64url(const unsigned char *bytes, size_t n, char *out)
{
    int len = EVP_EncodeBlock((unsigned char *)out, bytes, (int)n);
    while (len > 0 && out[len - 1] == '=')
        out[--len] = '\0';
    for (char *c = out; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
}

// A number of the public key, big endian, in at least `min_bytes`; NULL when it has none.
static json_t *number_json(const EVP_PKEY *pkey, const char *name, int min_bytes)
{
    unsigned char bytes[RSA_MAX_BITS / 8];
    char text[BASE64_BYTES(sizeof(bytes))];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1)
        return NULL;
    int n = BN_num_bytes(number) > min_bytes ? BN_num_bytes(number) : min_bytes;
    bool ok = n <= (int)sizeof(bytes) && BN_bn2binpad(number, bytes, n) == n;
    BN_free(number);
    if (ok)
        base64url(bytes, (size_t)n, text);
    return ok ? json_string(text) : NULL;
}

static json_t *public_members(const EVP_PKEY *pkey)
{
    if (EVP_PKEY_is_a(pkey, "RSA"))
        return json_pack("{s:o, s:s, s:o}", "e", number_json(pkey, OSSL_PKEY_PARAM_RSA_E, 1), "kty",
                         "RSA", "n", number_json(pkey, OSSL_PKEY_PARAM_RSA_N, 1));
    return json_pack("{s:s, s:s, s:o, s:o}", "crv", "P-256", "kty", "EC", "x",
                     number_json(pkey, OSSL_PKEY_PARAM_EC_PUB_X, P256_BYTES), "y",
                     number_json(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, P256_BYTES));
}

bool tw_mint_thumbprint(const json_t *members, char out[TW_MINT_THUMBPRINT_BYTES])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char text[BASE64_BYTES(sizeof(digest))]; // one more, for its padding
    char *canonical = json_dumps(members, JSON_COMPACT | JSON_SORT_KEYS);
    bool ok = canonical &&
              EVP_Digest(canonical, strlen(canonical), digest, NULL, EVP_sha256(), NULL) == 1;
    free(canonical);
    if (!ok)
        return false;
    base64url(digest, sizeof(digest), text);
    memcpy(out, text, TW_MINT_THUMBPRINT_BYTES);
    return true;
}

json_t *tw_mint_key_jwk(const struct tw_mint_key *key)
{
    json_t *jwk = json_copy(key->members);
    if (jwk && json_object_set_new(jwk, "kid", json_string(key->kid)) == 0 &&
        json_object_set_new(jwk, "alg", json_string(key->alg)) == 0 &&
        json_object_set_new(jwk, "use", json_string("sig")) == 0)
        return jwk;
    json_decref(jwk);
    return NULL;
}

// ---- the private half ---------------------------------------------------------------------------

static bool judge_rsa(const EVP_PKEY *pkey, char *err, size_t err_size)
{
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS)
        return true;
    snprintf(err, err_size, "holds an RSA key of %d bits: make one of %d to %d bits", bits,
             RSA_MIN_BITS, RSA_MAX_BITS);
    return false;
}

static bool judge_ec(const EVP_PKEY *pkey, char *err, size_t err_size)
{
    char group[80];
    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1)
        snprintf(group, sizeof(group), "a curve without a name");
    if (strcmp(group, SN_X9_62_prime256v1) == 0)
        return true;
    snprintf(err, err_size, "holds an EC key on %s: make one on P-256 (prime256v1)", group);
    return false;
}

// Whether it can sign what a gateway takes.
static bool judge(const EVP_PKEY *pkey, char *err, size_t err_size)
{
    if (EVP_PKEY_is_a(pkey, "RSA"))
        return judge_rsa(pkey, err, err_size);
    if (EVP_PKEY_is_a(pkey, "EC"))
        return judge_ec(pkey, err, err_size);
    const char *type = EVP_PKEY_get0_type_name(pkey);
    snprintf(err, err_size, "holds a key of type %s: make an RSA key, or an EC key on P-256",
             type ? type : "unknown");
    return false;
}

// PKCS #8, to be wiped and freed. One form for all that OpenSSL reads.
static char *pem_of(const EVP_PKEY *pkey)
{
    char *data = NULL, *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1) {
        long n = BIO_get_mem_data(bio, &data);
        pem = strndup(data, (size_t)n);
    }
    BIO_free(bio); // wipes its memory
    return pem;
}

static struct tw_mint_key *key_of(const EVP_PKEY *pkey, const char *kid, char *err, size_t err_size)
{
    char thumbprint[TW_MINT_THUMBPRINT_BYTES];
    struct tw_mint_key *key = calloc(1, sizeof(*key));
    if (key) {
        key->alg = EVP_PKEY_is_a(pkey, "RSA") ? "RS256" : "ES256";
        key->members = public_members(pkey);
        key->pem = pem_of(pkey);
        if (kid || (key->members && tw_mint_thumbprint(key->members, thumbprint)))
            key->kid = strdup(kid ? kid : thumbprint);
    }
    if (key && key->members && key->pem && key->kid)
        return key;
    tw_mint_key_free(key);
    snprintf(err, err_size, "holds a key that cannot be written out");
    return NULL;
}

// Instead of OpenSSL's own, which asks on the terminal.
static int no_passphrase(char *buffer, int size, int writing, void *asked)
{
    (void)writing;
    if (size > 0)
        buffer[0] = '\0';
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *parse(struct tw_str pem, char *err, size_t err_size)
{
    bool asked = false;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
    BIO_free(bio);
    if (!pkey && asked)
        snprintf(err, err_size,
                 "is encrypted: write it without a passphrase (openssl pkey -in FILE -out PEM)");
    else if (!pkey)
        snprintf(err, err_size,
                 "holds no private key in PEM: write one as PEM (openssl pkey -in FILE -out PEM)");
    return pkey;
}

// A damaged file can still parse, and nobody takes what such a key signs. (OpenSSL's own check of
// the two halves takes 25 ms for RSA, this one a signature's time.)
static bool halves_fit(EVP_PKEY *pkey, char *err, size_t err_size)
{
    static const unsigned char text[] = "tillway";
    unsigned char signature[RSA_MAX_BITS / 8];
    size_t n = sizeof(signature);
    EVP_MD_CTX *sign = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
    bool fit = sign && verify && EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, pkey) == 1 &&
               EVP_DigestSign(sign, signature, &n, text, sizeof(text)) == 1 &&
               EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, pkey) == 1 &&
               EVP_DigestVerify(verify, signature, n, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    if (!fit)
        snprintf(err, err_size,
                 "holds a key whose two halves do not fit: it is damaged, use another");
    return fit;
}

struct tw_mint_key *tw_mint_key_read(struct tw_str pem, const char *kid, char *err, size_t err_size)
{
    ERR_set_mark();
    struct tw_mint_key *key = NULL;
    EVP_PKEY *pkey = parse(pem, err, err_size);
    if (pkey && judge(pkey, err, err_size) && halves_fit(pkey, err, err_size))
        key = key_of(pkey, kid, err, err_size);
    EVP_PKEY_free(pkey);
    ERR_pop_to_mark();
    return key;
}

struct tw_mint_key *tw_mint_key_make(const char *alg, char *err, size_t err_size)
{
    struct tw_mint_key *key = NULL;
    EVP_PKEY *pkey = strcmp(alg, "ES256") == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_NEW_BITS);
    if (pkey)
        key = key_of(pkey, NULL, err, err_size);
    else
        snprintf(err, err_size, "OpenSSL makes no key");
    EVP_PKEY_free(pkey);
    return key;
}

void tw_mint_key_free(struct tw_mint_key *key)
{
    if (!key)
        return;
    if (key->pem)
        OPENSSL_cleanse(key->pem, strlen(key->pem));
    free(key->pem);
    free(key->kid);
    json_decref(key->members);
    free(key);
}

const char *tw_mint_key_alg(const struct tw_mint_key *key)
{
    return key->alg;
}

const char *tw_mint_key_kid(const struct tw_mint_key *key)
{
    return key->kid;
}

const char *tw_mint_key_pem(const struct tw_mint_key *key)
{
    return key->pem;
}

// SPDX-License-Identifier: Apache-2.0
#include "mint/token.h"

#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define UUID_LEN 36

// `bytes` as a UUID of that version (RFC 9562).
static json_t *uuid_json(unsigned char bytes[16], unsigned version)
{
    char text[UUID_LEN + 1], *at = text;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | version << 4);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = "0123456789abcdef"[bytes[i] >> 4];
        *at++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *at = '\0';
    return json_string(text);
}

static json_t *uuid_random(void)
{
    unsigned char bytes[16];
    return RAND_bytes(bytes, sizeof(bytes)) == 1 ? uuid_json(bytes, 4) : NULL;
}

// The same user name always gets the same subject.
static json_t *uuid_of_name(const char *name)
{
    static const char salt[] = "tillway-issuer/sub/";
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, salt, sizeof(salt) - 1) == 1 &&
              EVP_DigestUpdate(ctx, name, strlen(name)) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? uuid_json(digest, 8) : NULL;
}

// The claims both kinds of token have. Times: now, or wholly in the past for a negative ttl.
static json_t *claims_common(const struct tw_mint_wish *wish)
{
    json_int_t expires = (json_int_t)time(NULL) + wish->ttl_s;
    json_int_t issued = wish->ttl_s > 0 ? expires - wish->ttl_s : expires - 3600;
    json_t *sub = wish->sub ? json_string(wish->sub) : uuid_of_name(wish->username);
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "sub", sub, "iss",
                     wish->issuer, "token_use", wish->use, "origin_jti", uuid_random(), "event_id",
                     uuid_random(), "jti", uuid_random(), "auth_time", issued, "iat", issued, "exp",
                     expires);
}

// The claims that only one kind of token has.
static json_t *claims_of_use(const struct tw_mint_wish *wish)
{
    if (strcmp(wish->use, "id") == 0)
        return json_pack("{s:s, s:s, s:o, s:b}", "aud", wish->client, "cognito:username",
                         wish->username, "email", json_sprintf("%s@example.com", wish->username),
                         "email_verified", 1);
    return json_pack("{s:s, s:s, s:s, s:i}", "client_id", wish->client, "username", wish->username,
                     "scope", "openid", "version", 2);
}

static bool add_text(json_t *claims, const char *name, const char *text)
{
    return !text || json_object_set_new(claims, name, json_string(text)) == 0;
}

static bool add_wished(json_t *claims, const struct tw_mint_wish *wish)
{
    const char *name;
    json_t *value;
    if ((json_array_size(wish->roles) > 0 &&
         json_object_set(claims, "cognito:groups", wish->roles) != 0) ||
        !add_text(claims, "custom:storeId", *wish->store ? wish->store : NULL) ||
        !add_text(claims, "scope", wish->scope))
        return false;
    json_object_foreach (wish->claims, name, value) {
        if (json_is_null(value))
            (void)json_object_del(claims, name); // which need not be there
        else if (json_object_set(claims, name, value) != 0)
            return false;
    }
    return true;
}

static json_t *claims_make(const struct tw_mint_wish *wish)
{
    json_t *claims = claims_common(wish), *more = claims_of_use(wish);
    bool ok = claims && more && json_object_update(claims, more) == 0 && add_wished(claims, wish);
    json_decref(more);
    if (ok)
        return claims;
    json_decref(claims);
    return NULL;
}

static char *sign(const struct tw_mint_key *key, const char *claims)
{
    const char *pem = tw_mint_key_pem(key);
    jwt_alg_t alg = strcmp(tw_mint_key_alg(key), "ES256") == 0 ? JWT_ALG_ES256 : JWT_ALG_RS256;
    jwt_t *jwt = NULL;
    char *token = NULL;
    if (jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, claims) == 0 &&
        jwt_add_header(jwt, "kid", tw_mint_key_kid(key)) == 0 &&
        jwt_set_alg(jwt, alg, (const unsigned char *)pem, (int)strlen(pem)) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    return token;
}

char *tw_mint_token(const struct tw_mint_key *key, const struct tw_mint_wish *wish, char *err,
                    size_t err_size)
{
    json_t *claims = claims_make(wish);
    char *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    char *token = text ? sign(key, text) : NULL;
    if (!text)
        snprintf(err, err_size, "cannot make claims (is every text UTF-8?)");
    else if (!token)
        snprintf(err, err_size, "cannot sign (is the key's id UTF-8?)");
    free(text);
    json_decref(claims);
    return token;
}

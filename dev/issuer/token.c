// SPDX-License-Identifier: Apache-2.0
// token: see token.h. Signed with libjwt, which the gateway never uses.

#include "dev/issuer/token.h"

#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UUID_LEN 36

// Writes `bytes` as a UUID of that version (RFC 9562).
static void uuid_text(unsigned char bytes[16], unsigned version, char out[UUID_LEN + 1])
{
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | version << 4);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = out;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = "0123456789abcdef"[bytes[i] >> 4];
        *at++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *at = '\0';
}

static json_t *uuid_random(void)
{
    unsigned char bytes[16];
    char text[UUID_LEN + 1];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        die("no random bytes");
    uuid_text(bytes, 4, text);
    return json_string(text);
}

// The same user name always gets the same subject.
static json_t *uuid_of_name(const char *name)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char salted[320], text[UUID_LEN + 1];
    int n = snprintf(salted, sizeof(salted), "tillway-issuer/sub/%s", name);
    if (n < 0 || (size_t)n >= sizeof(salted))
        die("the user name is too long");
    if (EVP_Digest(salted, (size_t)n, digest, NULL, EVP_sha256(), NULL) != 1)
        die("cannot hash");
    uuid_text(digest, 8, text);
    return json_string(text);
}

// The claims both kinds of token have. Times: now, or wholly in the past for a negative ttl.
static json_t *claims_common(const struct token_wish *wish)
{
    json_int_t expires = (json_int_t)time(NULL) + wish->ttl_s;
    json_int_t issued = wish->ttl_s > 0 ? expires - wish->ttl_s : expires - 3600;
    json_t *sub = wish->sub ? json_string(wish->sub) : uuid_of_name(wish->username);
    json_t *claims = json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "sub", sub, "iss",
                               wish->issuer, "token_use", wish->use, "origin_jti", uuid_random(),
                               "event_id", uuid_random(), "jti", uuid_random(), "auth_time", issued,
                               "iat", issued, "exp", expires);
    if (claims && json_array_size(wish->roles) > 0)
        json_object_set(claims, "cognito:groups", wish->roles);
    if (claims && *wish->store)
        json_object_set_new(claims, "custom:storeId", json_string(wish->store));
    return claims;
}

static json_t *claims_make(const struct token_wish *wish)
{
    json_t *claims = claims_common(wish), *more;
    if (strcmp(wish->use, "id") == 0) {
        char email[320];
        snprintf(email, sizeof(email), "%s@example.com", wish->username);
        more = json_pack("{s:s, s:s, s:s, s:b}", "aud", wish->client, "cognito:username",
                         wish->username, "email", email, "email_verified", 1);
    } else {
        more = json_pack("{s:s, s:s, s:s, s:i}", "client_id", wish->client, "username",
                         wish->username, "scope", "openid", "version", 2);
    }
    if (!claims || !more || json_object_update(claims, more) != 0)
        die("cannot make claims (is every text UTF-8?)");
    json_decref(more);
    const char *name;
    json_t *value;
    json_object_foreach (wish->claims, name, value) {
        if (json_is_null(value))
            json_object_del(claims, name);
        else
            json_object_set(claims, name, value);
    }
    return claims;
}

// Signs with libjwt; the caller frees the result with free().
static char *token_sign(const json_t *key, const json_t *claims)
{
    char *text = json_dumps(claims, JSON_COMPACT), *token = NULL;
    const char *pem = text_of(key, "private");
    jwt_alg_t alg = strcmp(text_of(key, "alg"), "ES256") == 0 ? JWT_ALG_ES256 : JWT_ALG_RS256;
    jwt_t *jwt = NULL;
    if (text && jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, text) == 0 &&
        jwt_add_header(jwt, "kid", text_of(key, "kid")) == 0 &&
        jwt_set_alg(jwt, alg, (const unsigned char *)pem, (int)strlen(pem)) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    free(text);
    return token;
}

char *token_make(const json_t *key, const struct token_wish *wish)
{
    json_t *claims = claims_make(wish);
    char *token = token_sign(key, claims);
    json_decref(claims);
    return token;
}

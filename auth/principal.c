// SPDX-License-Identifier: Apache-2.0
#include "auth/principal.h"

#include <assert.h>
#include <limits.h>
#include <openssl/sha.h>
#include <stdlib.h>

// Appends `from` at `*end` and says where it lies now.
static struct tw_str copy_text(char **end, struct tw_str from)
{
    struct tw_str copy = {*end, from.n};
    if (from.n > 0)
        memcpy(*end, from.p, from.n);
    *end += from.n;
    return copy;
}

static void hash(struct tw_str text, unsigned char out[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)text.p, text.n, out);
}

static void make_tags(struct tw_principal *principal)
{
    unsigned char both[2 * SHA256_DIGEST_LENGTH], out[SHA256_DIGEST_LENGTH];
    hash(principal->issuer, both);
    hash(principal->subject, both + SHA256_DIGEST_LENGTH);
    SHA256(both, sizeof both, out);
    memcpy(principal->tag, out, sizeof principal->tag);
    memcpy(principal->issuer_tag, both, sizeof principal->issuer_tag);
}

struct tw_principal *tw_principal_new(const struct tw_claims *claims, unsigned roles)
{
    size_t bytes = sizeof(struct tw_principal) + claims->sub.n + claims->username.n +
                   claims->client_id.n + claims->iss.n + claims->store.n + claims->token_use.n +
                   claims->scope.n + claims->jti.n;
    for (size_t i = 0; i < TW_COUNT(claims->extra); i++)
        bytes += claims->extra[i].n;
    struct tw_principal *principal = malloc(bytes + 1); // so that empty texts point inside, too
    if (!principal)
        return NULL;
    char *end = (char *)(principal + 1);
    principal->subject = copy_text(&end, claims->sub);
    principal->username = copy_text(&end, claims->username);
    principal->client_id = copy_text(&end, claims->client_id);
    principal->issuer = copy_text(&end, claims->iss);
    principal->store = copy_text(&end, claims->store);
    principal->token_use = copy_text(&end, claims->token_use);
    principal->scope = copy_text(&end, claims->scope);
    principal->jti = copy_text(&end, claims->jti);
    for (size_t i = 0; i < TW_COUNT(claims->extra); i++)
        principal->extra[i] = copy_text(&end, claims->extra[i]);
    make_tags(principal);
    principal->roles = roles;
    principal->judged_epoch = 0;
    principal->exp_unix_s = claims->exp_unix_s;
    principal->references = 1;
    principal->bytes = bytes + 1;
    return principal;
}

struct tw_principal *tw_principal_ref(struct tw_principal *principal)
{
    assert(principal->references > 0 && principal->references < UINT_MAX);
    principal->references++;
    return principal;
}

void tw_principal_unref(struct tw_principal *principal)
{
    if (!principal)
        return;
    assert(principal->references > 0);
    if (--principal->references == 0)
        free(principal);
}

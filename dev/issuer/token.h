// SPDX-License-Identifier: Apache-2.0
// token: one signed token, shaped like those of an Amazon Cognito user pool.
//
// Makes whatever it is asked for, also what a gateway must refuse (expired, foreign, misshapen by a
// claim): tests live on that. Not for: choosing the key (main), checking anything.

#ifndef ISSUER_TOKEN_H
#define ISSUER_TOKEN_H

#include "dev/issuer/base.h"

// All borrowed; texts are UTF-8 and not NULL unless it says so.
struct token_wish {
    const char *issuer; // URL
    const char *use;    // "access" or "id"
    const char *client;
    const char *username;
    const char *sub;   // NULL: derived from the user name, always the same
    const char *store; // "" leaves the claim out
    json_t *roles;     // array of texts; an empty one leaves the claim out
    json_t *claims;    // object, applied last: replaces claims, or removes them by null
    long ttl_s;        // a negative one makes a token that ended so long ago
};

// The compact JWS by `key` (see key.h); the caller frees it. NULL when it cannot be signed; dies on
// claims that cannot be made.
MUST_USE char *token_make(const json_t *key, const struct token_wish *wish);

#endif

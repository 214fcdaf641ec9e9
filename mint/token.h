// SPDX-License-Identifier: Apache-2.0
// token: one signed token, shaped like those of an Amazon Cognito user pool.
//
// Makes whatever it is asked for, also what a gateway must refuse (expired, foreign, misshapen by a
// claim): tests live on that. Signs with libjwt, the only room that uses it (ADR 001). Not for:
// choosing the key (its callers), checking anything (auth/).
// Runs in: the command line and the development issuer; never in a master or a worker.

#ifndef TW_MINT_TOKEN_H
#define TW_MINT_TOKEN_H

#include "mint/key.h"

// All borrowed; texts are UTF-8 and not NULL unless it says so.
struct tw_mint_wish {
    const char *issuer; // URL
    const char *use;    // "id"; anything else makes an access token
    const char *client;
    const char *username;
    const char *sub;   // NULL: derived from the user name, always the same
    const char *store; // "" leaves the claim out
    const char *scope; // words; NULL: "openid" in an access token, none in an ID token
    json_t *roles;     // array of texts; an empty one leaves the claim out
    json_t *claims;    // object, applied last: replaces claims, or removes them by null
    long ttl_s;        // a negative one makes a token that ended so long ago
};

// The compact JWS; the caller frees it. NULL with one line in `err`: a text is not UTF-8, or memory
// or random bytes are out.
TW_MUST_USE char *tw_mint_token(const struct tw_mint_key *key, const struct tw_mint_wish *wish,
                                char *err, size_t err_size);

#endif

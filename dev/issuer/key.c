// SPDX-License-Identifier: Apache-2.0
// key: see key.h.

#include "dev/issuer/key.h"

#include <stdio.h>

json_t *key_make(const char *alg)
{
    char err[256];
    struct tw_mint_key *made = tw_mint_key_make(alg, err, sizeof(err));
    if (!made)
        return NULL;
    json_t *key = json_pack("{s:s, s:s, s:s}", "kid", tw_mint_key_kid(made), "alg",
                            tw_mint_key_alg(made), "private", tw_mint_key_pem(made));
    tw_mint_key_free(made);
    return key;
}

struct tw_mint_key *key_open(const json_t *key)
{
    char err[256];
    const char *kid = text_of(key, "kid");
    struct tw_mint_key *opened = tw_mint_key_read(tw_str_of(text_of(key, "private")), kid, err,
                                                  sizeof(err));
    if (!opened)
        fprintf(stderr, "tillway-issuer: the private key of %s %s\n", kid, err);
    return opened;
}

json_t *key_public(const json_t *key)
{
    struct tw_mint_key *opened = key_open(key);
    json_t *jwk = opened ? tw_mint_key_jwk(opened) : NULL;
    tw_mint_key_free(opened);
    return jwk;
}

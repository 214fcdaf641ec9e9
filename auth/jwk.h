// SPDX-License-Identifier: Apache-2.0
// jwk: one public key of a key set, judged and parsed once (RFC 7517 section 4, RFC 7518 section
// 6).
//
// A key is bound to exactly one algorithm for life: the one its `alg` names, else the first of its
// type that the issuer may use. Refused: private members, no kid, another use than checking
// signatures, RSA below 2048 or above 8192 bits, a weak public exponent, a point that is not on its
// curve. Not for: documents of many keys (jwks). Runs in: worker. Pure.

#ifndef TW_AUTH_JWK_H
#define TW_AUTH_JWK_H

#include <jansson.h>
#include <openssl/evp.h>

#include "auth/jws.h"

struct tw_jwk {
    EVP_PKEY *pkey; // owned
    const struct tw_jws_alg *alg;
    size_t kid_n;
    char kid[TW_JWS_KID_MAX_BYTES];
};

// NULL when `out` holds the key, to be released by tw_jwk_dispose; else a static text that says why
// the key was refused, and `out` holds nothing. Leaves OpenSSL's error queue as it found it.
// `algorithms`: the TW_ALGORITHM_* bits it may be bound to.
TW_MUST_USE const char *tw_jwk_parse(const json_t *jwk, unsigned algorithms, struct tw_jwk *out);

void tw_jwk_dispose(struct tw_jwk *key);

#endif

// SPDX-License-Identifier: Apache-2.0
// key: one signing key as the store keeps it.
//
// A key is the JSON object {"kid", "alg": "RS256" | "ES256", "private": PEM (PKCS #8)}; its kid is
// the key's thumbprint (RFC 7638). Not for: where keys lie (store), what a key is (mint/key).

#ifndef ISSUER_KEY_H
#define ISSUER_KEY_H

#include "dev/issuer/base.h"
#include "mint/key.h"

// A new key, which the caller owns, or NULL. Any `alg` but ES256 means RSA with 2048 bits.
MUST_USE json_t *key_make(const char *alg);

// The key ready to sign, for tw_mint_key_free. NULL, said on stderr, if its PEM is bad.
MUST_USE struct tw_mint_key *key_open(const json_t *key);

// The public JWK of `key` with kid, alg and use; the caller owns it. NULL if its PEM is bad.
MUST_USE json_t *key_public(const json_t *key);

#endif

// SPDX-License-Identifier: Apache-2.0
// key: one signing key, made here and shown to the world as a JWK (RFC 7517).
//
// A key is the JSON object {"kid", "alg": "RS256" | "ES256", "private": PEM (PKCS #8)}; its kid is
// the key's thumbprint (RFC 7638). Not for: where keys lie (store), what they sign (token).

#ifndef ISSUER_KEY_H
#define ISSUER_KEY_H

#include "dev/issuer/base.h"

// A new key, which the caller owns, or NULL. Any `alg` but ES256 means RSA with 2048 bits.
MUST_USE json_t *key_make(const char *alg);

// The public JWK of `key` with kid, alg and use; the caller owns it. NULL if its PEM is bad.
MUST_USE json_t *key_public(const json_t *key);

#endif

// SPDX-License-Identifier: Apache-2.0
// key: a private key that signs tokens, its id, and its public half as a JWK (RFC 7517).
//
// An RSA key of 2048 to 8192 bits signs RS256, an EC key on P-256 signs ES256; nothing else is
// taken. mint/ makes tokens and shares nothing with auth/, which judges them, so that a mistake in
// one of the two does not hide in the other. Nothing here writes a private key anywhere but into
// the text that tw_mint_key_pem gives. Not for: where keys lie, what they sign (token).
// Runs in: the command line and the development issuer; never in a master or a worker.
//
// What can fail puts one line without a final newline into `err`; it never quotes a key.

#ifndef TW_MINT_KEY_H
#define TW_MINT_KEY_H

#include <jansson.h>

#include "gateway/base.h"

#define TW_MINT_THUMBPRINT_BYTES 44 // 43 characters and a NUL

struct tw_mint_key; // opaque, immutable

// The first private key in `pem`, which must not be encrypted (nobody is ever asked for a
// passphrase). `kid` NULL: its thumbprint. NULL on failure, with what is wrong with the file in
// words that can follow its name: "is encrypted: ...".
TW_MUST_USE struct tw_mint_key *tw_mint_key_read(struct tw_str pem, const char *kid, char *err,
                                                 size_t err_size);

// A new key: P-256 for "ES256", else RSA with 2048 bits. NULL on failure.
TW_MUST_USE struct tw_mint_key *tw_mint_key_make(const char *alg, char *err, size_t err_size);

// NULL is fine. The private key is wiped.
void tw_mint_key_free(struct tw_mint_key *key);

// Borrowed from the key: "RS256" or "ES256"; its id; the private key in PEM (PKCS #8).
const char *tw_mint_key_alg(const struct tw_mint_key *key);
const char *tw_mint_key_kid(const struct tw_mint_key *key);
const char *tw_mint_key_pem(const struct tw_mint_key *key);

// The public JWK with kid, alg and use; the caller owns it. NULL when memory is out.
TW_MUST_USE json_t *tw_mint_key_jwk(const struct tw_mint_key *key);

// The thumbprint by SHA-256 (RFC 7638) of a public key that has the members required for its type
// and no others.
TW_MUST_USE bool tw_mint_thumbprint(const json_t *members, char out[TW_MINT_THUMBPRINT_BYTES]);

#endif

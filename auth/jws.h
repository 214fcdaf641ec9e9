// SPDX-License-Identifier: Apache-2.0
// jws: a compact JWS taken apart without trust, and its signature checked (RFC 7515).
//
// For: bearer tokens. Stricter than the RFC where the RFC's freedom has been an attack (RFC 8725):
// no key or link to a key in the header, no `crit`, no `b64`, `kid` required, `typ` only JWT or
// at+jwt, no JSON serialisation. `alg` in the header chooses nothing: it must equal the algorithm
// that the key is bound to.
// Not for: what the payload says (claims), which key it is (jwks), encrypted tokens.
// Runs in: worker. Pure; the caller owns every buffer.

#ifndef TW_AUTH_JWS_H
#define TW_AUTH_JWS_H

#include <openssl/evp.h>

#include "auth/jws_alg.h"
#include "gateway/base.h"

#define TW_JWS_MAX_BYTES           8192
#define TW_JWS_HEADER_MAX_BYTES    2048
#define TW_JWS_KID_MAX_BYTES       256
#define TW_JWS_PAYLOAD_MAX_BYTES   (TW_JWS_MAX_BYTES / 4 * 3)
#define TW_JWS_SIGNATURE_MAX_BYTES 1024 // RSA with 8192 bits

// A token in parts; nothing in it is verified. About 8 KiB: keep one and reuse it.
struct tw_jws {
    struct tw_str signing_input;       // into the token: header and payload as they were sent
    const struct tw_jws_alg *alg_hint; // what the header claims
    size_t kid_n, payload_n, signature_n;
    char kid[TW_JWS_KID_MAX_BYTES];
    char payload[TW_JWS_PAYLOAD_MAX_BYTES];
    unsigned char signature[TW_JWS_SIGNATURE_MAX_BYTES];
};

// Takes `token` apart; `out` is valid as long as the token's bytes. NULL when it is well-formed,
// else a static text for the log that holds nothing of the token; `out` is then undefined.
TW_MUST_USE const char *tw_jws_parse(struct tw_str token, struct tw_jws *out);

// NULL when the signature is that of `key` under `key_alg` and the header claims the same
// algorithm, else a static text. Leaves OpenSSL's error queue as it found it (TLS reads that
// queue).
TW_MUST_USE const char *tw_jws_verify(const struct tw_jws *jws, const struct tw_jws_alg *key_alg,
                                      EVP_PKEY *key);

#endif

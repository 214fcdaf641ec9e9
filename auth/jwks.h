// SPDX-License-Identifier: Apache-2.0
// jwks: an issuer's public keys, from the document it publishes (RFC 7517 section 5).
//
// The set is immutable: a new document makes a new set, and a bad document makes none, so that the
// caller keeps the old one. Doubtful keys are skipped and counted; a document is refused as a whole
// when it cannot be trusted to say one thing: not strict JSON, a repeated kid, too much of it, or
// no usable key at all. Not for: fetching, ageing (gateway/jwks_fetch). Runs in: worker. Pure.

#ifndef TW_AUTH_JWKS_H
#define TW_AUTH_JWKS_H

#include "auth/jwk.h"

#define TW_JWKS_MAX_BYTES (256 * 1024)
#define TW_JWKS_MAX_KEYS  100

struct tw_jwks; // opaque

struct tw_jwks_report {
    unsigned keys_taken;
    unsigned keys_refused;
    const char *reason;     // static: why the document was refused; NULL when it was taken
    const char *key_reason; // static: why the last refused key was refused; NULL when none was
};

// The set, to be released by tw_jwks_free, or NULL when the document is refused. Keys that fit none
// of `algorithms` (TW_ALGORITHM_* bits) are skipped. `report` is always filled in. `document` may
// be freed afterwards.
TW_MUST_USE struct tw_jwks *tw_jwks_parse(struct tw_str document, unsigned algorithms,
                                          struct tw_jwks_report *report);

// The key of that kid, valid as long as the set; NULL when unknown.
const struct tw_jwk *tw_jwks_find(const struct tw_jwks *set, struct tw_str kid);

// NULL is allowed.
void tw_jwks_free(struct tw_jwks *set);

#endif

// SPDX-License-Identifier: Apache-2.0
// principal: who is calling, as a verified token said it.
//
// One block of memory that owns its texts; it needs neither the token nor the claims any more.
// Counted references, because a request may still use a principal that the token cache has dropped.
// The count is not atomic: a principal never leaves its worker's thread.
// Runs in: worker.

#ifndef TW_AUTH_PRINCIPAL_H
#define TW_AUTH_PRINCIPAL_H

#include "auth/claims.h"
#include "gateway/base.h"

#define TW_PRINCIPAL_TAG_BYTES 16

// Read-only for everybody but principal.c. An absent text is empty, never NULL.
struct tw_principal {
    struct tw_str subject, username, client_id, issuer, store, token_use, scope, jti;
    struct tw_str extra[TW_CLAIMS_EXTRA_MAX]; // as in struct tw_claims
    // Short names for counting: of issuer and subject together, and of the issuer. The same on
    // every machine; nobody finds two of one tag (SHA-256).
    unsigned char tag[TW_PRINCIPAL_TAG_BYTES], issuer_tag[TW_PRINCIPAL_TAG_BYTES];
    unsigned roles; // enum tw_role bits the token grants; what they imply is tw_policy's business
    int64_t exp_unix_s;
    uint64_t judged_epoch; // private to verifier.c: the deny list that it was judged by
    unsigned references;   // private
    size_t bytes;          // private: of the whole block
};

// Copies what it needs from `claims`; the caller owns the one reference. NULL when out of memory.
TW_MUST_USE struct tw_principal *tw_principal_new(const struct tw_claims *claims, unsigned roles);

// One more reference; returns its argument.
struct tw_principal *tw_principal_ref(struct tw_principal *principal);

// Gives one reference back; the last one frees. NULL is allowed.
void tw_principal_unref(struct tw_principal *principal);

#endif

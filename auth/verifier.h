// SPDX-License-Identifier: Apache-2.0
// verifier: a bearer token in, a decision out. The only header of auth/ that a request needs.
//
// Recall a token from the cache, else verify it the whole way: strict JWS, the issuer's keys, the
// signature, the claims, the deny list.
// The unverified `iss` selects whose keys and rules apply and is then verified like everything
// else. Not for: reading the Authorization header, fetching keys, asking for roles (policy). Runs
// in: worker, one verifier per process, one thread. No I/O, no clock: time comes in.

#ifndef TW_AUTH_VERIFIER_H
#define TW_AUTH_VERIFIER_H

#include "auth/claims.h"
#include "auth/deny_list.h"
#include "auth/jwks.h"
#include "auth/principal.h"
#include "auth/token_cache.h"
#include "gateway/status.h"

#define TW_VERIFIER_LEEWAY_MAX_S    86400
#define TW_VERIFIER_BYTES_PER_TOKEN 2048  // the cache's bound in bytes is this times cache_entries
#define TW_VERIFIER_CACHE_ENTRIES   65536 // a sensible default; grows only as used
#define TW_VERIFIER_DEFAULT_GROUPS  "cognito:groups"
#define TW_VERIFIER_DEFAULT_STORE   "custom:storeId"

struct tw_verifier; // opaque

struct tw_verifier_config {
    const struct tw_issuer_rules *issuers; // copied; their texts and arrays are borrowed
    size_t n_issuers;
    const char *groups_claim, *store_claim;   // borrowed; NULL: the defaults above
    struct tw_texts extra_claims;             // borrowed; at most TW_CLAIMS_EXTRA_MAX
    const struct tw_group_roles *group_roles; // borrowed: auth.roles.groups
    size_t n_group_roles;
    int64_t leeway_s;                             // 0 to TW_VERIFIER_LEEWAY_MAX_S
    size_t cache_entries;                         // 0: no cache
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES]; // random, made anew for every process
};

struct tw_auth_result {
    // TW_OK, TW_TOKEN_INVALID, TW_TOKEN_EXPIRED (only exp is wrong), TW_INSUFFICIENT_SCOPE or
    // TW_FORBIDDEN (a good token without a scope or group that its issuer's rules ask for),
    // TW_KEYS_UNAVAILABLE (the issuer has no keys to judge by) or TW_INTERNAL (out of memory).
    enum tw_status status;
    const char *reason;             // static printable ASCII, without '"' and '\', nothing of the
                                    // token in it; NULL when TW_OK
    struct tw_principal *principal; // a reference that the caller owns; NULL unless TW_OK
    const struct tw_texts *scopes;  // TW_INSUFFICIENT_SCOPE: one of these is needed; else NULL
    int unknown_kid_issuer; // the issuer whose keys may be stale: the token names an unknown kid
                            // and looks good otherwise; else -1
};

// What is borrowed must outlive the verifier. NULL when out of memory or the leeway is out of
// range.
struct tw_verifier *tw_verifier_new(const struct tw_verifier_config *config);

// Principals that are still referenced live on. NULL is allowed.
void tw_verifier_free(struct tw_verifier *verifier);

// Replaces issuer `issuer`'s keys; false when the document is refused, and then the previous keys
// and generation stay. `generation` is the caller's and only compared: cached tokens of the issuer
// are forgotten unless it equals the previous one, so equal generations must mean equal keys.
// `report` is always filled in; `jwks_json` may be freed afterwards.
TW_MUST_USE bool tw_verifier_set_keys(struct tw_verifier *verifier, size_t issuer,
                                      struct tw_str jwks_json, uint64_t generation,
                                      struct tw_jwks_report *report);

// Drops an issuer's keys that have become too old to trust: its tokens, cached ones included, are
// answered with TW_KEYS_UNAVAILABLE until it has keys again.
void tw_verifier_drop_keys(struct tw_verifier *verifier, size_t issuer);

// Whether the issuer has keys to judge by.
bool tw_verifier_has_keys(const struct tw_verifier *verifier, size_t issuer);

// Replaces the deny list by this text; false with *fault when it is refused, and then the previous
// one stays. It holds for cached tokens at once. `text` may be freed afterwards.
TW_MUST_USE bool tw_verifier_set_denied(struct tw_verifier *verifier, struct tw_str text,
                                        struct tw_deny_list_fault *fault);

// The principal of a token that was found good before and still is: a reference that the caller
// owns. NULL when these exact bytes are not remembered.
TW_MUST_USE struct tw_principal *tw_verifier_recall(struct tw_verifier *verifier,
                                                    struct tw_str token, int64_t now_unix_s);

// Whether the deny list names a principal that was found good before. Cheap while the list stays
// the same.
TW_MUST_USE bool tw_verifier_denies(const struct tw_verifier *verifier,
                                    struct tw_principal *principal);

// Judges a compact JWS (without "Bearer") the whole way, and remembers it when it is good. Any
// bytes and any length may come. Costs one signature check at most.
TW_MUST_USE struct tw_auth_result tw_verifier_verify(struct tw_verifier *verifier,
                                                     struct tw_str token, int64_t now_unix_s);

// Figures of the token cache, for metrics; zeros when there is none.
struct tw_token_cache_stats tw_verifier_cache_stats(const struct tw_verifier *verifier);

#endif

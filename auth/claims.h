// SPDX-License-Identifier: Apache-2.0
// claims: what a token's payload says, and whether an issuer's rules accept it (RFC 7519 section
// 4).
//
// Two steps, because the issuer named by the unverified payload selects the keys: tw_claims_parse
// reads, and only after the signature has been checked does tw_claims_check decide.
// Texts that become identities (sub, username, store, …) are bounded and hold no control
// characters, since they end up in logs, headers and SQL parameters. Not for: signatures (jws),
// what a group allows (policy). Runs in: worker. Pure; time comes in.

#ifndef TW_AUTH_CLAIMS_H
#define TW_AUTH_CLAIMS_H

#include <jansson.h>

#include "config/config.h" // TW_TOKEN_USE_*
#include "gateway/base.h"
#include "gateway/status.h"

#define TW_CLAIM_TEXT_MAX_BYTES  256
#define TW_CLAIMS_EXTRA_MAX      TW_CONFIG_LIMIT_CLAIMS_MAX
#define TW_CLAIM_ISS_MAX_BYTES   1024
#define TW_CLAIM_SCOPE_MAX_BYTES 4096
#define TW_CLAIM_TIME_MAX_S      253402300799 // the end of the year 9999

// Claims whose names are an option: "cognito:groups" and "custom:storeId" by default. A name that
// begins with '/' is a JSON Pointer into nested objects: "/realm_access/roles".
struct tw_claim_names {
    const char *groups, *store;
    struct tw_texts extra; // at most TW_CLAIMS_EXTRA_MAX that somebody counts by
};

// What one issuer's tokens must look like. All borrowed.
struct tw_issuer_rules {
    const char *issuer;           // equals `iss` byte for byte
    const char *const *audiences; // client ids or audiences; none: every token is refused
    size_t n_audiences;
    unsigned token_uses;            // allowed TW_TOKEN_USE_* bits; 0: not checked
    unsigned algorithms;            // allowed TW_ALGORITHM_* bits
    struct tw_texts scopes, groups; // a token must have one of each; none: not checked
};

// Slices point into `root`; an absent text is empty. Absent nbf and iat are 0.
struct tw_claims {
    struct tw_str iss, sub, client_id, token_use, scope, jti, username, store;
    struct tw_str extra[TW_CLAIMS_EXTRA_MAX]; // texts of names.extra, in its order
    int64_t exp_unix_s, nbf_unix_s, iat_unix_s;
    const json_t *aud;    // a string or an array of strings; NULL when absent
    const json_t *groups; // likewise
    json_t *root;         // owned; released by tw_claims_dispose
};

// Reads `payload`, which may be freed afterwards. NULL when `out` is filled in, else a static text
// that holds nothing of the token, and `out` needs no dispose. exp and sub are required.
TW_MUST_USE const char *tw_claims_parse(struct tw_str payload, const struct tw_claim_names *names,
                                        struct tw_claims *out);

void tw_claims_dispose(struct tw_claims *claims);

// TW_OK; TW_TOKEN_EXPIRED when nothing but exp is wrong; TW_INSUFFICIENT_SCOPE or TW_FORBIDDEN when
// a good token lacks a scope or group that the issuer's rules ask for; else TW_TOKEN_INVALID.
// `*reason` is NULL or a static text. Expired is a token from exp + leeway_s on (RFC 7519 section
// 4.1.4).
TW_MUST_USE enum tw_status tw_claims_check(const struct tw_claims *claims,
                                           const struct tw_issuer_rules *rules, int64_t leeway_s,
                                           int64_t now_unix_s, const char **reason);

// The one of the issuer's audiences that the token is for; p is NULL when it is for none of them.
// Where token_use is checked, as Cognito has it: client_id of an access token, aud of an ID token.
struct tw_str tw_claims_audience(const struct tw_claims *claims,
                                 const struct tw_issuer_rules *rules);

// Groups of the token: how many, and the i-th. A claim that is one string is a list of words.
size_t tw_claims_group_count(const struct tw_claims *claims);
struct tw_str tw_claims_group(const struct tw_claims *claims, size_t i);

// Whether `granted`, the words of a `scope` claim (RFC 8693 section 4.2), has one of those that are
// required; true when none is required.
TW_MUST_USE bool tw_claims_has_scope(struct tw_str granted, const struct tw_texts *required);

#endif

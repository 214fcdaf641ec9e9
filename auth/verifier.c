// SPDX-License-Identifier: Apache-2.0
#include "auth/verifier.h"

#include <assert.h>
#include <stdlib.h>

#include "auth/jws.h"
#include "auth/policy.h"

struct issuer {
    struct tw_issuer_rules rules;
    struct tw_jwks *keys; // NULL: has none
    uint64_t generation;  // of the keys, in the caller's counting
};

struct tw_verifier {
    struct issuer *issuers;
    uint64_t *epochs; // per issuer, counted up whenever its cached tokens must end
    size_t n_issuers;
    struct tw_claim_names names;
    const struct tw_group_roles *group_roles;
    size_t n_group_roles;
    int64_t leeway_s;
    struct tw_deny_list *denied; // NULL: nobody
    uint64_t denied_epoch;       // counted up with each deny list; 0 before the first
    struct tw_token_cache *cache;
    struct tw_jws jws; // scratch of the token being judged
};

static bool init_issuers(struct tw_verifier *verifier, const struct tw_verifier_config *config)
{
    // One more than asked for: calloc of nothing may answer NULL.
    verifier->issuers = calloc(config->n_issuers + 1, sizeof *verifier->issuers);
    verifier->epochs = calloc(config->n_issuers + 1, sizeof *verifier->epochs);
    if (!verifier->issuers || !verifier->epochs)
        return false;
    verifier->n_issuers = config->n_issuers;
    for (size_t i = 0; i < config->n_issuers; i++)
        verifier->issuers[i].rules = config->issuers[i];
    return true;
}

struct tw_verifier *tw_verifier_new(const struct tw_verifier_config *config)
{
    size_t max_bytes;
    if (config->leeway_s < 0 || config->leeway_s > TW_VERIFIER_LEEWAY_MAX_S)
        return NULL;
    if (__builtin_mul_overflow(config->cache_entries, TW_VERIFIER_BYTES_PER_TOKEN, &max_bytes))
        max_bytes = SIZE_MAX;
    struct tw_verifier *verifier = calloc(1, sizeof *verifier);
    if (!verifier)
        return NULL;
    verifier->names.groups = config->groups_claim ?: TW_VERIFIER_DEFAULT_GROUPS;
    verifier->names.store = config->store_claim ?: TW_VERIFIER_DEFAULT_STORE;
    verifier->names.extra = config->extra_claims;
    verifier->group_roles = config->group_roles;
    verifier->n_group_roles = config->n_group_roles;
    verifier->leeway_s = config->leeway_s;
    verifier->cache = tw_token_cache_new(config->cache_entries, max_bytes, config->hash_key);
    if (!verifier->cache || !init_issuers(verifier, config)) {
        tw_verifier_free(verifier);
        return NULL;
    }
    return verifier;
}

void tw_verifier_free(struct tw_verifier *verifier)
{
    if (!verifier)
        return;
    for (size_t i = 0; i < verifier->n_issuers; i++)
        tw_jwks_free(verifier->issuers[i].keys);
    tw_deny_list_free(verifier->denied);
    tw_token_cache_free(verifier->cache);
    free(verifier->issuers);
    free(verifier->epochs);
    free(verifier);
}

bool tw_verifier_set_keys(struct tw_verifier *verifier, size_t issuer, struct tw_str jwks_json,
                          uint64_t generation, struct tw_jwks_report *report)
{
    assert(issuer < verifier->n_issuers);
    struct issuer *of = &verifier->issuers[issuer];
    struct tw_jwks *keys = tw_jwks_parse(jwks_json, of->rules.algorithms, report);
    if (!keys)
        return false;
    if (of->generation != generation)
        verifier->epochs[issuer]++;
    tw_jwks_free(of->keys);
    of->keys = keys;
    of->generation = generation;
    return true;
}

void tw_verifier_drop_keys(struct tw_verifier *verifier, size_t issuer)
{
    assert(issuer < verifier->n_issuers);
    tw_jwks_free(verifier->issuers[issuer].keys);
    verifier->issuers[issuer].keys = NULL;
    verifier->epochs[issuer]++;
}

bool tw_verifier_has_keys(const struct tw_verifier *verifier, size_t issuer)
{
    assert(issuer < verifier->n_issuers);
    return verifier->issuers[issuer].keys != NULL;
}

bool tw_verifier_set_denied(struct tw_verifier *verifier, struct tw_str text,
                            struct tw_deny_list_fault *fault)
{
    struct tw_deny_list *list = tw_deny_list_parse(text, fault);
    if (!list)
        return false;
    tw_deny_list_free(verifier->denied);
    verifier->denied = list;
    verifier->denied_epoch++;
    return true;
}

static struct tw_auth_result refusal(enum tw_status status, const char *reason)
{
    return (struct tw_auth_result){.status = status, .reason = reason, .unknown_kid_issuer = -1};
}

// Index of the issuer with that name; n_issuers when there is none.
static size_t issuer_of(const struct tw_verifier *verifier, struct tw_str iss)
{
    size_t i = 0;
    while (i < verifier->n_issuers && !tw_str_eq(iss, tw_str_of(verifier->issuers[i].rules.issuer)))
        i++;
    return i;
}

static enum tw_status check_claims(const struct tw_verifier *verifier, size_t issuer,
                                   const struct tw_claims *claims, int64_t now_unix_s,
                                   const char **reason)
{
    return tw_claims_check(claims, &verifier->issuers[issuer].rules, verifier->leeway_s, now_unix_s,
                           reason);
}

// Only a token that would be good with the key is worth a fetch of new keys.
static struct tw_auth_result unknown_kid(const struct tw_verifier *verifier, size_t issuer,
                                         const struct tw_claims *claims, int64_t now_unix_s)
{
    const char *ignored;
    struct tw_auth_result result = refusal(TW_TOKEN_INVALID, "key of the token is not known");
    if (check_claims(verifier, issuer, claims, now_unix_s, &ignored) == TW_OK)
        result.unknown_kid_issuer = (int)issuer;
    return result;
}

// The times between which tw_claims_check would say the same again.
static struct tw_token_life life_of(const struct tw_verifier *verifier, size_t issuer,
                                    const struct tw_claims *claims)
{
    int64_t from = claims->nbf_unix_s > claims->iat_unix_s ? claims->nbf_unix_s
                                                           : claims->iat_unix_s;
    return (struct tw_token_life){.from_unix_s = from - verifier->leeway_s,
                                  .until_unix_s = claims->exp_unix_s + verifier->leeway_s,
                                  .generation = verifier->epochs[issuer],
                                  .issuer = issuer};
}

static struct tw_auth_result accept(struct tw_verifier *verifier, size_t issuer,
                                    const struct tw_claims *claims, struct tw_str token)
{
    unsigned roles = tw_policy_roles_of_groups(claims, verifier->group_roles,
                                               verifier->n_group_roles);
    struct tw_claims named = *claims;
    if (named.client_id.n == 0) // a Cognito ID token names its client in aud alone
        named.client_id = tw_claims_audience(claims, &verifier->issuers[issuer].rules);
    struct tw_principal *principal = tw_principal_new(&named, roles);
    if (!principal)
        return refusal(TW_INTERNAL, "out of memory");
    principal->judged_epoch = verifier->denied_epoch;
    struct tw_token_life life = life_of(verifier, issuer, claims);
    tw_token_cache_put(verifier->cache, token, principal, &life);
    return (struct tw_auth_result){
        .status = TW_OK, .principal = principal, .unknown_kid_issuer = -1};
}

// The token is in verifier->jws and `claims`, well-formed and believed in nothing yet.
static struct tw_auth_result judge(struct tw_verifier *verifier, struct tw_str token,
                                   const struct tw_claims *claims, int64_t now_unix_s)
{
    const struct tw_jws *jws = &verifier->jws;
    size_t issuer = issuer_of(verifier, claims->iss);
    if (issuer == verifier->n_issuers)
        return refusal(TW_TOKEN_INVALID, "issuer is not known");
    const struct tw_jwks *keys = verifier->issuers[issuer].keys;
    if (!keys)
        return refusal(TW_KEYS_UNAVAILABLE, "keys of the issuer are not loaded");
    const struct tw_jwk *key = tw_jwks_find(keys, (struct tw_str){jws->kid, jws->kid_n});
    if (!key)
        return unknown_kid(verifier, issuer, claims, now_unix_s);
    const char *reason = tw_jws_verify(jws, key->alg, key->pkey);
    if (reason)
        return refusal(TW_TOKEN_INVALID, reason);
    enum tw_status status = check_claims(verifier, issuer, claims, now_unix_s, &reason);
    if (status == TW_OK && tw_deny_list_names(verifier->denied, claims->jti, claims->sub))
        return refusal(TW_TOKEN_INVALID, "token is revoked");
    if (status == TW_OK)
        return accept(verifier, issuer, claims, token);
    struct tw_auth_result result = refusal(status, reason);
    if (status == TW_INSUFFICIENT_SCOPE)
        result.scopes = &verifier->issuers[issuer].rules.scopes;
    return result;
}

struct tw_auth_result tw_verifier_verify(struct tw_verifier *verifier, struct tw_str token,
                                         int64_t now_unix_s)
{
    struct tw_claims claims;
    struct tw_jws *jws = &verifier->jws;
    const char *reason = tw_jws_parse(token, jws);
    if (!reason)
        reason = tw_claims_parse((struct tw_str){jws->payload, jws->payload_n}, &verifier->names,
                                 &claims);
    if (reason)
        return refusal(TW_TOKEN_INVALID, reason);
    struct tw_auth_result result = judge(verifier, token, &claims, now_unix_s);
    tw_claims_dispose(&claims);
    return result;
}

bool tw_verifier_denies(const struct tw_verifier *verifier, struct tw_principal *principal)
{
    if (principal->judged_epoch == verifier->denied_epoch)
        return false;
    if (tw_deny_list_names(verifier->denied, principal->jti, principal->subject))
        return true;
    principal->judged_epoch = verifier->denied_epoch;
    return false;
}

struct tw_principal *tw_verifier_recall(struct tw_verifier *verifier, struct tw_str token,
                                        int64_t now_unix_s)
{
    if (token.n > TW_JWS_MAX_BYTES) // before it is hashed
        return NULL;
    struct tw_principal *known = tw_token_cache_find(verifier->cache, token, now_unix_s,
                                                     verifier->epochs);
    return known && !tw_verifier_denies(verifier, known) ? tw_principal_ref(known) : NULL;
}

struct tw_token_cache_stats tw_verifier_cache_stats(const struct tw_verifier *verifier)
{
    return tw_token_cache_stats(verifier->cache);
}

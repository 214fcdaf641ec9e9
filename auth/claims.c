// SPDX-License-Identifier: Apache-2.0
#include "auth/claims.h"

#include <math.h>

#include "auth/json.h"

// How an optional text claim is read. Every reason is a string literal: it goes to the log and into
// error_description, so it must not depend on the token.
struct text_claim {
    const char *name;
    size_t offset; // of the slice in struct tw_claims
    size_t max_bytes;
    const char *reason;
};

#define TEXT(name, field, max)                                                      \
    {                                                                               \
        name, offsetof(struct tw_claims, field), max, "claim " name " is malformed" \
    }

static const struct text_claim text_claims[] = {
    TEXT("iss", iss, TW_CLAIM_ISS_MAX_BYTES),
    TEXT("sub", sub, TW_CLAIM_TEXT_MAX_BYTES),
    TEXT("client_id", client_id, TW_CLAIM_TEXT_MAX_BYTES),
    TEXT("token_use", token_use, TW_CLAIM_TEXT_MAX_BYTES),
    TEXT("scope", scope, TW_CLAIM_SCOPE_MAX_BYTES),
    TEXT("jti", jti, TW_CLAIM_TEXT_MAX_BYTES),
    TEXT("username", username, TW_CLAIM_TEXT_MAX_BYTES),
    TEXT("cognito:username", username, TW_CLAIM_TEXT_MAX_BYTES), // wins: it stands later
};

// UTF-8 was checked by the JSON parser; C0 controls and DEL are what logs and headers cannot take.
static bool is_plain_text(struct tw_str s, size_t max_bytes)
{
    if (!s.p || s.n > max_bytes)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

// An absent claim leaves `*out` as it is.
static bool read_text(const json_t *root, const char *name, size_t max_bytes, struct tw_str *out)
{
    const json_t *value = tw_auth_json_find(root, name);
    if (!value)
        return true;
    *out = tw_auth_json_slice(value);
    return is_plain_text(*out, max_bytes);
}

static const char *read_texts(struct tw_claims *out)
{
    for (size_t i = 0; i < TW_COUNT(text_claims); i++) {
        const struct text_claim *claim = &text_claims[i];
        struct tw_str *field = (struct tw_str *)(void *)((char *)out + claim->offset);
        if (!read_text(out->root, claim->name, claim->max_bytes, field))
            return claim->reason;
    }
    return out->sub.n > 0 ? NULL : "claim sub is missing";
}

// NumericDate, integer or with decimals, rounded `up` or down: never to the token's advantage.
// Absent leaves `*out` as it is.
static bool read_time(const json_t *root, const char *name, bool up, int64_t *out)
{
    const json_t *value = json_object_get(root, name);
    if (!value)
        return true;
    if (!json_is_number(value))
        return false;
    double seconds = json_number_value(value);
    if (!(seconds >= 0 && seconds <= (double)TW_CLAIM_TIME_MAX_S))
        return false;
    *out = json_is_integer(value) ? json_integer_value(value)
                                  : (int64_t)(up ? ceil(seconds) : seconds);
    return true;
}

static const char *read_times(struct tw_claims *out)
{
    if (!json_object_get(out->root, "exp"))
        return "claim exp is missing";
    if (!read_time(out->root, "exp", false, &out->exp_unix_s))
        return "claim exp is not a time";
    if (!read_time(out->root, "nbf", true, &out->nbf_unix_s))
        return "claim nbf is not a time";
    if (!read_time(out->root, "iat", true, &out->iat_unix_s))
        return "claim iat is not a time";
    return NULL;
}

// A string, or an array of nothing but strings.
static bool read_strings(const json_t *root, const char *name, const json_t **out)
{
    *out = tw_auth_json_find(root, name);
    if (!*out || json_is_string(*out))
        return true;
    for (size_t i = 0; i < json_array_size(*out); i++)
        if (!json_is_string(json_array_get(*out, i)))
            return false;
    return json_is_array(*out);
}

static const char *read_all(const struct tw_claim_names *names, struct tw_claims *out)
{
    const char *reason = read_texts(out);
    if (!reason)
        reason = read_times(out);
    if (!reason && !read_strings(out->root, "aud", &out->aud))
        reason = "claim aud is malformed";
    if (!reason && !read_strings(out->root, names->groups, &out->groups))
        reason = "groups claim is malformed";
    if (!reason && !read_text(out->root, names->store, TW_CLAIM_TEXT_MAX_BYTES, &out->store))
        reason = "store claim is malformed";
    for (size_t i = 0; !reason && i < names->extra.n; i++)
        if (!read_text(out->root, names->extra.items[i], TW_CLAIM_TEXT_MAX_BYTES, &out->extra[i]))
            reason = "a claim that is counted by is malformed";
    return reason;
}

const char *tw_claims_parse(struct tw_str payload, const struct tw_claim_names *names,
                            struct tw_claims *out)
{
    *out = (struct tw_claims){0};
    out->root = tw_auth_json_object(payload);
    if (!out->root)
        return "payload is not a strict JSON object";
    const char *reason = read_all(names, out);
    if (reason)
        tw_claims_dispose(out);
    return reason;
}

void tw_claims_dispose(struct tw_claims *claims)
{
    json_decref(claims->root);
    *claims = (struct tw_claims){0};
}

static size_t string_count(const json_t *strings)
{
    return json_is_string(strings) ? 1 : json_array_size(strings);
}

static struct tw_str string_at(const json_t *strings, size_t i)
{
    return tw_auth_json_slice(json_is_string(strings) ? strings : json_array_get(strings, i));
}

// One string is a list of words, as `scope` is; an element of an array is one group, spaces and
// all.
size_t tw_claims_group_count(const struct tw_claims *claims)
{
    if (!json_is_string(claims->groups))
        return string_count(claims->groups);
    struct tw_str rest = string_at(claims->groups, 0);
    size_t n = 0;
    while (tw_str_next_word(&rest).n > 0)
        n++;
    return n;
}

struct tw_str tw_claims_group(const struct tw_claims *claims, size_t i)
{
    if (!json_is_string(claims->groups))
        return string_at(claims->groups, i);
    struct tw_str rest = string_at(claims->groups, 0), word = tw_str_next_word(&rest);
    while (i-- > 0)
        word = tw_str_next_word(&rest);
    return word;
}

static bool is_audience(const struct tw_issuer_rules *rules, struct tw_str name)
{
    for (size_t i = 0; i < rules->n_audiences; i++)
        if (tw_str_eq(name, tw_str_of(rules->audiences[i])))
            return true;
    return false;
}

static struct tw_str audience_in_aud(const struct tw_claims *claims,
                                     const struct tw_issuer_rules *rules)
{
    for (size_t i = 0; i < string_count(claims->aud); i++)
        if (is_audience(rules, string_at(claims->aud, i)))
            return string_at(claims->aud, i);
    return (struct tw_str){NULL, 0};
}

// Cognito names the client in client_id of an access token, which has an aud only when it is bound
// to a resource, and in aud of an ID token, as one text. Everybody else: aud (RFC 9068
// section 2.2).
struct tw_str tw_claims_audience(const struct tw_claims *claims,
                                 const struct tw_issuer_rules *rules)
{
    const struct tw_str none = {NULL, 0};
    if (rules->token_uses == 0)
        return audience_in_aud(claims, rules);
    if (tw_str_eq(claims->token_use, TW_STR("id")))
        return json_is_string(claims->aud) ? audience_in_aud(claims, rules) : none;
    bool aud_fits = !claims->aud || audience_in_aud(claims, rules).p;
    bool client_fits = claims->client_id.n > 0 && is_audience(rules, claims->client_id);
    return aud_fits && client_fits ? claims->client_id : none;
}

static bool token_use_fits(const struct tw_claims *claims, const struct tw_issuer_rules *rules)
{
    unsigned use = tw_str_eq(claims->token_use, TW_STR("access")) ? TW_TOKEN_USE_ACCESS
                   : tw_str_eq(claims->token_use, TW_STR("id"))   ? TW_TOKEN_USE_ID
                                                                  : 0;
    return rules->token_uses == 0 || (rules->token_uses & use) != 0;
}

static const char *check_but_expiry(const struct tw_claims *claims,
                                    const struct tw_issuer_rules *rules, int64_t latest_unix_s)
{
    if (!tw_str_eq(claims->iss, tw_str_of(rules->issuer)))
        return "claim iss is not the issuer";
    if (!token_use_fits(claims, rules))
        return "claim token_use is not allowed";
    if (!tw_claims_audience(claims, rules).p)
        return "audience is not allowed";
    if (claims->nbf_unix_s > latest_unix_s)
        return "token is not valid yet";
    if (claims->iat_unix_s > latest_unix_s)
        return "token was issued in the future";
    return NULL;
}

static bool is_member_of_any(const struct tw_claims *claims, const struct tw_texts *groups)
{
    for (size_t i = 0; i < string_count(claims->groups); i++)
        for (size_t j = 0; j < groups->n; j++)
            if (tw_str_eq(string_at(claims->groups, i), tw_str_of(groups->items[j])))
                return true;
    return groups->n == 0;
}

bool tw_claims_has_scope(struct tw_str granted, const struct tw_texts *required)
{
    for (struct tw_str word = tw_str_next_word(&granted); word.n > 0;
         word = tw_str_next_word(&granted))
        for (size_t i = 0; i < required->n; i++)
            if (tw_str_eq(word, tw_str_of(required->items[i])))
                return true;
    return required->n == 0;
}

enum tw_status tw_claims_check(const struct tw_claims *claims, const struct tw_issuer_rules *rules,
                               int64_t leeway_s, int64_t now_unix_s, const char **reason)
{
    *reason = check_but_expiry(claims, rules, now_unix_s + leeway_s);
    if (*reason)
        return TW_TOKEN_INVALID;
    if (now_unix_s >= claims->exp_unix_s + leeway_s) {
        *reason = "token has expired";
        return TW_TOKEN_EXPIRED;
    }
    if (!tw_claims_has_scope(claims->scope, &rules->scopes)) {
        *reason = "token has none of the scopes that its issuer must grant";
        return TW_INSUFFICIENT_SCOPE;
    }
    if (!is_member_of_any(claims, &rules->groups)) {
        *reason = "principal is in none of the groups that may come in";
        return TW_FORBIDDEN;
    }
    return TW_OK;
}

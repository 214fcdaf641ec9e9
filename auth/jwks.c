// SPDX-License-Identifier: Apache-2.0
#include "auth/jwks.h"

#include <stdlib.h>

#include "auth/json.h"

struct tw_jwks {
    size_t n;
    struct tw_jwk keys[];
};

// At most TW_JWKS_MAX_KEYS: comparing all pairs is cheaper than a table. Refused keys count too.
static bool has_repeated_kid(const json_t *keys)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        struct tw_str kid = tw_auth_json_string(json_array_get(keys, i), "kid");
        for (size_t j = 0; kid.p && j < i; j++) {
            struct tw_str other = tw_auth_json_string(json_array_get(keys, j), "kid");
            if (other.p && tw_str_eq(kid, other))
                return true;
        }
    }
    return false;
}

static void take_keys(const json_t *keys, unsigned algorithms, struct tw_jwks *set,
                      struct tw_jwks_report *report)
{
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *reason = tw_jwk_parse(json_array_get(keys, i), algorithms, &set->keys[set->n]);
        if (reason) {
            report->keys_refused++;
            report->key_reason = reason;
        } else {
            set->n++;
        }
    }
    report->keys_taken = (unsigned)set->n;
}

static const char *read_document(const json_t *root, unsigned algorithms, struct tw_jwks **out,
                                 struct tw_jwks_report *report)
{
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys))
        return "document has no array of keys";
    if (json_array_size(keys) > TW_JWKS_MAX_KEYS)
        return "document has too many keys";
    if (has_repeated_kid(keys))
        return "document repeats a kid";
    *out = calloc(1, sizeof **out + json_array_size(keys) * sizeof(*out)->keys[0]);
    if (!*out)
        return "out of memory";
    take_keys(keys, algorithms, *out, report);
    return (*out)->n > 0 ? NULL : "document has no usable key";
}

struct tw_jwks *tw_jwks_parse(struct tw_str document, unsigned algorithms,
                              struct tw_jwks_report *report)
{
    struct tw_jwks *set = NULL;
    *report = (struct tw_jwks_report){0};
    if (document.n > TW_JWKS_MAX_BYTES) {
        report->reason = "document is too long";
        return NULL;
    }
    json_t *root = tw_auth_json_object(document);
    report->reason = root ? read_document(root, algorithms, &set, report)
                          : "document is not a strict JSON object";
    json_decref(root);
    if (report->reason) {
        tw_jwks_free(set);
        set = NULL;
    }
    return set;
}

const struct tw_jwk *tw_jwks_find(const struct tw_jwks *set, struct tw_str kid)
{
    for (size_t i = 0; i < set->n; i++)
        if (tw_str_eq(kid, (struct tw_str){set->keys[i].kid, set->keys[i].kid_n}))
            return &set->keys[i];
    return NULL;
}

void tw_jwks_free(struct tw_jwks *set)
{
    for (size_t i = 0; set && i < set->n; i++)
        tw_jwk_dispose(&set->keys[i]);
    free(set);
}

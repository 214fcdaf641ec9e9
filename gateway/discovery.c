// SPDX-License-Identifier: Apache-2.0
#include "gateway/discovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/json.h"
#include "config/config.h"

// A static text, or NULL when `uri`, which is terminated, may be fetched.
static const char *judge(struct tw_str named, const char *issuer, struct tw_str uri)
{
    if (!named.p)
        return "the discovery document names no issuer";
    if (!tw_str_eq(named, tw_str_of(issuer)))
        return "the discovery document is that of another issuer";
    if (!uri.p)
        return "the discovery document names no jwks_uri";
    return NULL;
}

char *tw_discovery_jwks_uri(struct tw_str document, const char *issuer, char *err, size_t err_size)
{
    json_t *root = tw_auth_json_object(document);
    struct tw_str uri = tw_auth_json_string(root, "jwks_uri");
    const char *why = root ? judge(tw_auth_json_string(root, "issuer"), issuer, uri)
                           : "the discovery document is not a strict JSON object";
    const char *fault = why ? NULL : tw_config_jwks_uri_fault(uri.p);
    char *copy = why || fault ? NULL : strdup(uri.p);
    if (fault)
        snprintf(err, err_size, "jwks_uri of the discovery document %s", fault);
    else if (!copy)
        snprintf(err, err_size, "%s", why ? why : "out of memory");
    json_decref(root);
    return copy;
}

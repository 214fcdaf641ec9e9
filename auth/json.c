// SPDX-License-Identifier: Apache-2.0
#include "auth/json.h"

// Counts brackets outside strings. Malformed text may be miscounted; jansson refuses it anyway.
static bool depth_is_bounded(struct tw_str text)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string)
            i += c == '\\';
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > TW_AUTH_JSON_DEPTH)
            return false;
    }
    return true;
}

json_t *tw_auth_json_object(struct tw_str text)
{
    if (text.n == 0 || !depth_is_bounded(text))
        return NULL;
    json_t *value = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (value && !json_is_object(value)) {
        json_decref(value);
        value = NULL;
    }
    return value;
}

struct tw_str tw_auth_json_slice(const json_t *value)
{
    if (!json_is_string(value))
        return (struct tw_str){NULL, 0};
    return (struct tw_str){json_string_value(value), json_string_length(value)};
}

struct tw_str tw_auth_json_string(const json_t *object, const char *name)
{
    return tw_auth_json_slice(json_object_get(object, name));
}

// One token of a JSON Pointer, unescaped: "a~1b" is "a/b". Returns what follows it; NULL when it
// does not fit or is malformed.
static const char *pointer_token(const char *at, char *out, size_t size)
{
    size_t n = 0;
    for (; *at != '\0' && *at != '/'; at++) {
        if (n + 1 == size)
            return NULL;
        out[n] = *at;
        if (*at == '~') {
            at++;
            if (*at != '0' && *at != '1')
                return NULL;
            out[n] = *at == '0' ? '~' : '/';
        }
        n++;
    }
    out[n] = '\0';
    return at;
}

const json_t *tw_auth_json_find(const json_t *object, const char *name)
{
    char token[256];
    if (*name != '/')
        return json_object_get(object, name);
    while (object && name && *name == '/') {
        name = pointer_token(name + 1, token, sizeof token);
        object = name ? json_object_get(object, token) : NULL;
    }
    return object;
}

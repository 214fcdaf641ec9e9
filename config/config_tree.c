// SPDX-License-Identifier: Apache-2.0
// config_tree: nodes to options by their dotted key; a key nobody knows is refused with a guess.
//
// Also the helpers that the lists share. A section ("db") is whatever an option's key begins
// with; no table of sections exists. Runs in: master and command line. Owns nothing.

#include "config/internal.h"

const struct tw_config_list tw_config_lists[TW_CONFIG_LIST_COUNT] = {
    {"listen", tw_config_listen_set, tw_config_listen_print},
    {"auth.issuers", tw_config_issuers_set, tw_config_issuers_print},
    {"auth.roles.groups", tw_config_group_roles_set, tw_config_group_roles_print},
    {"auth.routes", tw_config_route_access_set, tw_config_route_access_print},
    {"auth.certificates", tw_config_certificates_set, tw_config_certificates_print},
    {"limits", tw_config_limits_set, tw_config_limits_print},
    {"http.trusted_proxies", tw_config_proxies_set, tw_config_proxies_print},
    {"cors.origins", tw_config_cors_origins_set, tw_config_cors_origins_print},
};

static const char *key_at(size_t i)
{
    return i < TW_OPTION_COUNT ? tw_options[i].key : tw_config_lists[i - TW_OPTION_COUNT].key;
}

#define KEY_COUNT (TW_OPTION_COUNT + TW_COUNT(tw_config_lists))

static const struct tw_option *find_option(const char *path)
{
    for (size_t i = 0; i < TW_OPTION_COUNT; i++)
        if (strcmp(tw_options[i].key, path) == 0)
            return &tw_options[i];
    return NULL;
}

static const struct tw_config_list *find_list(const char *path)
{
    for (size_t i = 0; i < TW_COUNT(tw_config_lists); i++)
        if (strcmp(tw_config_lists[i].key, path) == 0)
            return &tw_config_lists[i];
    return NULL;
}

static bool is_section(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strncmp(key_at(i), path, n) == 0 && key_at(i)[n] == '.')
            return true;
    return false;
}

static size_t levels(const char *path)
{
    size_t n = 1;
    for (; *path != '\0'; path++)
        n += *path == '.';
    return n;
}

// The first `n` words of a key: "auth.roles" of "auth.roles.claim".
static struct tw_str first_levels(const char *key, size_t n)
{
    const char *p = key;
    for (; *p != '\0'; p++)
        if (*p == '.' && --n == 0)
            break;
    return (struct tw_str){key, (size_t)(p - key)};
}

static const char *last_level(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

// A known key near `path`, or one that has the same last word elsewhere; empty if there is none.
static struct tw_str guess_key(const char *path)
{
    struct tw_config_guess guess = {.word = tw_str_of(path)};
    for (size_t i = 0; i < KEY_COUNT; i++)
        tw_config_guess(&guess, first_levels(key_at(i), levels(path)));
    for (size_t i = 0; i < KEY_COUNT && guess.best.n == 0; i++)
        if (strcmp(last_level(key_at(i)), last_level(path)) == 0)
            guess.best = tw_str_of(key_at(i));
    return guess.best;
}

static void fail_unknown(struct tw_config_load *load, struct tw_config_place place,
                         const char *path, struct tw_str best)
{
    if (best.n > 0)
        tw_config_fail(load, place, path, "unknown key; did you mean \"%.*s\"?", (int)best.n,
                       best.p);
    else
        tw_config_fail(load, place, path, "unknown key; remove it or see docs/configuration.md");
}

static void set_scalar(struct tw_config_load *load, const struct tw_config_node *node,
                       const struct tw_option *option)
{
    if (node->kind != TW_CONFIG_SCALAR)
        tw_config_fail(load, node->place, option->key, "must be a single value, not a %s",
                       node->kind == TW_CONFIG_MAPPING ? "mapping" : "list");
    else if (tw_config_node_is_null(node))
        tw_config_fail(load, node->key_place, option->key,
                       "has no value; write one (\"\" is the empty text) or remove the line");
    else
        tw_option_set(load, node->place, option, node->text);
}

static void apply_mapping(struct tw_config_load *load, const struct tw_config_node *node,
                          const char *prefix);

static void apply_child(struct tw_config_load *load, const struct tw_config_node *node,
                        const char *path)
{
    const struct tw_option *option = find_option(path);
    const struct tw_config_list *list = find_list(path);
    if (option != NULL)
        set_scalar(load, node, option);
    else if (list != NULL)
        list->set(load, node);
    else if (!is_section(path))
        fail_unknown(load, node->key_place, path, guess_key(path));
    else if (node->kind == TW_CONFIG_MAPPING)
        apply_mapping(load, node, path);
    else if (!tw_config_node_is_null(node)) // a section whose lines are all commented out is fine
        tw_config_fail(load, node->place, path, "must be a mapping of keys to values");
}

// `prefix` is "" or a section's key. Keys that look like the whole dotted name are refused: each
// option has one spelling, so two of them in one file are always seen as duplicates.
static void apply_mapping(struct tw_config_load *load, const struct tw_config_node *node,
                          const char *prefix)
{
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next) {
        char path[TW_CONFIG_PATH_MAX];
        const char *dot = *prefix != '\0' ? "." : "";
        int n = snprintf(path, sizeof path, "%s%s%s", prefix, dot, child->key);
        if (strchr(child->key, '.') != NULL)
            tw_config_fail(load, child->key_place, path,
                           "write the key nested, one level for each dot");
        else if (n < 0 || n >= (int)sizeof path)
            fail_unknown(load, child->key_place, path, (struct tw_str){NULL, 0});
        else
            apply_child(load, child, path);
    }
}

void tw_config_apply(struct tw_config_load *load, const struct tw_config_node *top)
{
    if (top->kind == TW_CONFIG_MAPPING)
        apply_mapping(load, top, "");
    else if (!tw_config_node_is_null(top))
        tw_config_fail(load, top->place, NULL, "the file must be a mapping of keys to values");
}

static void fail_unknown_field(struct tw_config_load *load, const struct tw_config_node *child,
                               const char *path, const struct tw_config_field *fields, size_t n)
{
    struct tw_config_guess guess = {.word = tw_str_of(child->key)};
    for (size_t i = 0; i < n; i++)
        tw_config_guess(&guess, tw_str_of(fields[i].key));
    char full[TW_CONFIG_PATH_MAX];
    snprintf(full, sizeof full, "%s.%s", path, child->key);
    fail_unknown(load, child->key_place, full, guess.best);
}

bool tw_config_fields(struct tw_config_load *load, const struct tw_config_node *node,
                      const char *path, struct tw_config_field *fields, size_t n)
{
    bool ok = true;
    if (node->kind != TW_CONFIG_MAPPING) {
        tw_config_fail(load, node->place, path, "must be a mapping of keys to values");
        return false;
    }
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next) {
        size_t i = 0;
        while (i < n && strcmp(fields[i].key, child->key) != 0)
            i++;
        if (i < n) {
            fields[i].node = child;
            continue;
        }
        fail_unknown_field(load, child, path, fields, n);
        ok = false;
    }
    return ok;
}

const char *tw_config_text_fault(struct tw_str text)
{
    if (!tw_utf8_valid(text))
        return "is not well-formed UTF-8";
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return "contains a control character or a line break";
    return NULL;
}

const char *tw_config_text(struct tw_config_load *load, const struct tw_config_node *node,
                           const char *path)
{
    const char *fault = "must be a single value";
    if (node->kind == TW_CONFIG_SCALAR)
        fault = node->text.n == 0 || tw_config_node_is_null(node)
                    ? "must not be empty"
                    : tw_config_text_fault(node->text);
    if (fault != NULL) {
        tw_config_fail(load, node->place, path, "%s", fault);
        return NULL;
    }
    return tw_config_copy(load, node->text);
}

bool tw_config_is_sequence(struct tw_config_load *load, const struct tw_config_node *node,
                           const char *path, size_t max)
{
    if (node->kind != TW_CONFIG_SEQUENCE)
        tw_config_fail(load, node->place, path,
                       "must be a list: [ ... ], or lines that begin "
                       "with \"- \"");
    else if (node->n_children > max)
        tw_config_fail(load, node->place, path, "has %zu entries; at most %zu are allowed",
                       node->n_children, max);
    return node->kind == TW_CONFIG_SEQUENCE && node->n_children <= max;
}

bool tw_config_texts(struct tw_config_load *load, const struct tw_config_node *node,
                     const char *path, size_t max, struct tw_texts *out)
{
    size_t n = 0;
    if (!tw_config_is_sequence(load, node, path, max))
        return false;
    const char **texts = tw_config_alloc(load, (node->n_children + 1) * sizeof *texts);
    if (texts == NULL)
        return false;
    for (const struct tw_config_node *item = node->first; item != NULL; item = item->next) {
        texts[n] = tw_config_text(load, item, path);
        n += texts[n] != NULL;
    }
    *out = (struct tw_texts){texts, n};
    return n == node->n_children;
}

bool tw_config_scopes(struct tw_config_load *load, const struct tw_config_node *node,
                      const char *path, struct tw_texts *out)
{
    if (!tw_config_texts(load, node, path, TW_CONFIG_TEXTS_MAX, out))
        return false;
    for (size_t i = 0; i < out->n; i++)
        for (const char *c = out->items[i]; *c != '\0'; c++)
            if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\') {
                tw_config_fail(load, node->place, path,
                               "\"%.60s\" is not a scope: no spaces, quotes or backslashes",
                               out->items[i]);
                return false;
            }
    return true;
}

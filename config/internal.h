// SPDX-License-Identifier: Apache-2.0
// config/internal: what the files of config/ share while a snapshot is being made.
//
// Not for other rooms: they include config/config.h. The life of a load: config.c allocates a
// snapshot and sets the defaults, config_yaml.c turns each file into nodes, config_tree.c applies
// the nodes by key (config_value.c for scalars, config_listen.c and config_issuer.c for lists),
// config_env.c applies the environment the same way, config_check.c judges the whole.
// Problems never stop a load early: each is reported by tw_config_fail() and the load goes on.

#ifndef TW_CONFIG_INTERNAL_H
#define TW_CONFIG_INTERNAL_H

#include "config/config.h"

#define TW_CONFIG_FILE_MAX   (1024 * 1024)
#define TW_CONFIG_SECRET_MAX (64 * 1024)

// Where a value was written. `name` is a file, a variable, or NULL when there is nothing to point
// at; `line` is 0 when the name says enough.
struct tw_config_place {
    const char *name;
    unsigned line;
};

// One load in progress. Lives on the stack of tw_config_load().
struct tw_config_load {
    struct tw_config *config;
    const char **origins; // the writable face of config->origins
    struct tw_config_place listen_places[TW_CONFIG_LISTEN_MAX];
    struct tw_config_place issuer_places[TW_CONFIG_ISSUER_MAX];
    struct tw_config_place cors_origins_place;

    char *err;
    size_t err_size;
    size_t err_used;
    unsigned n_errors;
    unsigned n_omitted; // of them, not in `err` for want of room
};

// --- config_memory.c -----------------------------------------------------------------------

TW_MUST_USE struct tw_config_memory *tw_config_memory_new(void);
void tw_config_memory_free(struct tw_config_memory *memory);

// Zeroed memory that lives as long as the snapshot. NULL when out of memory.
TW_MUST_USE void *tw_config_memory_take(struct tw_config_memory *memory, size_t n);

// A copy of the text; NULL without memory.
TW_MUST_USE const char *tw_config_memory_text(struct tw_config_memory *memory, const char *text);

// The same for a load: reports the want of memory itself, so a caller only has to stop.
TW_MUST_USE void *tw_config_alloc(struct tw_config_load *load, size_t n);
TW_MUST_USE const char *tw_config_copy(struct tw_config_load *load, struct tw_str text);

// Reads a whole file of at most `max` bytes; the text is terminated. On failure it reports
// "<place>: <key>: cannot read ..." and returns false. `key` may be NULL.
TW_MUST_USE bool tw_config_read_file(struct tw_config_load *load, struct tw_config_place place,
                                     const char *key, const char *path, size_t max,
                                     struct tw_str *out);

// --- config_error.c ------------------------------------------------------------------------

// Adds the line "name:line: key: message"; `place.name` and `key` may be NULL.
void tw_config_fail(struct tw_config_load *load, struct tw_config_place place, const char *key,
                    const char *format, ...) TW_PRINTF(4, 5);

// Says how many lines found no room. Call once, at the end.
void tw_config_fail_finish(struct tw_config_load *load);

// Looks for the name somebody may have meant. Begin with {.word = ...}; afterwards `best.n` is 0
// when nothing is near.
struct tw_config_guess {
    struct tw_str word;
    struct tw_str best;
    size_t distance;
};
void tw_config_guess(struct tw_config_guess *guess, struct tw_str candidate);

// --- config_value.c ------------------------------------------------------------------------

enum tw_option_type {
    TW_OPTION_STRING,
    TW_OPTION_CHOICE,
    TW_OPTION_BOOL,
    TW_OPTION_INT,
    TW_OPTION_INT_AUTO,
    TW_OPTION_DURATION_MS,
    TW_OPTION_SIZE_BYTES,
    TW_OPTION_RATIO_PPM,
};

// One line of options.def.
struct tw_option {
    const char *key;
    enum tw_option_type type;
    const char *initial, *min, *max;
    bool reloadable, secret;
    const char *doc;
    size_t offset; // of the field in struct tw_config
};

enum {
#define OPT(key, field, ...) TW_OPTION_AT_##field,
#include "config/options.def"
#undef OPT
    TW_OPTION_COUNT
};

extern const struct tw_option tw_options[TW_OPTION_COUNT];

// Parses `text` into the option's field and notes the origin. On failure it reports and leaves
// the field alone.
void tw_option_set(struct tw_config_load *load, struct tw_config_place place,
                   const struct tw_option *option, struct tw_str text);

// Writes the value as it would stand in YAML; a secret as "***".
void tw_option_print(const struct tw_option *option, const struct tw_config *config, FILE *out);

// Writes a text in double quotes, as YAML and JSON read it; and a list of them.
void tw_config_print_text(const char *text, FILE *out);
void tw_config_print_texts(struct tw_texts texts, FILE *out);

// What stands behind the key of a list of `n` items: " []" or the line's end.
void tw_config_print_list_head(size_t n, FILE *out);

bool tw_option_equal(const struct tw_option *option, const struct tw_config *a,
                     const struct tw_config *b);

// Gives `to` the value of `from`, texts as copies in its memory; false without memory.
TW_MUST_USE bool tw_option_copy(const struct tw_option *option, struct tw_config *to,
                                const struct tw_config *from);

const char *tw_option_type_name(enum tw_option_type type);

// --- config_yaml.c -------------------------------------------------------------------------

enum tw_config_node_kind {
    TW_CONFIG_SCALAR,
    TW_CONFIG_SEQUENCE,
    TW_CONFIG_MAPPING,
};

struct tw_config_node {
    enum tw_config_node_kind kind;
    struct tw_config_place place;
    const char *key; // in a mapping; otherwise NULL
    struct tw_config_place key_place;
    struct tw_str text; // of a scalar; terminated, without NUL inside
    bool plain;         // a scalar without quotes
    struct tw_config_node *first, *next;
    size_t n_children;
};

// Parses one YAML document. `name` stands in errors and must live as long as the nodes. Text
// without a document is an empty mapping. NULL after a reported error.
TW_MUST_USE struct tw_config_node *tw_config_yaml_parse(struct tw_config_load *load,
                                                        const char *name, struct tw_str text);

// Whether nothing was written ("key:", "~" or "null").
bool tw_config_node_is_null(const struct tw_config_node *node);

// --- config_tree.c -------------------------------------------------------------------------

// Applies a file's top mapping.
void tw_config_apply(struct tw_config_load *load, const struct tw_config_node *top);

// Lists: what replaces them as a whole, under which key, and how they are printed: all that
// comes behind "key:", each item on lines of its own that begin with `indent`.
struct tw_config_list {
    const char *key;
    void (*set)(struct tw_config_load *load, const struct tw_config_node *node);
    void (*print)(const struct tw_config *config, const char *indent, FILE *out);
};
#define TW_CONFIG_LIST_COUNT 8
extern const struct tw_config_list tw_config_lists[TW_CONFIG_LIST_COUNT];

// The keys a mapping inside a list may have; `node` is filled in, NULL for an absent key.
struct tw_config_field {
    const char *key;
    const struct tw_config_node *node;
};

// Sorts the children of `node` into `fields`; reports what does not belong. False unless `node`
// is a mapping with known keys only.
TW_MUST_USE bool tw_config_fields(struct tw_config_load *load, const struct tw_config_node *node,
                                  const char *path, struct tw_config_field *fields, size_t n);

// A copy of a non-empty text without control characters; NULL after a reported error.
TW_MUST_USE const char *tw_config_text(struct tw_config_load *load,
                                       const struct tw_config_node *node, const char *path);

// Whether `node` is a sequence of at most `max` items; reports otherwise.
TW_MUST_USE bool tw_config_is_sequence(struct tw_config_load *load,
                                       const struct tw_config_node *node, const char *path,
                                       size_t max);

// The texts of a list of at most `max` of them, each non-empty; false after a reported error.
TW_MUST_USE bool tw_config_texts(struct tw_config_load *load, const struct tw_config_node *node,
                                 const char *path, size_t max, struct tw_texts *out);

// The same for scopes, which stand in headers: only what RFC 6749 section 3.3 allows in a scope.
TW_MUST_USE bool tw_config_scopes(struct tw_config_load *load, const struct tw_config_node *node,
                                  const char *path, struct tw_texts *out);

// The same for scopes, which stand in headers: only what RFC 6749 section 3.3 allows in a scope.
TW_MUST_USE bool tw_config_scopes(struct tw_config_load *load, const struct tw_config_node *node,
                                  const char *path, struct tw_texts *out);

// Why a text cannot be a value ("is not UTF-8", ...), or NULL when it can.
const char *tw_config_text_fault(struct tw_str text);

// --- the lists: config_listen.c, config_issuer.c, config_access.c, config_cors.c,
// config_proxies.c ------------

void tw_config_listen_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_listen_print(const struct tw_config *config, const char *indent, FILE *out);
TW_MUST_USE bool tw_config_listen_default(struct tw_config_load *load);
void tw_config_issuers_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_issuers_print(const struct tw_config *config, const char *indent, FILE *out);
void tw_config_group_roles_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_group_roles_print(const struct tw_config *config, const char *indent, FILE *out);
void tw_config_route_access_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_route_access_print(const struct tw_config *config, const char *indent, FILE *out);
void tw_config_certificates_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_certificates_print(const struct tw_config *config, const char *indent, FILE *out);
void tw_config_limits_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_limits_print(const struct tw_config *config, const char *indent, FILE *out);
void tw_config_proxies_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_proxies_print(const struct tw_config *config, const char *indent, FILE *out);
void tw_config_cors_origins_set(struct tw_config_load *load, const struct tw_config_node *node);
void tw_config_cors_origins_print(const struct tw_config *config, const char *indent, FILE *out);

// --- config_uri.c --------------------------------------------------------------------------

// "scheme://host" or "scheme://host:port", as browsers send it in Origin (RFC 6454 section 6.2).
// Why it is none, or NULL.
const char *tw_config_origin_fault(const char *text);

// The same for where traces go: any http or https.
const char *tw_config_collector_uri_fault(const char *uri);

// Numeric IPv4 or IPv6 without brackets.
bool tw_config_is_ip(const char *text);

// --- config_env.c, config_check.c ----------------------------------------------------------

// "TILLWAY_DB_URL" for "db.url", followed by `suffix`.
#define TW_CONFIG_ENV_MAX 96
void tw_config_env_name(const char *key, const char *suffix, char out[TW_CONFIG_ENV_MAX]);

void tw_config_env_apply(struct tw_config_load *load);
void tw_config_check(struct tw_config_load *load);

#endif

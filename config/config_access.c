// SPDX-License-Identifier: Apache-2.0
// config_access: the lists that say who may do what: auth.roles.groups, auth.routes and
// auth.certificates.
//
//   auth:
//     roles: {groups: [{group: till-staff, roles: [cashier]}]}
//     routes: [{route: POST /v1/products, roles: [manager], scopes: [pos/catalogue]}]
//     certificates: [{subject: "CN=till-7,O=Shop", roles: [cashier], store: north}]
//
// Whether a route exists is judged where THE table is known (gateway/access.c).
// Runs in: master and command line. Strings belong to the snapshot.

#include "config/internal.h"

// One line of a list while it is read.
struct line {
    struct tw_config_load *load;
    const struct tw_config_node *node;
    char path[TW_CONFIG_PATH_MAX];
};

static void field_path(const struct line *line, const struct tw_config_field *field,
                       char out[TW_CONFIG_PATH_MAX])
{
    snprintf(out, TW_CONFIG_PATH_MAX, "%.100s.%.24s", line->path, field->key);
}

static const char *text_of(const struct line *line, const struct tw_config_field *field)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(line, field, path);
    if (field->node == NULL) {
        tw_config_fail(line->load, line->node->place, path, "is missing");
        return NULL;
    }
    return tw_config_text(line->load, field->node, path);
}

// The set of the roles that are named. `route`: "any" and "public" count too, each on its own.
static unsigned roles_of(const struct line *line, const struct tw_config_field *field, bool route)
{
    struct tw_texts names;
    char path[TW_CONFIG_PATH_MAX];
    unsigned roles = 0;
    field_path(line, field, path);
    if (field->node == NULL || field->node->n_children == 0) {
        tw_config_fail(line->load, field->node ? field->node->place : line->node->place, path,
                       "must name at least one of cashier, manager, admin%s",
                       route ? ", or be [any] or [public]" : "");
        return 0;
    }
    if (!tw_config_texts(line->load, field->node, path, TW_CONFIG_TEXTS_MAX, &names))
        return 0;
    for (size_t i = 0; i < names.n; i++) {
        unsigned role = tw_role_by_name(tw_str_of(names.items[i]));
        if (route && names.n == 1 && strcmp(names.items[i], "any") == 0)
            role = TW_ROLE_ANY;
        if (route && names.n == 1 && strcmp(names.items[i], "public") == 0)
            role = TW_ROLE_PUBLIC;
        if (role == 0)
            tw_config_fail(line->load, field->node->place, path,
                           "\"%.60s\" is not a role: write cashier, manager or admin%s",
                           names.items[i], route ? ", or [any] or [public] alone" : "");
        roles |= role;
    }
    return roles;
}

static void read_group(const struct line *line, struct tw_group_roles *out)
{
    struct tw_config_field fields[] = {{"group", NULL}, {"roles", NULL}};
    if (!tw_config_fields(line->load, line->node, line->path, fields, TW_COUNT(fields)))
        return;
    out->group = text_of(line, &fields[0]);
    out->roles = roles_of(line, &fields[1], false);
}

// A route that anybody may use is for reading: what is written needs a name beside it.
static void check_public(const struct line *line, const struct tw_route_access *access)
{
    if (access->route == NULL || access->roles != TW_ROLE_PUBLIC)
        return;
    if (strncmp(access->route, "GET ", 4) != 0)
        tw_config_fail(line->load, line->node->place, line->path,
                       "only a GET route can be public: what is written needs a name beside it");
    else if (access->scopes.n > 0)
        tw_config_fail(line->load, line->node->place, line->path,
                       "a public route asks for no token and so for no scopes");
}

static void read_route(const struct line *line, struct tw_route_access *out)
{
    struct tw_config_field fields[] = {{"route", NULL}, {"roles", NULL}, {"scopes", NULL}};
    char path[TW_CONFIG_PATH_MAX];
    if (!tw_config_fields(line->load, line->node, line->path, fields, TW_COUNT(fields)))
        return;
    out->route = text_of(line, &fields[0]);
    out->roles = roles_of(line, &fields[1], true);
    field_path(line, &fields[2], path);
    if (fields[2].node != NULL && !tw_config_scopes(line->load, fields[2].node, path, &out->scopes))
        return;
    check_public(line, out);
}

static void read_certificate(const struct line *line, struct tw_certificate_roles *out)
{
    struct tw_config_field fields[] = {{"subject", NULL}, {"roles", NULL}, {"store", NULL}};
    if (!tw_config_fields(line->load, line->node, line->path, fields, TW_COUNT(fields)))
        return;
    out->subject = text_of(line, &fields[0]);
    out->roles = roles_of(line, &fields[1], false);
    if (fields[2].node != NULL)
        out->store = text_of(line, &fields[2]);
}

// The lines of a list, zeroed, of `size` bytes each; NULL after a reported error.
static void *lines_of(struct tw_config_load *load, const struct tw_config_node *node,
                      const char *key, size_t size)
{
    if (!tw_config_is_sequence(load, node, key, TW_CONFIG_RULES_MAX))
        return NULL;
    return tw_config_alloc(load, (node->n_children + 1) * size);
}

// Two lines for one name contradict each other. Every line's struct begins with its name.
static void refuse_repetition(const struct line *line, const void *lines, size_t size, size_t n)
{
    const char *name = *(const char *const *)((const char *)lines + n * size);
    for (size_t i = 0; name != NULL && i < n; i++) {
        const char *other = *(const char *const *)((const char *)lines + i * size);
        if (other != NULL && strcmp(name, other) == 0)
            tw_config_fail(line->load, line->node->place, line->path,
                           "\"%.100s\" has a line of its own above; keep one", name);
    }
}

static void begin_line(struct tw_config_load *load, const char *key,
                       const struct tw_config_node *node, size_t i, struct line *line)
{
    line->load = load;
    line->node = node;
    snprintf(line->path, sizeof line->path, "%s[%zu]", key, i);
}

void tw_config_group_roles_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    static const char key[] = "auth.roles.groups";
    struct line line;
    size_t n = 0;
    struct tw_group_roles *lines = lines_of(load, node, key, sizeof *lines);
    for (const struct tw_config_node *child = node->first; lines && child; child = child->next) {
        begin_line(load, key, child, n, &line);
        read_group(&line, &lines[n]);
        refuse_repetition(&line, lines, sizeof *lines, n++);
    }
    load->config->group_roles = lines;
    load->config->n_group_roles = n;
}

void tw_config_route_access_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    static const char key[] = "auth.routes";
    struct line line;
    size_t n = 0;
    struct tw_route_access *lines = lines_of(load, node, key, sizeof *lines);
    for (const struct tw_config_node *child = node->first; lines && child; child = child->next) {
        begin_line(load, key, child, n, &line);
        read_route(&line, &lines[n]);
        refuse_repetition(&line, lines, sizeof *lines, n++);
    }
    load->config->route_access = lines;
    load->config->n_route_access = n;
}

void tw_config_certificates_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    static const char key[] = "auth.certificates";
    struct line line;
    size_t n = 0;
    struct tw_certificate_roles *lines = lines_of(load, node, key, sizeof *lines);
    for (const struct tw_config_node *child = node->first; lines && child; child = child->next) {
        begin_line(load, key, child, n, &line);
        read_certificate(&line, &lines[n]);
        refuse_repetition(&line, lines, sizeof *lines, n++);
    }
    load->config->certificate_roles = lines;
    load->config->n_certificate_roles = n;
}

static void print_roles(unsigned roles, FILE *out)
{
    const char *comma = "";
    fputs(", roles: [", out);
    if (roles & (TW_ROLE_ANY | TW_ROLE_PUBLIC))
        fputs(roles & TW_ROLE_ANY ? "any" : "public", out);
#define XX(NAME, name, bit, rights)        \
    if (roles & (bit)) {                   \
        fprintf(out, "%s%s", comma, name); \
        comma = ", ";                      \
    }
    TW_ROLE_MAP(XX)
#undef XX
    putc(']', out);
}

void tw_config_group_roles_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_group_roles, out);
    for (size_t i = 0; i < config->n_group_roles; i++) {
        fprintf(out, "%s- {group: ", indent);
        tw_config_print_text(config->group_roles[i].group, out);
        print_roles(config->group_roles[i].roles, out);
        fputs("}\n", out);
    }
}

void tw_config_route_access_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_route_access, out);
    for (size_t i = 0; i < config->n_route_access; i++) {
        const struct tw_route_access *access = &config->route_access[i];
        fprintf(out, "%s- {route: ", indent);
        tw_config_print_text(access->route, out);
        print_roles(access->roles, out);
        if (access->scopes.n > 0) {
            fputs(", scopes: ", out);
            tw_config_print_texts(access->scopes, out);
        }
        fputs("}\n", out);
    }
}

void tw_config_certificates_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_certificate_roles, out);
    for (size_t i = 0; i < config->n_certificate_roles; i++) {
        const struct tw_certificate_roles *line = &config->certificate_roles[i];
        fprintf(out, "%s- {subject: ", indent);
        tw_config_print_text(line->subject, out);
        print_roles(line->roles, out);
        if (line->store != NULL) {
            fputs(", store: ", out);
            tw_config_print_text(line->store, out);
        }
        fputs("}\n", out);
    }
}

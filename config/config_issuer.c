// SPDX-License-Identifier: Apache-2.0
// config_issuer: the list `auth.issuers`, with the Cognito preset expanded.
//
//   - cognito: {region: eu-west-1, userPoolId: eu-west-1_AbCdEf, clientIds: [..], tokenUse: [id]}
//   - {issuer: "https://..", audience: [..]}    (and jwksUri: "https://..", or jwksFile: FILE)
//
// Without jwksUri and jwksFile the keys are found by the issuer's discovery document (OpenID
// Connect Discovery 1.0 section 4).
// A Cognito pool's issuer and key set are at https://cognito-idp.{region}.amazonaws.com/{pool}
// (Amazon Cognito developer guide, "Verifying JSON web tokens"). Its access tokens carry the client
// in `client_id`, its id tokens in `aud`: both are called audiences here. An issuer without any
// audience is refused: it would let in tokens that were made for another application.
// Runs in: master and command line. Strings belong to the snapshot.

#include "config/internal.h"

#define JWKS_PATH      "/.well-known/jwks.json"
#define EMPTY          "is empty, so it would refuse every token; remove it or name one"
#define DISCOVERY_PATH "/.well-known/openid-configuration"

// Everything one entry may say; which keys it may use is decided by the two readers below.
struct entry {
    struct tw_config_load *load;
    const struct tw_config_node *node;
    char path[TW_CONFIG_PATH_MAX];
    struct tw_issuer *out;
};

static void fail_entry(const struct entry *entry, const char *text)
{
    tw_config_fail(entry->load, entry->node->place, entry->path, "%s", text);
}

static void field_path(const struct entry *entry, const char *key, char out[TW_CONFIG_PATH_MAX])
{
    snprintf(out, TW_CONFIG_PATH_MAX, "%.100s.%.24s", entry->path, key);
}

// The text of a field that may be absent.
static const char *optional_text(const struct entry *entry, const struct tw_config_field *field)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    return field->node != NULL ? tw_config_text(entry->load, field->node, path) : NULL;
}

static const char *required_text(const struct entry *entry, const struct tw_config_field *field)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    if (field->node == NULL)
        tw_config_fail(entry->load, entry->node->place, path, "is missing");
    return optional_text(entry, field);
}

static const char *join(const struct entry *entry, const char *a, const char *b, const char *c,
                        const char *d)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s%s%s%s", a, b, c, d);
    if (n < 0 || n >= (int)sizeof text) {
        fail_entry(entry, "the issuer is longer than 1000 bytes");
        return NULL;
    }
    return tw_config_copy(entry->load, (struct tw_str){text, (size_t)n});
}

static void read_audiences(const struct entry *entry, const struct tw_config_field *field)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    if (field->node == NULL || (field->node->kind == TW_CONFIG_SEQUENCE && !field->node->first)) {
        tw_config_fail(entry->load, field->node ? field->node->place : entry->node->place, path,
                       "must name at least one client; tokens made for others are refused");
        return;
    }
    struct tw_texts texts;
    if (!tw_config_texts(entry->load, field->node, path, TW_CONFIG_AUDIENCE_MAX, &texts))
        return;
    entry->out->audiences = texts.items;
    entry->out->n_audiences = texts.n;
}

static void read_scopes(const struct entry *entry, const struct tw_config_field *field)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    if (field->node != NULL &&
        tw_config_scopes(entry->load, field->node, path, &entry->out->scopes) &&
        entry->out->scopes.n == 0)
        tw_config_fail(entry->load, field->node->place, path, EMPTY);
}

static void read_texts(const struct entry *entry, const struct tw_config_field *field,
                       struct tw_texts *out)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    if (field->node == NULL ||
        !tw_config_texts(entry->load, field->node, path, TW_CONFIG_TEXTS_MAX, out))
        return;
    if (out->n == 0)
        tw_config_fail(entry->load, field->node->place, path, EMPTY);
}

static const struct {
    const char *name;
    unsigned bit;
} algorithms[] = {{"RS256", TW_ALGORITHM_RS256},
                  {"ES256", TW_ALGORITHM_ES256},
                  {"PS256", TW_ALGORITHM_PS256},
                  {"EdDSA", TW_ALGORITHM_EDDSA}};

static unsigned algorithm_bit(const char *name)
{
    for (size_t i = 0; i < TW_COUNT(algorithms); i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return algorithms[i].bit;
    return 0;
}

static void read_algorithms(const struct entry *entry, const struct tw_config_field *field)
{
    struct tw_texts names = {NULL, 0};
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    entry->out->algorithms = TW_ALGORITHM_USUAL;
    if (field->node == NULL)
        return;
    read_texts(entry, field, &names);
    entry->out->algorithms = 0;
    for (size_t i = 0; i < names.n; i++) {
        unsigned bit = algorithm_bit(names.items[i]);
        if (bit == 0)
            tw_config_fail(entry->load, field->node->place, path,
                           "\"%.60s\" is none of RS256, ES256, PS256, EdDSA", names.items[i]);
        entry->out->algorithms |= bit;
    }
}

static unsigned token_use_bit(const char *text)
{
    if (strcmp(text, "access") == 0)
        return TW_TOKEN_USE_ACCESS;
    return strcmp(text, "id") == 0 ? TW_TOKEN_USE_ID : 0;
}

static void read_token_use(const struct entry *entry, const struct tw_config_field *field,
                           unsigned absent)
{
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, field->key, path);
    entry->out->token_uses = absent;
    if (field->node == NULL || !tw_config_is_sequence(entry->load, field->node, path, 2))
        return;
    unsigned uses = 0;
    for (const struct tw_config_node *item = field->node->first; item != NULL; item = item->next) {
        const char *text = tw_config_text(entry->load, item, path);
        unsigned bit = text != NULL ? token_use_bit(text) : 0;
        if (text != NULL && bit == 0)
            tw_config_fail(entry->load, item->place, path, "\"%.60s\" is neither access nor id",
                           text);
        uses |= bit;
    }
    if (field->node->first == NULL)
        tw_config_fail(entry->load, field->node->place, path,
                       "is empty; write [access], [id] or [access, id]");
    entry->out->token_uses = uses;
}

static bool only_of(const char *text, const char *extra)
{
    for (; *text != '\0'; text++)
        if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
              (*text >= '0' && *text <= '9') || strchr(extra, *text) != NULL))
            return false;
    return true;
}

// A pool's id begins with its region, so a mix-up of two pools shows here and not as a 401.
static void check_pool(const struct entry *entry, const char *region, const char *pool)
{
    size_t n = strlen(region);
    if (!only_of(region, "-"))
        fail_entry(entry, "region must be an AWS region such as eu-west-1");
    else if (!only_of(pool, "-_") || strncmp(pool, region, n) != 0 || pool[n] != '_' ||
             pool[n + 1] == '\0')
        fail_entry(entry, "userPoolId must begin with the region and an underscore, such as "
                          "eu-west-1_AbCdEfGhI");
}

static void read_cognito(struct entry *entry, const struct tw_config_node *node)
{
    struct tw_config_field fields[] = {{"region", NULL},    {"userPoolId", NULL},
                                       {"clientIds", NULL}, {"tokenUse", NULL},
                                       {"scopes", NULL},    {"groups", NULL}};
    entry->node = node;
    size_t used = strlen(entry->path);
    snprintf(entry->path + used, sizeof entry->path - used, ".cognito");
    if (!tw_config_fields(entry->load, node, entry->path, fields, TW_COUNT(fields)))
        return;
    const char *region = required_text(entry, &fields[0]);
    const char *pool = required_text(entry, &fields[1]);
    read_audiences(entry, &fields[2]);
    read_token_use(entry, &fields[3], TW_TOKEN_USE_ACCESS | TW_TOKEN_USE_ID);
    read_scopes(entry, &fields[4]);
    read_texts(entry, &fields[5], &entry->out->groups);
    entry->out->algorithms = TW_ALGORITHM_RS256; // Cognito has no other
    if (region == NULL || pool == NULL)
        return;
    check_pool(entry, region, pool);
    // The partition of China has a domain of its own.
    const char *domain = strncmp(region, "cn-", 3) == 0 ? ".amazonaws.com.cn/" : ".amazonaws.com/";
    entry->out->issuer = join(entry, "https://cognito-idp.", region, domain, pool);
    if (entry->out->issuer != NULL)
        entry->out->jwks_uri = join(entry, entry->out->issuer, JWKS_PATH, "", "");
}

// The discovery document: the issuer, without a final slash, plus DISCOVERY_PATH.
static const char *discovery_uri(const struct entry *entry, const char *issuer)
{
    size_t n = strlen(issuer);
    const char *base = tw_config_copy(
        entry->load, (struct tw_str){issuer, n > 0 && issuer[n - 1] == '/' ? n - 1 : n});
    return base != NULL ? join(entry, base, DISCOVERY_PATH, "", "") : NULL;
}

static void read_keys(const struct entry *entry, const struct tw_config_field *uri,
                      const struct tw_config_field *file)
{
    struct tw_issuer *out = entry->out;
    const struct tw_config_node *named = uri->node;
    char path[TW_CONFIG_PATH_MAX];
    field_path(entry, uri->key, path);
    if (uri->node != NULL && file->node != NULL) {
        fail_entry(entry, "jwksUri and jwksFile exclude each other; keep one");
        return;
    }
    out->jwks_file = optional_text(entry, file);
    if (file->node != NULL)
        return;
    if (named != NULL)
        out->jwks_uri = optional_text(entry, uri);
    else if (out->issuer != NULL)
        out->discovery_uri = discovery_uri(entry, out->issuer);
    const char *place = named != NULL ? out->jwks_uri : out->discovery_uri;
    const char *fault = place != NULL ? tw_config_jwks_uri_fault(place) : NULL;
    if (fault == NULL)
        return;
    bool quotable = strchr(place, '@') == NULL; // it may hold a password
    tw_config_fail(entry->load, named ? named->place : entry->node->place, path, "%.200s %s%s",
                   quotable ? place : "the value", fault,
                   named ? "" : "; it follows from issuer: set jwksUri or jwksFile");
}

static void read_plain(struct entry *entry)
{
    struct tw_config_field fields[] = {
        {"issuer", NULL},     {"jwksUri", NULL},   {"jwksFile", NULL},
        {"audience", NULL},   {"clientIds", NULL}, {"tokenUse", NULL},
        {"algorithms", NULL}, {"scopes", NULL},    {"groups", NULL}};
    if (!tw_config_fields(entry->load, entry->node, entry->path, fields, TW_COUNT(fields)))
        return;
    entry->out->issuer = required_text(entry, &fields[0]);
    read_keys(entry, &fields[1], &fields[2]);
    if (fields[3].node != NULL && fields[4].node != NULL)
        fail_entry(entry, "audience and clientIds mean the same; keep one");
    else
        read_audiences(entry, fields[4].node != NULL ? &fields[4] : &fields[3]);
    read_token_use(entry, &fields[5], 0);
    read_algorithms(entry, &fields[6]);
    read_scopes(entry, &fields[7]);
    read_texts(entry, &fields[8], &entry->out->groups);
}

static const struct tw_config_node *cognito_of(const struct tw_config_node *node)
{
    if (node->kind != TW_CONFIG_MAPPING)
        return NULL;
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next)
        if (strcmp(child->key, "cognito") == 0)
            return child;
    return NULL;
}

static void read_issuer(struct tw_config_load *load, const struct tw_config_node *node,
                        size_t index, struct tw_issuer *out)
{
    struct entry entry = {.load = load, .node = node, .out = out};
    const struct tw_config_node *cognito = cognito_of(node);
    snprintf(entry.path, sizeof entry.path, "auth.issuers[%zu]", index);
    if (cognito == NULL)
        read_plain(&entry);
    else if (node->n_children > 1)
        fail_entry(&entry, "cognito must be the entry's only key; put its settings inside it");
    else
        read_cognito(&entry, cognito);
}

void tw_config_issuers_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    size_t n = 0;
    if (!tw_config_is_sequence(load, node, "auth.issuers", TW_CONFIG_ISSUER_MAX))
        return;
    struct tw_issuer *issuers = tw_config_alloc(load, node->n_children * sizeof *issuers);
    if (issuers == NULL)
        return;
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next) {
        load->issuer_places[n] = child->place;
        read_issuer(load, child, n, &issuers[n]);
        n++;
    }
    load->config->issuers = issuers;
    load->config->n_issuers = n;
}

static void print_algorithms(unsigned bits, FILE *out)
{
    const char *comma = "";
    fputs("algorithms: [", out);
    for (size_t i = 0; i < TW_COUNT(algorithms); i++) {
        if (!(bits & algorithms[i].bit))
            continue;
        fprintf(out, "%s%s", comma, algorithms[i].name);
        comma = ", ";
    }
    fputs("]\n", out);
}

static void print_issuer(const struct tw_issuer *issuer, const char *indent, FILE *out)
{
    static const char *const uses[] = {"", "[access]", "[id]", "[access, id]"};
    const char *keys = issuer->jwks_file ? issuer->jwks_file : issuer->jwks_uri;
    fprintf(out, "%s- issuer: ", indent);
    tw_config_print_text(issuer->issuer, out);
    if (keys != NULL) {
        fprintf(out, "\n%s  %s: ", indent, issuer->jwks_file ? "jwksFile" : "jwksUri");
        tw_config_print_text(keys, out);
    }
    fprintf(out, "\n%s  audience: ", indent);
    tw_config_print_texts((struct tw_texts){issuer->audiences, issuer->n_audiences}, out);
    fprintf(out, "\n%s  ", indent);
    print_algorithms(issuer->algorithms, out);
    if (issuer->token_uses != 0)
        fprintf(out, "%s  tokenUse: %s\n", indent, uses[issuer->token_uses & 3]);
    if (issuer->scopes.n > 0) {
        fprintf(out, "%s  scopes: ", indent);
        tw_config_print_texts(issuer->scopes, out);
        putc('\n', out);
    }
    if (issuer->groups.n > 0) {
        fprintf(out, "%s  groups: ", indent);
        tw_config_print_texts(issuer->groups, out);
        putc('\n', out);
    }
}

void tw_config_issuers_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_issuers, out);
    for (size_t i = 0; i < config->n_issuers; i++)
        print_issuer(&config->issuers[i], indent, out);
}

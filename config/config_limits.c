// SPDX-License-Identifier: Apache-2.0
// config_limits: the list `limits`: named policies of how often something may be asked for.
//
//   limits:
//     - {name: per-client, key: principal, rate: 100/s, burst: 200}
//     - {name: writes, key: address+route, rate: 60/m, methods: writes, quota: 5000}
//
// A quota is a policy of its own behind the scenes, "NAME-day": so many in a day, of which as many
// come back as time passes. Whether a route exists is judged where THE table is known
// (gateway/rate_policies.c). Runs in: master and command line. Strings belong to the snapshot.

#include "config/internal.h"

#include <stdarg.h>

#define NAME_MAX_BYTES 64
#define DAY_US         UINT64_C(86400000000)
#define NUMBER_MAX     1000000000

struct line {
    struct tw_config_load *load;
    const struct tw_config_node *node;
    char path[TW_CONFIG_PATH_MAX];
    struct tw_limit_policy *out;
    const char *claims[TW_CONFIG_LIMIT_CLAIMS_MAX];
    size_t n_claims;
};

// The fields of a line, in the order of `fields` below.
enum { NAME, KEY, RATE, BURST, COST, QUOTA, ROUTES, METHODS, FLEET, FIELD_COUNT };

static void fail(const struct line *line, const struct tw_config_field *field, const char *format,
                 ...) TW_PRINTF(3, 4);

static void fail(const struct line *line, const struct tw_config_field *field, const char *format,
                 ...)
{
    char path[TW_CONFIG_PATH_MAX], message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    snprintf(path, sizeof path, "%.100s.%.24s", line->path, field->key);
    tw_config_fail(line->load, field->node ? field->node->place : line->node->place, path, "%s",
                   message);
}

static const char *text_of(const struct line *line, const struct tw_config_field *field)
{
    char path[TW_CONFIG_PATH_MAX];
    snprintf(path, sizeof path, "%.100s.%.24s", line->path, field->key);
    return field->node ? tw_config_text(line->load, field->node, path) : NULL;
}

// The name stands in headers, as a structured field's string: letters, digits, '-', '_', '.'.
static void read_name(const struct line *line, const struct tw_config_field *field)
{
    const char *text = text_of(line, field);
    if (field->node == NULL)
        fail(line, field, "is missing");
    if (text == NULL)
        return;
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (text[n] != '\0' || n > NAME_MAX_BYTES)
        fail(line, field, "\"%.60s\" must be at most 64 letters, digits, '-', '_' or '.'", text);
    line->out->name = text;
}

static unsigned key_part(const char *text, size_t n)
{
    static const struct {
        const char *name;
        unsigned bit;
    } parts[] = {{"principal", TW_LIMIT_BY_PRINCIPAL},
                 {"client", TW_LIMIT_BY_CLIENT},
                 {"address", TW_LIMIT_BY_ADDRESS},
                 {"route", TW_LIMIT_BY_ROUTE}};
    for (size_t i = 0; i < TW_COUNT(parts); i++)
        if (strlen(parts[i].name) == n && memcmp(parts[i].name, text, n) == 0)
            return parts[i].bit;
    return 0;
}

// The index of that claim among those that are counted by.
static void read_claim(struct line *line, const struct tw_config_field *field, const char *name)
{
    size_t i = 0;
    line->out->key |= TW_LIMIT_BY_CLAIM;
    while (i < line->n_claims && strcmp(line->claims[i], name) != 0)
        i++;
    if (i == TW_COUNT(line->claims)) {
        fail(line, field, "\"%.60s\" is one claim too many: limits may count by 8 of them", name);
        return;
    }
    if (i == line->n_claims)
        line->claims[line->n_claims++] = name;
    line->out->claim = i;
}

// "claim:NAME" is the last part: a claim's name may hold anything.
static void read_key(struct line *line, const struct tw_config_field *field)
{
    const char *text = text_of(line, field);
    if (field->node == NULL)
        fail(line, field, "is missing; write principal, client, address, route or claim:NAME%s",
             "");
    for (const char *at = text; at != NULL;) {
        if (strncmp(at, "claim:", 6) == 0 && at[6] != '\0') {
            read_claim(line, field, at + 6);
            return;
        }
        size_t n = strcspn(at, "+");
        unsigned bit = key_part(at, n);
        if (bit == 0 || (line->out->key & bit)) {
            fail(line, field,
                 "\"%.60s\" is no key: write principal, client, address, route, claim:NAME, or "
                 "several with + between",
                 text);
            return;
        }
        line->out->key |= bit;
        at = at[n] == '+' ? at + n + 1 : NULL;
    }
}

static uint64_t period_us(const char *unit)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"s", 1000000}, {"m", 60000000}, {"h", UINT64_C(3600000000)}, {"d", DAY_US}};
    for (size_t i = 0; i < TW_COUNT(units); i++)
        if (strcmp(units[i].name, unit) == 0)
            return units[i].us;
    return 0;
}

// "100/s"
static void read_rate(const struct line *line, const struct tw_config_field *field)
{
    int64_t number = 0;
    const char *text = text_of(line, field), *slash = text ? strchr(text, '/') : NULL;
    if (text == NULL)
        return;
    line->out->period_us = slash ? period_us(slash + 1) : 0;
    if (!slash || line->out->period_us == 0 ||
        !tw_str_to_i64((struct tw_str){text, (size_t)(slash - text)}, 1, NUMBER_MAX, &number))
        fail(line, field, "\"%.60s\" is no rate: write 100/s, 60/m, 1000/h or 5000/d", text);
    line->out->rate = (uint64_t)number;
}

static uint64_t read_number(const struct line *line, const struct tw_config_field *field,
                            uint64_t absent)
{
    int64_t number = 0;
    const char *text = text_of(line, field);
    if (text == NULL)
        return absent;
    if (!tw_str_to_i64(tw_str_of(text), 1, NUMBER_MAX, &number))
        fail(line, field, "\"%.60s\" is not a number from 1 to 1000000000", text);
    return (uint64_t)number;
}

static void read_methods(const struct line *line, const struct tw_config_field *field)
{
    const char *text = text_of(line, field);
    line->out->methods = TW_LIMIT_READS | TW_LIMIT_WRITES;
    if (text == NULL || strcmp(text, "all") == 0)
        return;
    if (strcmp(text, "reads") == 0)
        line->out->methods = TW_LIMIT_READS;
    else if (strcmp(text, "writes") == 0)
        line->out->methods = TW_LIMIT_WRITES;
    else
        fail(line, field, "\"%.60s\" is none of all, reads, writes", text);
}

static void read_fleet(const struct line *line, const struct tw_config_field *field)
{
    const char *text = text_of(line, field);
    line->out->fleet = text == NULL || strcmp(text, "true") == 0;
    if (text != NULL && !line->out->fleet && strcmp(text, "false") != 0)
        fail(line, field, "\"%.60s\" is neither true nor false", text);
}

// The policy of a quota: the same but for its name and pace.
static void add_quota(const struct line *line, uint64_t quota)
{
    char name[NAME_MAX_BYTES + 8];
    struct tw_limit_policy *out = line->out + 1;
    *out = *line->out;
    snprintf(name, sizeof name, "%s-day", line->out->name ? line->out->name : "");
    out->name = tw_config_copy(line->load, tw_str_of(name));
    out->rate = out->burst = quota;
    out->period_us = DAY_US;
}

static void refuse_contradictions(const struct line *line, const struct tw_config_field *fields,
                                  uint64_t quota)
{
    bool has_rate = fields[RATE].node != NULL, has_quota = fields[QUOTA].node != NULL;
    if (!has_rate && !has_quota)
        fail(line, &fields[RATE], "is missing, and so is quota; one of them is needed");
    if (!has_rate && fields[BURST].node != NULL)
        fail(line, &fields[BURST], "belongs to a rate; a quota may be used up at once%s", "");
    if (line->out->rate > 0 && line->out->cost > line->out->burst)
        fail(line, &fields[COST], "is above the burst, so nothing would ever pass");
    if (quota > 0 && line->out->cost > quota)
        fail(line, &fields[COST], "is above the quota, so nothing would ever pass");
}

// Fills in one policy, or two when there is a quota as well; returns how many.
static size_t read_policy(struct line *line)
{
    struct tw_config_field fields[FIELD_COUNT] = {
        [NAME] = {"name", NULL},     [KEY] = {"key", NULL},         [RATE] = {"rate", NULL},
        [BURST] = {"burst", NULL},   [COST] = {"cost", NULL},       [QUOTA] = {"quota", NULL},
        [ROUTES] = {"routes", NULL}, [METHODS] = {"methods", NULL}, [FLEET] = {"fleet", NULL}};
    char path[TW_CONFIG_PATH_MAX];
    if (!tw_config_fields(line->load, line->node, line->path, fields, TW_COUNT(fields)))
        return 0;
    read_name(line, &fields[NAME]);
    read_key(line, &fields[KEY]);
    read_rate(line, &fields[RATE]);
    line->out->burst = read_number(line, &fields[BURST], line->out->rate);
    line->out->cost = read_number(line, &fields[COST], 1);
    read_methods(line, &fields[METHODS]);
    read_fleet(line, &fields[FLEET]);
    snprintf(path, sizeof path, "%.100s.routes", line->path);
    if (fields[ROUTES].node && !tw_config_texts(line->load, fields[ROUTES].node, path,
                                                TW_CONFIG_TEXTS_MAX, &line->out->routes))
        return 0;
    uint64_t quota = read_number(line, &fields[QUOTA], 0);
    refuse_contradictions(line, fields, quota);
    if (fields[QUOTA].node == NULL)
        return 1;
    add_quota(line, quota);
    if (fields[RATE].node != NULL)
        return 2;
    line->out[0] = line->out[1];
    return 1;
}

// `policy` is one of the line's, and `first` the first of all lines.
static void refuse_repetition(const struct line *line, const struct tw_limit_policy *policy,
                              const struct tw_limit_policy *first)
{
    for (const struct tw_limit_policy *other = first; other < line->out; other++)
        if (other->name && policy->name && strcmp(other->name, policy->name) == 0)
            tw_config_fail(line->load, line->node->place, line->path,
                           "there is a policy \"%s\" already; names must differ", other->name);
}

void tw_config_limits_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    struct line line = {.load = load};
    size_t n = 0, i = 0;
    if (!tw_config_is_sequence(load, node, "limits", TW_CONFIG_LIMITS_MAX / 2))
        return;
    struct tw_limit_policy *policies = tw_config_alloc(load, (2 * node->n_children + 1) *
                                                                 sizeof *policies);
    if (policies == NULL)
        return;
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next) {
        line.node = child;
        line.out = &policies[n];
        snprintf(line.path, sizeof line.path, "limits[%zu]", i++);
        n += read_policy(&line);
        for (const struct tw_limit_policy *one = line.out; one < policies + n; one++)
            refuse_repetition(&line, one, policies);
    }
    load->config->limits = policies;
    load->config->n_limits = n;
    const char **claims = tw_config_alloc(load, sizeof line.claims);
    if (claims != NULL)
        memcpy(claims, line.claims, sizeof line.claims);
    load->config->limit_claims = (struct tw_texts){claims, claims != NULL ? line.n_claims : 0};
}

static void print_key(const struct tw_config *config, const struct tw_limit_policy *policy,
                      FILE *out)
{
    static const char *const names[] = {"principal", "client", "address", "route"};
    const char *plus = "";
    for (unsigned i = 0; i < TW_COUNT(names); i++)
        if (policy->key & 1u << i) {
            fprintf(out, "%s%s", plus, names[i]);
            plus = "+";
        }
    if (policy->key & TW_LIMIT_BY_CLAIM)
        fprintf(out, "%sclaim:%s", plus, config->limit_claims.items[policy->claim]);
}

void tw_config_limits_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_limits, out);
    for (size_t i = 0; i < config->n_limits; i++) {
        const struct tw_limit_policy *policy = &config->limits[i];
        const char *unit = policy->period_us == DAY_US     ? "d"
                           : policy->period_us == 1000000  ? "s"
                           : policy->period_us == 60000000 ? "m"
                                                           : "h";
        fprintf(out, "%s- {name: \"%s\", key: \"", indent, policy->name);
        print_key(config, policy, out);
        fprintf(out, "\", rate: %llu/%s, burst: %llu, cost: %llu, methods: %s",
                (unsigned long long)policy->rate, unit, (unsigned long long)policy->burst,
                (unsigned long long)policy->cost,
                policy->methods == TW_LIMIT_READS    ? "reads"
                : policy->methods == TW_LIMIT_WRITES ? "writes"
                                                     : "all");
        if (!policy->fleet)
            fputs(", fleet: false", out);
        if (policy->routes.n > 0) {
            fputs(", routes: ", out);
            tw_config_print_texts(policy->routes, out);
        }
        fputs("}\n", out);
    }
}

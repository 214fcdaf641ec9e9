// SPDX-License-Identifier: Apache-2.0
#include "gateway/freshness.h"

// One name, perhaps with a value; `next` is where the directive behind its comma begins.
struct directive {
    struct tw_str name, value;
    size_t next;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct tw_str trimmed(const char *p, size_t n)
{
    while (n > 0 && is_space(*p))
        p++, n--;
    while (n > 0 && is_space(p[n - 1]))
        n--;
    return (struct tw_str){p, n};
}

// Where the directive that begins at `i` ends: at a comma outside of quotes, or at the text's end.
static size_t end_of(struct tw_str text, size_t i)
{
    bool quoted = false;
    for (; i < text.n && (quoted || text.p[i] != ','); i++) {
        if (text.p[i] == '"')
            quoted = !quoted;
        else if (quoted && text.p[i] == '\\' && i + 1 < text.n)
            i++;
    }
    return i;
}

static struct directive read_directive(struct tw_str text, size_t from)
{
    size_t end = end_of(text, from);
    struct tw_str whole = {text.p + from, end - from};
    const char *equals = memchr(whole.p, '=', whole.n);
    struct directive out = {.name = trimmed(whole.p, whole.n), .next = end + 1};
    if (equals) {
        size_t name_n = (size_t)(equals - whole.p);
        out.name = trimmed(whole.p, name_n);
        out.value = trimmed(equals + 1, whole.n - name_n - 1);
    }
    struct tw_str *value = &out.value;
    if (value->n >= 2 && value->p[0] == '"' && value->p[value->n - 1] == '"')
        *value = (struct tw_str){value->p + 1, value->n - 2};
    return out;
}

// delta-seconds (section 1.2.2): digits, of which too many mean "very long".
static bool read_seconds(struct tw_str text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text.p[i] - '0');
        if (*out > INT32_MAX)
            *out = INT32_MAX;
    }
    return text.n > 0;
}

// For how long the directive lets the answer be used; TW_FRESHNESS_UNKNOWN when it says nothing.
static uint64_t limit_of(const struct directive *directive)
{
    uint64_t seconds;
    if (tw_str_ieq(directive->name, TW_STR("no-store")) ||
        tw_str_ieq(directive->name, TW_STR("no-cache")))
        return 0;
    if (!tw_str_ieq(directive->name, TW_STR("max-age")))
        return TW_FRESHNESS_UNKNOWN;
    return read_seconds(directive->value, &seconds) ? seconds : 0;
}

void tw_freshness_cache_control(struct tw_freshness *freshness, struct tw_str value)
{
    for (size_t at = 0; at < value.n;) {
        struct directive directive = read_directive(value, at);
        uint64_t limit_s = limit_of(&directive);
        if (limit_s < freshness->max_age_s)
            freshness->max_age_s = limit_s;
        at = directive.next;
    }
}

void tw_freshness_age(struct tw_freshness *freshness, struct tw_str value)
{
    uint64_t seconds;
    if (read_seconds(trimmed(value.p, value.n), &seconds))
        freshness->age_s = seconds;
}

uint64_t tw_freshness_left_s(const struct tw_freshness *freshness)
{
    if (freshness->max_age_s == TW_FRESHNESS_UNKNOWN)
        return TW_FRESHNESS_UNKNOWN;
    return freshness->max_age_s > freshness->age_s ? freshness->max_age_s - freshness->age_s : 0;
}

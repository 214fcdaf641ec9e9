// SPDX-License-Identifier: Apache-2.0
#include "gateway/negotiate.h"

// ---- words --------------------------------------------------------------------------------------

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void advance(struct tw_str *rest, size_t n)
{
    rest->p += n;
    rest->n -= n;
}

static void skip_space(struct tw_str *rest)
{
    while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
        advance(rest, 1);
}

static bool take_char(struct tw_str *rest, char c)
{
    if (rest->n == 0 || rest->p[0] != c)
        return false;
    advance(rest, 1);
    return true;
}

static bool take_token(struct tw_str *rest, struct tw_str *token)
{
    size_t n = 0;
    while (n < rest->n && is_token_char(rest->p[n]))
        n++;
    *token = (struct tw_str){rest->p, n};
    advance(rest, n);
    return n > 0;
}

// "type/subtype", or the token alone.
static bool take_name(struct tw_str *rest, struct tw_str *name)
{
    struct tw_str subtype;
    if (!take_token(rest, name))
        return false;
    if (!take_char(rest, '/'))
        return true;
    bool whole = take_token(rest, &subtype);
    name->n += 1 + subtype.n;
    return whole;
}

// A quoted string behind its opening quote; escapes stay in `value`.
static bool take_quoted(struct tw_str *rest, struct tw_str *value)
{
    const char *begin = rest->p;
    while (rest->n > 0 && rest->p[0] != '"')
        advance(rest, rest->p[0] == '\\' && rest->n > 1 ? 2 : 1);
    *value = (struct tw_str){begin, (size_t)(rest->p - begin)};
    return take_char(rest, '"');
}

// ---- parameters ---------------------------------------------------------------------------------

enum next { NEXT_IS, NEXT_NONE, NEXT_BROKEN };

// Takes ";name=value" off the rest. None: something else than a semicolon follows.
static enum next next_parameter(struct tw_str *rest, struct tw_str *name, struct tw_str *value)
{
    for (;;) {
        skip_space(rest);
        if (!take_char(rest, ';'))
            return NEXT_NONE;
        skip_space(rest);
        if (rest->n > 0 && is_token_char(rest->p[0]))
            break; // not an empty one
    }
    if (!take_token(rest, name) || !take_char(rest, '='))
        return NEXT_BROKEN;
    bool whole = take_char(rest, '"') ? take_quoted(rest, value) : take_token(rest, value);
    return whole ? NEXT_IS : NEXT_BROKEN;
}

// "0", "0.75", "1.000" to thousandths; TW_UNSAID for what is no weight.
static int weight_of(struct tw_str text)
{
    int weight = 0, scale = 1000;
    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[1] != '.'))
        return TW_UNSAID;
    for (size_t i = 0; i < text.n; i++) {
        if (i == 1)
            continue;
        if (text.p[i] < '0' || text.p[i] > '9')
            return TW_UNSAID;
        weight += (text.p[i] - '0') * scale;
        scale /= 10;
    }
    return weight <= 1000 ? weight : TW_UNSAID;
}

// ---- lists with weights -------------------------------------------------------------------------

struct element {
    struct tw_str name;
    int weight;
};

static enum next take_weight(struct tw_str *rest, int *weight)
{
    struct tw_str name, value;
    enum next next;
    *weight = 1000;
    while ((next = next_parameter(rest, &name, &value)) == NEXT_IS) {
        if (!tw_str_ieq(name, TW_STR("q")))
            continue;
        *weight = weight_of(value);
        if (*weight == TW_UNSAID)
            return NEXT_BROKEN;
    }
    return next;
}

// Takes the next element off a list, which may have empty ones.
static enum next next_element(struct tw_str *rest, struct element *element)
{
    do
        skip_space(rest);
    while (take_char(rest, ','));
    if (rest->n == 0)
        return NEXT_NONE;
    if (!take_name(rest, &element->name) || take_weight(rest, &element->weight) == NEXT_BROKEN)
        return NEXT_BROKEN;
    return rest->n == 0 || rest->p[0] == ',' ? NEXT_IS : NEXT_BROKEN;
}

static void at_least(int *weight, int to)
{
    if (to > *weight)
        *weight = to;
}

static bool has_slash(struct tw_str name)
{
    return memchr(name.p, '/', name.n) != NULL;
}

void tw_accept_add_media(struct tw_accept *accept, struct tw_str line)
{
    struct element element;
    enum next next;
    while ((next = next_element(&line, &element)) == NEXT_IS) {
        accept->said = true;
        if (!has_slash(element.name))
            accept->malformed = true;
        else if (tw_str_ieq(element.name, TW_STR("application/json")))
            at_least(&accept->exact, element.weight);
        else if (tw_str_ieq(element.name, TW_STR("application/*")))
            at_least(&accept->group, element.weight);
        else if (tw_str_eq(element.name, TW_STR("*/*")))
            at_least(&accept->any, element.weight);
    }
    accept->malformed |= next == NEXT_BROKEN;
}

void tw_accept_add_coding(struct tw_accept *accept, struct tw_str line)
{
    struct element element;
    enum next next;
    while ((next = next_element(&line, &element)) == NEXT_IS) {
        accept->said = true;
        if (has_slash(element.name))
            accept->malformed = true;
        else if (tw_str_ieq(element.name, TW_STR("gzip")) ||
                 tw_str_ieq(element.name, TW_STR("x-gzip")))
            at_least(&accept->exact, element.weight);
        else if (tw_str_ieq(element.name, TW_STR("identity")))
            at_least(&accept->other, element.weight);
        else if (tw_str_eq(element.name, TW_STR("*")))
            at_least(&accept->any, element.weight);
    }
    accept->malformed |= next == NEXT_BROKEN;
}

// The first that was said, else 0.
static int first_said(int a, int b, int c)
{
    int said = a != TW_UNSAID ? a : b != TW_UNSAID ? b : c;
    return said == TW_UNSAID ? 0 : said;
}

bool tw_accept_takes_json(const struct tw_accept *accept)
{
    return accept->malformed || !accept->said ||
           first_said(accept->exact, accept->group, accept->any) > 0;
}

bool tw_accept_takes_gzip(const struct tw_accept *accept)
{
    int gzip = first_said(accept->exact, accept->any, TW_UNSAID);
    int plain = first_said(accept->other, accept->any, TW_UNSAID);
    return !accept->malformed && gzip > 0 && gzip >= plain;
}

// ---- what comes ---------------------------------------------------------------------------------

static bool is_in(struct tw_str name, struct tw_str types)
{
    struct element element;
    while (next_element(&types, &element) == NEXT_IS)
        if (tw_str_ieq(element.name, name))
            return true;
    return false;
}

bool tw_media_type_in(struct tw_str content_type, struct tw_str types)
{
    struct tw_str rest = content_type, type, name, value;
    enum next next;
    skip_space(&rest);
    if (!take_name(&rest, &type) || !is_in(type, types))
        return false;
    while ((next = next_parameter(&rest, &name, &value)) == NEXT_IS)
        if (tw_str_ieq(name, TW_STR("charset")) && !tw_str_ieq(value, TW_STR("utf-8")))
            return false;
    return next == NEXT_NONE && rest.n == 0;
}

bool tw_coding_is_identity(struct tw_str line)
{
    struct element element;
    enum next next;
    while ((next = next_element(&line, &element)) == NEXT_IS)
        if (!tw_str_ieq(element.name, TW_STR("identity")))
            return false;
    return next == NEXT_NONE;
}

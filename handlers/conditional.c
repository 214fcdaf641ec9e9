// SPDX-License-Identifier: Apache-2.0
#include "handlers/conditional.h"

static struct tw_str skip(struct tw_str text, size_t n)
{
    return (struct tw_str){text.p + n, text.n - n};
}

static struct tw_str skip_separators(struct tw_str text)
{
    while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t' || text.p[0] == ','))
        text = skip(text, 1);
    return text;
}

bool tw_etag_matches(struct tw_str header, struct tw_str etag)
{
    struct tw_str rest = skip_separators(header);
    if (tw_str_eq(rest, TW_STR("*")))
        return true;
    while (rest.n > 0) {
        if (rest.n > 2 && rest.p[0] == 'W' && rest.p[1] == '/')
            rest = skip(rest, 2);
        const char *end = rest.p[0] == '"' ? memchr(rest.p + 1, '"', rest.n - 1) : NULL;
        if (!end)
            return false;
        struct tw_str tag = {rest.p, (size_t)(end + 1 - rest.p)};
        if (tw_str_eq(tag, etag))
            return true;
        rest = skip_separators(skip(rest, tag.n));
    }
    return false;
}

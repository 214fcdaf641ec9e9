// SPDX-License-Identifier: Apache-2.0
#include "gateway/conditional.h"

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

// Takes the next tag off a list, quotes included. False at the end, and for good where it is
// broken.
static bool next_tag(struct tw_str *rest, struct tw_str *tag, bool *weak)
{
    *rest = skip_separators(*rest);
    *weak = rest->n > 2 && rest->p[0] == 'W' && rest->p[1] == '/';
    if (*weak)
        *rest = skip(*rest, 2);
    const char *end = rest->n > 1 && rest->p[0] == '"' ? memchr(rest->p + 1, '"', rest->n - 1)
                                                       : NULL;
    if (!end)
        return false;
    *tag = (struct tw_str){rest->p, (size_t)(end + 1 - rest->p)};
    *rest = skip(*rest, tag->n);
    return true;
}

static bool is_any(struct tw_str header)
{
    return tw_str_eq(skip_separators(header), TW_STR("*"));
}

// `tag` is `etag` with the suffix before its closing quote.
static bool is_gzip_of(struct tw_str tag, struct tw_str etag)
{
    const struct tw_str suffix = TW_STR(TW_ETAG_GZIP "\"");
    size_t stem = etag.n - 1;
    return tag.n == stem + suffix.n && memcmp(tag.p, etag.p, stem) == 0 &&
           memcmp(tag.p + stem, suffix.p, suffix.n) == 0;
}

bool tw_etag_none_match(struct tw_str header, struct tw_str etag, bool gzip, struct tw_str *found)
{
    bool weak;
    *found = etag;
    if (is_any(header))
        return true;
    for (struct tw_str rest = header; next_tag(&rest, found, &weak);)
        if (tw_str_eq(*found, etag) || (gzip && is_gzip_of(*found, etag)))
            return true;
    return false;
}

struct tw_str tw_etag_of_gzip(struct tw_str etag, char *out)
{
    const struct tw_str suffix = TW_STR(TW_ETAG_GZIP "\"");
    memcpy(out, etag.p, etag.n - 1);
    memcpy(out + etag.n - 1, suffix.p, suffix.n);
    return (struct tw_str){out, etag.n - 1 + suffix.n};
}

// The number in a tag, without the quotes and without what a coding adds. One spelling for each.
static bool version_of(struct tw_str tag, int64_t *version)
{
    const struct tw_str suffix = TW_STR(TW_ETAG_GZIP);
    struct tw_str text = {tag.p + 1, tag.n - 2};
    if (text.n > suffix.n && memcmp(text.p + text.n - suffix.n, suffix.p, suffix.n) == 0)
        text.n -= suffix.n;
    return tw_str_to_i64(text, 1, INT64_MAX, version);
}

size_t tw_etag_versions(struct tw_str header, int64_t *versions, size_t cap)
{
    size_t n = 0;
    bool weak;
    struct tw_str rest = header, tag;
    if (is_any(header) && cap > 0) {
        versions[0] = TW_VERSION_ANY;
        return 1;
    }
    while (n < cap && next_tag(&rest, &tag, &weak))
        if (!weak && version_of(tag, &versions[n]))
            n++;
    return n;
}

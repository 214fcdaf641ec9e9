// SPDX-License-Identifier: Apache-2.0
#include "gateway/router.h"

const char tw_json_or_nothing[] = TW_JSON;

static const char *const method_names[TW_METHOD_COUNT] = {"GET",   "POST",   "PUT",
                                                          "PATCH", "DELETE", "OPTIONS"};

const char *tw_method_name(enum tw_method method)
{
    return method_names[method];
}

static size_t append(char *out, size_t n, struct tw_str text)
{
    memcpy(out + n, text.p, text.n);
    return n + text.n;
}

struct tw_str tw_router_methods(unsigned allowed, char out[TW_METHODS_TEXT_MAX])
{
    size_t n = 0;
    for (int m = 0; m < TW_METHOD_COUNT; m++) {
        if (!(allowed & (1u << m)))
            continue;
        if (n > 0)
            n = append(out, n, TW_STR(", "));
        n = append(out, n, m == TW_GET ? TW_STR("GET, HEAD") : tw_str_of(method_names[m]));
    }
    return (struct tw_str){out, n};
}

// RFC 3986: unreserved, sub-delims without ';' (path parameters hide in it), ':' and '@'.
static bool is_path_char(char c)
{
    static const bool allowed[256] = {
        ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true,
        ['.'] = true,         ['_'] = true,         ['~'] = true,         ['!'] = true,
        ['$'] = true,         ['&'] = true,         ['\''] = true,        ['('] = true,
        [')'] = true,         ['*'] = true,         ['+'] = true,         [','] = true,
        ['='] = true,         [':'] = true,         ['@'] = true,
    };
    return allowed[(unsigned char)c];
}

static bool is_canonical_segment(struct tw_str segment)
{
    if (segment.n == 0 || tw_str_eq(segment, TW_STR(".")) || tw_str_eq(segment, TW_STR("..")))
        return false;
    for (size_t i = 0; i < segment.n; i++)
        if (!is_path_char(segment.p[i]))
            return false;
    return true;
}

// Takes the first segment off `*rest`, which begins with '/'. False when nothing is left.
static bool next_segment(struct tw_str *rest, struct tw_str *segment)
{
    if (rest->n == 0 || rest->p[0] != '/')
        return false;
    const char *begin = rest->p + 1, *end = rest->p + rest->n;
    const char *slash = memchr(begin, '/', (size_t)(end - begin));
    const char *stop = slash ? slash : end;
    *segment = (struct tw_str){begin, (size_t)(stop - begin)};
    *rest = (struct tw_str){stop, (size_t)(end - stop)};
    return true;
}

static bool is_canonical_path(struct tw_str path)
{
    struct tw_str segment;
    if (tw_str_eq(path, TW_STR("/")))
        return true;
    if (path.n == 0 || path.p[0] != '/')
        return false;
    while (next_segment(&path, &segment))
        if (!is_canonical_segment(segment))
            return false;
    return true;
}

enum tw_status tw_router_target(struct tw_str target, struct tw_str *path, struct tw_str *query)
{
    const char *mark = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
    size_t path_n = mark ? (size_t)(mark - target.p) : target.n;
    *path = (struct tw_str){target.p, path_n};
    *query = mark ? (struct tw_str){mark + 1, target.n - path_n - 1} : (struct tw_str){"", 0};
    for (size_t i = 0; i < query->n; i++)
        if (query->p[i] <= 0x20 || query->p[i] >= 0x7f || query->p[i] == '#')
            return TW_INVALID_TARGET;
    return is_canonical_path(*path) ? TW_OK : TW_INVALID_TARGET;
}

// Most patterns part from the path within its first letters: nothing is taken apart before that.
static bool match_pattern(const char *pattern, const char *p, const char *end,
                          struct tw_str *params)
{
    size_t n = 0;
    while (*pattern) {
        if (*pattern == '{') { // always a whole segment
            const char *slash = memchr(p, '/', (size_t)(end - p)), *stop = slash ? slash : end;
            params[n++] = (struct tw_str){p, (size_t)(stop - p)};
            p = stop;
            pattern = strchr(pattern, '}') + 1;
        } else if (p < end && *p == *pattern) {
            p++;
            pattern++;
        } else {
            return false;
        }
    }
    return p == end;
}

static bool is_method(enum tw_method method, struct tw_str name)
{
    return tw_str_eq(tw_str_of(method_names[method]), name) ||
           (method == TW_GET && tw_str_eq(name, TW_STR("HEAD")));
}

enum tw_status tw_router_match(const struct tw_route_table *table, struct tw_str method,
                               struct tw_str path, struct tw_match *out)
{
    *out = (struct tw_match){.route = NULL};
    const struct tw_str shared = table->shared;
    if (path.n <= shared.n || memcmp(path.p, shared.p, shared.n) != 0)
        return TW_NOT_FOUND;
    const char *p = path.p + shared.n, *end = path.p + path.n;
    const char *pattern = NULL; // what of the path's is not shared
    for (size_t i = 0; i < table->n; i++) {
        const struct tw_route *route = &table->rows[i];
        const char *own = route->pattern + shared.n;
        if (pattern ? strcmp(own, pattern) != 0 : !match_pattern(own, p, end, out->params))
            continue;
        pattern = own;
        out->allowed |= 1u << route->method | 1u << TW_OPTIONS;
        if (is_method(route->method, method)) {
            out->route = route;
            return TW_OK;
        }
    }
    return out->allowed ? TW_METHOD_NOT_ALLOWED : TW_NOT_FOUND;
}

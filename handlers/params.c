// SPDX-License-Identifier: Apache-2.0
#include "handlers/params.h"

#include <stdio.h>

#include "gateway/reply.h"

#define LIST_LIMIT_MAX     500
#define LIST_LIMIT_DEFAULT 50

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// application/x-www-form-urlencoded; false for a broken escape, NUL or what is not UTF-8.
static bool decode(struct tw_req *req, struct tw_str in, struct tw_str *out)
{
    char *p = tw_req_alloc(req, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i] == '+' ? ' ' : in.p[i];
        if (c == '%') {
            int high = in.n - i < 3 ? -1 : hex_value(in.p[i + 1]);
            int low = in.n - i < 3 ? -1 : hex_value(in.p[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        p[n++] = c;
    }
    *out = (struct tw_str){p, n};
    return tw_utf8_valid(*out);
}

static struct tw_str take_until(struct tw_str *rest, char stop)
{
    const char *at = rest->n > 0 ? memchr(rest->p, stop, rest->n) : NULL;
    struct tw_str taken = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    size_t skip = taken.n + (at ? 1 : 0);
    *rest = (struct tw_str){rest->p + skip, rest->n - skip};
    return taken;
}

static const struct tw_param_spec *find(const struct tw_param_spec *specs, size_t n,
                                        struct tw_str name)
{
    for (size_t i = 0; i < n; i++)
        if (tw_str_eq(tw_str_of(specs[i].name), name))
            return &specs[i];
    return NULL;
}

static struct tw_verdict refuse(struct tw_req *req, enum tw_status status, struct tw_str name)
{
    char detail[128];
    bool printable = name.n <= 64 && tw_utf8_valid(name);
    (void)snprintf(detail, sizeof(detail), "Query parameter %.*s.",
                   printable && name.n > 0 ? (int)name.n : 1,
                   printable && name.n > 0 ? name.p : "?");
    return tw_fail(req, status, detail);
}

bool tw_query_parse(struct tw_req *req, const struct tw_param_spec *specs, size_t n,
                    struct tw_str *values, struct tw_verdict *verdict)
{
    memset(values, 0, n * sizeof(values[0]));
    struct tw_str rest = req->query;
    while (rest.n > 0) {
        struct tw_str value = take_until(&rest, '&');
        struct tw_str name = take_until(&value, '=');
        const struct tw_param_spec *spec = find(specs, n, name);
        if (!spec) {
            *verdict = refuse(req, TW_UNKNOWN_PARAMETER, name);
            return false;
        }
        struct tw_str *slot = &values[spec - specs];
        if (slot->p || !decode(req, value, slot) || slot->n > spec->max_bytes) {
            *verdict = refuse(req, TW_INVALID_PARAMETER, name);
            return false;
        }
    }
    return true;
}

bool tw_list_limit(struct tw_str value, int32_t *out)
{
    int64_t limit = LIST_LIMIT_DEFAULT;
    if (value.p && !tw_str_to_i64(value, 1, LIST_LIMIT_MAX, &limit))
        return false;
    *out = (int32_t)limit;
    return true;
}

bool tw_path_uuid(const struct tw_req *req, size_t i, struct tw_uuid *out)
{
    return tw_uuid_parse(req->params[i], out);
}

static bool digits(struct tw_str text, size_t at, size_t n, int64_t min, int64_t max, int64_t *out)
{
    *out = 0;
    for (size_t i = at; i < at + n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        *out = *out * 10 + (text.p[i] - '0');
    }
    return *out >= min && *out <= max;
}

// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (H. Hinnant's algorithm).
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

bool tw_time_parse(struct tw_str text, int64_t *unix_ms)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    int64_t year, month, day, hour, minute, second, ms = 0;
    if (text.n < 20 || text.n > 30 || text.p[text.n - 1] != 'Z')
        return false;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] != 'd' && text.p[i] != shape[i])
            return false;
    if (!digits(text, 0, 4, 1970, 9999, &year) || !digits(text, 5, 2, 1, 12, &month) ||
        !digits(text, 8, 2, 1, 31, &day) || !digits(text, 11, 2, 0, 23, &hour) ||
        !digits(text, 14, 2, 0, 59, &minute) || !digits(text, 17, 2, 0, 59, &second))
        return false;
    size_t fraction = text.n - 21; // digits between '.' and 'Z'
    if (text.n > 20) {
        int64_t scale = 100;
        if (text.p[19] != '.' || fraction == 0)
            return false;
        for (size_t i = 20; i < text.n - 1; i++, scale /= 10) {
            if (text.p[i] < '0' || text.p[i] > '9')
                return false;
            ms += (text.p[i] - '0') * scale;
        }
    }
    int64_t days = days_from_civil(year, month, day);
    if (day > 28 &&
        days_from_civil(year + month / 12, month % 12 + 1, 1) - days_from_civil(year, month, 1) <
            day)
        return false;
    *unix_ms = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + ms;
    return true;
}

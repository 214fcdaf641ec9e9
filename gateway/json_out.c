// SPDX-License-Identifier: Apache-2.0
#include "gateway/json_out.h"

#include <stdlib.h>

#include "gateway/bytes16.h"

struct tw_json tw_json_fixed(char *buffer, size_t cap)
{
    return (struct tw_json){.p = buffer, .cap = cap};
}

static bool grow_on_heap(struct tw_json *json, size_t cap)
{
    size_t next = json->cap * 2 > cap ? json->cap * 2 : cap + 1024;
    char *p = realloc(json->p, next);
    if (!p)
        return false;
    json->p = p;
    json->cap = next;
    return true;
}

struct tw_json tw_json_heap(void)
{
    return (struct tw_json){.grow = grow_on_heap};
}

bool tw_json_grow(struct tw_json *json, size_t more)
{
    if (!json->failed && json->grow && json->grow(json, json->n + more))
        return true;
    json->failed = true;
    json->cap = json->n; // nothing fits any more
    return false;
}

void tw_json_expect(struct tw_json *json, size_t more)
{
    (void)tw_json_reserve(json, more);
}

static void put(struct tw_json *json, const char *p, size_t n)
{
    if (tw_json_reserve(json, n)) {
        memcpy(json->p + json->n, p, n);
        json->n += n;
    }
}

// Where a value of n bytes is to be written, for which there is room now: behind the comma that it
// may need. NULL: no room.
static inline char *begin(struct tw_json *json, size_t n)
{
    if (!tw_json_reserve(json, n + 1))
        return NULL;
    if (json->n > 0) {
        char last = json->p[json->n - 1];
        if (last != '{' && last != '[' && last != ':')
            json->p[json->n++] = ',';
    }
    return json->p + json->n;
}

void tw_json_raw(struct tw_json *json, struct tw_str value)
{
    char *p = begin(json, value.n);
    if (!p || value.n == 0)
        return;
    memcpy(p, value.p, value.n);
    json->n += value.n;
}

// A short value, which lies where at least SHORT_MAX bytes may be read.
#define SHORT_MAX 32

static void put_short(struct tw_json *json, const char *value, size_t n)
{
    char *p = begin(json, n);
    if (!p)
        return;
    if (json->cap - json->n >= SHORT_MAX)
        memcpy(p, value, SHORT_MAX); // of a known size: two instructions
    else
        memcpy(p, value, n);
    json->n += n;
}

void tw_json_object(struct tw_json *json)
{
    tw_json_raw(json, TW_STR("{"));
}

void tw_json_object_end(struct tw_json *json)
{
    put(json, "}", 1);
}

void tw_json_array(struct tw_json *json)
{
    tw_json_raw(json, TW_STR("["));
}

void tw_json_array_end(struct tw_json *json)
{
    put(json, "]", 1);
}

static size_t escape(unsigned char c, char out[6])
{
    static const char digits[] = "0123456789abcdef";
    static const char shorts[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    out[0] = '\\';
    if (c < sizeof(shorts) && shorts[c]) {
        out[1] = shorts[c];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = digits[c >> 4];
    out[5] = digits[c & 15];
    return 6;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

static bool are_plain(tw_bytes16 v)
{
    return !tw_bytes16_any((v < 0x20) | (v == '"') | (v == '\\') | (v == 0x7f));
}

// The same of a text of 4 to 15 bytes.
static bool is_short_plain(const char *p, size_t n)
{
    if (n >= 8)
        return are_plain(tw_bytes16_of_ends(p, n));
    uint32_t first, last; // which overlap
    memcpy(&first, p, sizeof(first));
    memcpy(&last, p + n - sizeof(last), sizeof(last));
    uint64_t both = (uint64_t)last << 32 | first;
    return are_plain((tw_bytes16)(tw_halves16){both, both});
}

// Nothing in it is to be escaped. False may also be said of a few bytes without need.
static bool is_all_plain(struct tw_str s)
{
    if (s.n < 4)
        return false;
    if (s.n < TW_BYTES16)
        return is_short_plain(s.p, s.n);
    for (size_t i = 0; i < s.n; i += TW_BYTES16) {
        size_t at = s.n - i < TW_BYTES16 ? s.n - TW_BYTES16 : i; // the last ones overlap
        if (!are_plain(tw_bytes16_at(s.p + at)))
            return false;
    }
    return true;
}

static void put_escaped(struct tw_json *json, struct tw_str value)
{
    for (size_t i = 0; i < value.n;) {
        size_t run = i;
        while (run < value.n && is_plain((unsigned char)value.p[run]))
            run++;
        put(json, value.p + i, run - i);
        if (run < value.n) {
            char text[6];
            put(json, text, escape((unsigned char)value.p[run++], text));
        }
        i = run;
    }
    put(json, "\"", 1);
}

static inline void put_quoted(struct tw_json *json, char *p, struct tw_str value)
{
    *p++ = '"';
    memcpy(p, value.p, value.n);
    p[value.n] = '"';
    json->n += value.n + 2;
}

void tw_json_str_plain(struct tw_json *json, struct tw_str value)
{
    char *p = begin(json, value.n + 2);
    if (p)
        put_quoted(json, p, value);
}

void tw_json_str(struct tw_json *json, struct tw_str value)
{
    char *p = begin(json, value.n + 2);
    if (!p)
        return;
    if (is_all_plain(value)) {
        put_quoted(json, p, value);
        return;
    }
    *p = '"';
    json->n++;
    put_escaped(json, value);
}

void tw_json_str_untrusted(struct tw_json *json, struct tw_str value)
{
    if (tw_utf8_valid(value)) {
        tw_json_str(json, value);
        return;
    }
    if (!begin(json, value.n + 2))
        return;
    json->p[json->n++] = '"';
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        json->p[json->n++] = is_plain(c) && c < 0x80 ? (char)c : '?';
    }
    put(json, "\"", 1);
}

// Digits of `value`, right-aligned so that they end before `end`; returns where they begin.
static char *digits_before(char *end, uint64_t value)
{
    for (; value >= 100; value /= 100)
        memcpy(end -= 2, tw_digit_pairs + 2 * (value % 100), 2);
    if (value >= 10)
        return memcpy(end - 2, tw_digit_pairs + 2 * value, 2);
    *--end = (char)('0' + value);
    return end;
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

void tw_json_i64(struct tw_json *json, int64_t value)
{
    char text[24 + SHORT_MAX];
    char *end = text + 24, *p = digits_before(end, magnitude(value));
    if (value < 0)
        *--p = '-';
    put_short(json, p, (size_t)(end - p));
}

static void put_decimal(struct tw_json *json, int64_t value, unsigned decimals, bool trim)
{
    char text[32 + SHORT_MAX];
    char *end = text + 32, *p = end;
    uint64_t left = magnitude(value);
    if (decimals == 2 && !trim) { // of most currencies
        memcpy(p -= 2, tw_digit_pairs + 2 * (left % 100), 2);
        left /= 100;
        decimals = 0;
    }
    for (; decimals > 0; decimals--, left /= 10) {
        if (trim && p == end && left % 10 == 0)
            continue;
        *--p = (char)('0' + left % 10);
    }
    if (p != end)
        *--p = '.';
    p = digits_before(p, left);
    if (value < 0)
        *--p = '-';
    put_short(json, p, (size_t)(end - p));
}

void tw_json_decimal(struct tw_json *json, int64_t value, unsigned decimals)
{
    put_decimal(json, value, decimals, false);
}

void tw_json_decimal_short(struct tw_json *json, int64_t value, unsigned decimals)
{
    put_decimal(json, value, decimals, true);
}

void tw_json_bool(struct tw_json *json, bool value)
{
    tw_json_raw(json, value ? TW_STR("true") : TW_STR("false"));
}

void tw_json_null(struct tw_json *json)
{
    tw_json_raw(json, TW_STR("null"));
}

// Where a text of n bytes is to be written, between its quotes. NULL: no room.
static char *quoted(struct tw_json *json, size_t n)
{
    char *p = begin(json, n + 2);
    if (!p)
        return NULL;
    p[0] = p[n + 1] = '"';
    json->n += n + 2;
    return p + 1;
}

void tw_json_uuid(struct tw_json *json, const struct tw_uuid *value)
{
    char *text = quoted(json, TW_UUID_TEXT_LEN);
    if (text)
        tw_uuid_format(value, text);
}

void tw_json_time(struct tw_json *json, int64_t unix_ms)
{
    char *text = quoted(json, TW_ISO8601_LEN);
    if (text)
        tw_iso8601_utc(unix_ms, text);
}

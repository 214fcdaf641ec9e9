// SPDX-License-Identifier: Apache-2.0
#include "gateway/json_out.h"

#include <stdlib.h>

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

static bool reserve(struct tw_json *json, size_t more)
{
    if (json->failed)
        return false;
    if (json->cap - json->n >= more)
        return true;
    if (!json->grow || !json->grow(json, json->n + more))
        json->failed = true;
    return !json->failed;
}

static void put(struct tw_json *json, const char *p, size_t n)
{
    if (reserve(json, n)) {
        memcpy(json->p + json->n, p, n);
        json->n += n;
    }
}

// Room for a value of n bytes, after the comma that it may need.
static bool begin(struct tw_json *json, size_t n)
{
    if (!reserve(json, n + 1))
        return false;
    if (json->n > 0) {
        char last = json->p[json->n - 1];
        if (last != '{' && last != '[' && last != ':')
            json->p[json->n++] = ',';
    }
    return true;
}

void tw_json_raw(struct tw_json *json, struct tw_str value)
{
    if (begin(json, value.n))
        put(json, value.p, value.n);
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

void tw_json_key(struct tw_json *json, struct tw_str key)
{
    if (!begin(json, key.n + 3))
        return;
    char *p = json->p + json->n;
    *p = '"';
    memcpy(p + 1, key.p, key.n);
    p[key.n + 1] = '"';
    p[key.n + 2] = ':';
    json->n += key.n + 3;
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

void tw_json_str(struct tw_json *json, struct tw_str value)
{
    if (!begin(json, value.n + 2))
        return;
    json->p[json->n++] = '"';
    for (size_t i = 0; i < value.n;) {
        size_t run = i + tw_plain_run((struct tw_str){value.p + i, value.n - i});
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
    do
        *--end = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return end;
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

void tw_json_i64(struct tw_json *json, int64_t value)
{
    char text[24];
    char *end = text + sizeof(text), *p = digits_before(end, magnitude(value));
    if (value < 0)
        *--p = '-';
    tw_json_raw(json, (struct tw_str){p, (size_t)(end - p)});
}

static void put_decimal(struct tw_json *json, int64_t value, unsigned decimals, bool trim)
{
    char text[32];
    char *end = text + sizeof(text), *p = end;
    uint64_t left = magnitude(value);
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
    tw_json_raw(json, (struct tw_str){p, (size_t)(end - p)});
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

void tw_json_uuid(struct tw_json *json, const struct tw_uuid *value)
{
    char text[TW_UUID_TEXT_LEN + 2] = "\"";
    tw_uuid_format(value, text + 1);
    text[TW_UUID_TEXT_LEN + 1] = '"';
    tw_json_raw(json, (struct tw_str){text, sizeof(text)});
}

void tw_json_time(struct tw_json *json, int64_t unix_ms)
{
    char text[TW_ISO8601_LEN + 2] = "\"";
    tw_iso8601_utc(unix_ms, text + 1);
    text[TW_ISO8601_LEN + 1] = '"';
    tw_json_raw(json, (struct tw_str){text, sizeof(text)});
}

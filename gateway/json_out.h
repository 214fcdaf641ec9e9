// SPDX-License-Identifier: Apache-2.0
// json_out: writes JSON text into a growing or a fixed buffer; commas and escapes are its business.
//
// Not a parser (that is jansson) and not a tree: what is written is final. The caller gives the
// structure; calls in the wrong order give wrong JSON, never an overrun. Runs in: both. Pure.

#ifndef TW_JSON_OUT_H
#define TW_JSON_OUT_H

#include "gateway/base.h"
#include "gateway/uuid.h"

struct tw_json {
    char *p;
    size_t n;
    size_t cap;
    bool failed; // the buffer could not grow: what was written after that is missing; cap is n
    // Makes room for at least `cap` bytes, keeping the first n; NULL: a fixed buffer.
    bool (*grow)(struct tw_json *json, size_t cap);
    void *owner; // for grow
};

// Makes room for `more` bytes behind the n that are there. False: it failed, now or before.
TW_MUST_USE bool tw_json_grow(struct tw_json *json, size_t more);

static inline bool tw_json_reserve(struct tw_json *json, size_t more)
{
    return json->cap - json->n >= more || tw_json_grow(json, more);
}

// A buffer that belongs to the caller and never grows.
struct tw_json tw_json_fixed(char *buffer, size_t cap);

// A buffer of malloc(3)'s, empty, which grows; the caller frees `p` at the end, also when it
// failed.
struct tw_json tw_json_heap(void);

void tw_json_object(struct tw_json *json);
void tw_json_object_end(struct tw_json *json);
void tw_json_array(struct tw_json *json);
void tw_json_array_end(struct tw_json *json);

// Room for `more` bytes, so that what is to come makes the buffer grow once. Not needed: only fast.
void tw_json_expect(struct tw_json *json, size_t more);

// `key` is a literal of ours: written as it is, unescaped. Inline, so that it is a few constants.
static inline __attribute__((always_inline)) void tw_json_key(struct tw_json *json,
                                                              struct tw_str key)
{
    if (!tw_json_reserve(json, key.n + 4))
        return;
    char *p = json->p + json->n;
    if (json->n > 0 && p[-1] != '{')
        *p++ = ',';
    *p++ = '"';
    memcpy(p, key.p, key.n);
    p += key.n;
    *p++ = '"';
    *p++ = ':';
    json->n = (size_t)(p - json->p);
}

void tw_json_str(struct tw_json *json, struct tw_str value); // valid UTF-8 is the caller's promise
void tw_json_i64(struct tw_json *json, int64_t value);
void tw_json_bool(struct tw_json *json, bool value);
void tw_json_null(struct tw_json *json);
void tw_json_uuid(struct tw_json *json, const struct tw_uuid *value);
void tw_json_time(struct tw_json *json, int64_t unix_ms); // ISO 8601 UTC with milliseconds

// value / 10^decimals as a JSON number with exactly `decimals` (0 to 6) decimals: 1250, 2 -> 12.50.
void tw_json_decimal(struct tw_json *json, int64_t value, unsigned decimals);

// The same without trailing zeros: 1250, 3 -> 1.25; 2000, 3 -> 2.
void tw_json_decimal_short(struct tw_json *json, int64_t value, unsigned decimals);

// A ready-made JSON value.
void tw_json_raw(struct tw_json *json, struct tw_str value);

// A string in which nothing is to be escaped: one that is a tw_plain_run.
void tw_json_str_plain(struct tw_json *json, struct tw_str value);

// A string of bytes that may be anything: what is not valid UTF-8 or not printable becomes '?'.
void tw_json_str_untrusted(struct tw_json *json, struct tw_str value);

#define TW_JSON_STR(json, literal_key, value) \
    (tw_json_key((json), TW_STR(literal_key)), tw_json_str((json), (value)))
#define TW_JSON_I64(json, literal_key, value) \
    (tw_json_key((json), TW_STR(literal_key)), tw_json_i64((json), (value)))

#endif

// SPDX-License-Identifier: Apache-2.0
// base: the few things every room uses: slices, clocks, attributes, checked numbers.
//
// Not a utility drawer: a helper that only one room needs lives in that room.
// Runs in: master, worker and command line. Allocates nothing.

#ifndef TW_BASE_H
#define TW_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TW_MUST_USE                     __attribute__((warn_unused_result))
#define TW_PRINTF(fmt, args)            __attribute__((format(printf, fmt, args)))
#define TW_COUNT(array)                 (sizeof(array) / sizeof((array)[0]))
#define TW_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

// A slice: bytes that somebody else owns, not NUL terminated. `p` may be NULL only when `n` is 0.
struct tw_str {
    const char *p;
    size_t n;
};

#define TW_STR(literal) ((struct tw_str){(literal), sizeof(literal) - 1})

static inline struct tw_str tw_str_of(const char *c_string)
{
    return (struct tw_str){c_string, c_string ? strlen(c_string) : 0};
}

static inline bool tw_str_eq(struct tw_str a, struct tw_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

// ASCII case-insensitive comparison, for header names and schemes.
bool tw_str_ieq(struct tw_str a, struct tw_str b);

// Takes the first word off `*rest`, words being separated by spaces; empty when there is none left.
struct tw_str tw_str_next_word(struct tw_str *rest);

// Whole slice as a decimal integer in [min, max]; no sign but '-', no spaces, no leading zeros
// beyond "0".
TW_MUST_USE bool tw_str_to_i64(struct tw_str s, int64_t min, int64_t max, int64_t *out);

// How many bytes at its beginning are printable ASCII that JSON takes as it is: neither '"' nor
// '\\'.
size_t tw_plain_run(struct tw_str s);

// Well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF) without NUL.
TW_MUST_USE bool tw_utf8_valid(struct tw_str s);

// "00" to "99", one after the other.
extern const char tw_digit_pairs[201];

// The eight lower case hexadecimal digits of a word, its highest byte first; no NUL.
void tw_hex_u32(uint32_t word, char out[8]);

// Monotonic microseconds: for timers, deadlines and durations. Unrelated to wall time.
uint64_t tw_now_us(void);

// `us` plus or minus up to a tenth, so that what begins together does not end together: even for
// seeds that are next to each other, such as the times of such beginnings. The same for the same.
uint64_t tw_spread_us(uint64_t us, uint64_t seed);

// Wall clock: seconds, milliseconds and microseconds since 1970-01-01 UTC, for tokens and records.
int64_t tw_unix_s(void);
int64_t tw_unix_ms(void);
uint64_t tw_unix_us(void);

// "2026-11-20T12:34:56.789Z": exactly TW_ISO8601_LEN bytes, no NUL is written. Years 1970 to 9999.
#define TW_ISO8601_LEN 24
void tw_iso8601_utc(int64_t unix_ms, char out[TW_ISO8601_LEN]);

#endif

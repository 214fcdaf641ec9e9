// SPDX-License-Identifier: Apache-2.0
#include "gateway/base.h"

#include <endian.h>
#include <time.h>

#include "gateway/bytes16.h"

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool tw_str_ieq(struct tw_str a, struct tw_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

struct tw_str tw_str_next_word(struct tw_str *rest)
{
    size_t begin = 0;
    while (begin < rest->n && rest->p[begin] == ' ')
        begin++;
    size_t end = begin;
    while (end < rest->n && rest->p[end] != ' ')
        end++;
    if (begin == end) {
        rest->n = 0;
        return *rest;
    }
    struct tw_str word = {rest->p + begin, end - begin};
    *rest = (struct tw_str){rest->p + end, rest->n - end};
    return word;
}

bool tw_str_to_i64(struct tw_str s, int64_t min, int64_t max, int64_t *out)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    size_t i = negative ? 1 : 0;
    size_t digits = s.n - i;
    if (digits == 0 || digits > 19 || (s.p[i] == '0' && (digits > 1 || negative)))
        return false;
    int64_t value = 0;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        int digit = s.p[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static bool are_plain(tw_bytes16 v)
{
    return !tw_bytes16_any((v < 0x20) | (v >= 0x7f) | (v == '"') | (v == '\\'));
}

size_t tw_plain_run(struct tw_str s)
{
    size_t i = 0;
    while (s.n - i >= TW_BYTES16 && are_plain(tw_bytes16_at(s.p + i)))
        i += TW_BYTES16;
    // What is left, at once, with some of those before it.
    if (s.n >= TW_BYTES16 && s.n - i < TW_BYTES16 &&
        are_plain(tw_bytes16_at(s.p + s.n - TW_BYTES16)))
        return s.n;
    if (s.n >= 8 && s.n < TW_BYTES16 && are_plain(tw_bytes16_of_ends(s.p, s.n)))
        return s.n;
    while (i < s.n && is_plain((unsigned char)s.p[i]))
        i++;
    return i;
}

// Length of the sequence that begins here, 0 if it is not well-formed (Unicode 15, table 3-7).
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char first = p[0];
    size_t n = first < 0x80   ? 1
               : first < 0xC2 ? 0
               : first < 0xE0 ? 2
               : first < 0xF0 ? 3
               : first < 0xF5 ? 4
                              : 0;
    if (n == 0 || n > left || first == 0)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((first == 0xE0 && p[1] < 0xA0) || (first == 0xED && p[1] > 0x9F) ||
        (first == 0xF0 && p[1] < 0x90) || (first == 0xF4 && p[1] > 0x8F))
        return 0;
    return n;
}

bool tw_utf8_valid(struct tw_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = tw_plain_run(s); i < s.n;) {
        size_t n = utf8_sequence(p + i, s.n - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

uint64_t tw_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t tw_spread_us(uint64_t us, uint64_t seed)
{
    seed = (seed ^ seed >> 33) * UINT64_C(0xff51afd7ed558ccd); // MurmurHash3's fmix64
    seed = (seed ^ seed >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return us - us / 10 + (us / 5 * (seed >> 48) >> 16);
}

int64_t tw_unix_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t tw_unix_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int64_t tw_unix_s(void)
{
    return tw_unix_ms() / 1000;
}

#define TEN(d) d "0" d "1" d "2" d "3" d "4" d "5" d "6" d "7" d "8" d "9"
const char tw_digit_pairs[] = TEN("0") TEN("1") TEN("2") TEN("3") TEN("4") TEN("5") TEN("6")
    TEN("7") TEN("8") TEN("9");

// All eight at once: the bytes are spread to one digit each, and those above 9 go to the letters.
void tw_hex_u32(uint32_t word, char out[8])
{
    uint64_t x = word;
    x = (x << 16 | x) & 0x0000ffff0000ffffu;
    x = (x << 8 | x) & 0x00ff00ff00ff00ffu;
    x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t letters = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    x = htobe64(x + 0x3030303030303030u + letters * ('a' - '9' - 1));
    memcpy(out, &x, sizeof(x));
}

static char *put_pair(char *p, unsigned value)
{
    memcpy(p, tw_digit_pairs + 2 * (size_t)value, 2);
    return p + 2;
}

// "2026-11-20T" of a number of days since 1970-01-01.
static void put_date(char *p, int64_t days)
{
    // Days to civil date: the calendar of 400-year eras that begin on 1 March (H. Hinnant).
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    unsigned day_of_era = (unsigned)(z - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned m = (5 * day_of_year + 2) / 153;
    unsigned day = day_of_year - (153 * m + 2) / 5 + 1;
    unsigned month = m < 10 ? m + 3 : m - 9;
    unsigned year = (unsigned)(era * 400) + year_of_era + (month <= 2 ? 1 : 0);

    p = put_pair(put_pair(p, year / 100), year % 100);
    *p++ = '-';
    p = put_pair(p, month);
    *p++ = '-';
    *put_pair(p, day) = 'T';
}

#define DATE_LEN 11

void tw_iso8601_utc(int64_t unix_ms, char out[TW_ISO8601_LEN])
{
    // The date of the last call: most times of one answer are of few days.
    static _Thread_local struct {
        int64_t days;
        char text[DATE_LEN];
    } last = {.text = "1970-01-01T"};
    int64_t days = unix_ms / 86400000;
    unsigned ms = (unsigned)(unix_ms % 86400000);
    if (days != last.days) {
        put_date(last.text, days);
        last.days = days;
    }
    memcpy(out, last.text, DATE_LEN);
    char *p = put_pair(out + DATE_LEN, ms / 3600000);
    *p++ = ':';
    p = put_pair(p, ms / 60000 % 60);
    *p++ = ':';
    p = put_pair(p, ms / 1000 % 60);
    *p++ = '.';
    *p = (char)('0' + ms % 1000 / 100);
    *put_pair(p + 1, ms % 100) = 'Z';
}

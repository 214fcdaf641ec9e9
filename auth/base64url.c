// SPDX-License-Identifier: Apache-2.0
#include "auth/base64url.h"

// The value of a letter plus one; 0: not a letter of the alphabet. Sums instead of branches: at
// most one term is not zero, and random text would mispredict every branch.
static unsigned value_plus_one(unsigned c)
{
    return (c - 'A' < 26u) * (c - 'A' + 1) + (c - 'a' < 26u) * (c - 'a' + 27) +
           (c - '0' < 10u) * (c - '0' + 53) + (c == '-') * 63u + (c == '_') * 64u;
}

// Reads `n` letters (1 to 4) as one number, six bits each, first letter highest.
static bool read_group(const unsigned char *letters, size_t n, uint32_t *out)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned value = value_plus_one(letters[i]);
        if (value == 0)
            return false;
        bits = bits << 6 | (value - 1);
    }
    *out = bits;
    return true;
}

// The last two or three letters: one or two bytes, and four or two bits that must be zero.
static bool decode_tail(const unsigned char *letters, size_t n, unsigned char *out)
{
    uint32_t bits = 0;
    if (!read_group(letters, n, &bits))
        return false;
    unsigned unused = n == 2 ? 4 : 2;
    if (bits & ((1u << unused) - 1))
        return false;
    bits >>= unused;
    if (n == 3)
        *out++ = (unsigned char)(bits >> 8);
    *out = (unsigned char)bits;
    return true;
}

bool tw_base64url_decode(struct tw_str in, void *out, size_t out_max, size_t *out_n)
{
    size_t tail = in.n % 4;
    size_t bytes = TW_BASE64URL_DECODED_BYTES(in.n);
    if (tail == 1 || bytes > out_max)
        return false;
    const unsigned char *letters = (const unsigned char *)in.p;
    unsigned char *to = out;
    for (size_t groups = in.n / 4; groups > 0; groups--, letters += 4) {
        uint32_t bits = 0;
        if (!read_group(letters, 4, &bits))
            return false;
        *to++ = (unsigned char)(bits >> 16);
        *to++ = (unsigned char)(bits >> 8);
        *to++ = (unsigned char)bits;
    }
    if (tail > 0 && !decode_tail(letters, tail, to))
        return false;
    *out_n = bytes;
    return true;
}

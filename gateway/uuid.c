// SPDX-License-Identifier: Apache-2.0
#include "gateway/uuid.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#define RESERVE_BYTES 4096

static struct {
    unsigned char bytes[RESERVE_BYTES];
    size_t used;
    bool is_guarded;
} reserve = {.used = RESERVE_BYTES};

// A child must not draw what its parent draws.
static void reserve_forget(void)
{
    reserve.used = RESERVE_BYTES;
}

static void reserve_fill(void)
{
    if (!reserve.is_guarded && pthread_atfork(NULL, NULL, reserve_forget) != 0)
        abort();
    reserve.is_guarded = true;
    size_t filled = 0;
    while (filled < RESERVE_BYTES) {
        ssize_t n = getrandom(reserve.bytes + filled, RESERVE_BYTES - filled, 0);
        if (n < 0 && errno == EINTR)
            continue; // may happen above 256 bytes
        if (n < 0)
            abort(); // no randomness, no service
        filled += (size_t)n;
    }
    reserve.used = 0;
}

void tw_random(void *out, size_t n)
{
    if (n > RESERVE_BYTES)
        abort();
    if (reserve.used + n > RESERVE_BYTES)
        reserve_fill();
    memcpy(out, reserve.bytes + reserve.used, n);
    memset(reserve.bytes + reserve.used, 0, n);
    reserve.used += n;
}

struct tw_uuid tw_uuid_v7(int64_t unix_ms)
{
    struct tw_uuid uuid;
    tw_random(uuid.bytes, sizeof(uuid.bytes));
    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (uint8_t)((uint64_t)unix_ms >> (40 - 8 * i));
    uuid.bytes[6] = (uint8_t)(0x70 | (uuid.bytes[6] & 0x0F));
    uuid.bytes[8] = (uint8_t)(0x80 | (uuid.bytes[8] & 0x3F));
    return uuid;
}

// Values of digits, one more than they are: what is no digit has 0.
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

// Of what is no digit: a number with bits above those of a byte, also when it is shifted.
static unsigned hex_value(char c)
{
    return hex_values[(unsigned char)c] - 1u;
}

bool tw_uuid_parse(struct tw_str text, struct tw_uuid *out)
{
    // Where each byte's first digit stands.
    static const uint8_t places[] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
    const char *p = text.p;
    if (text.n != TW_UUID_TEXT_LEN || p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-')
        return false;
    unsigned all = 0;
    for (size_t i = 0; i < sizeof(places); i++) {
        const char *digits = p + places[i];
        unsigned value = hex_value(digits[0]) << 4 | hex_value(digits[1]);
        out->bytes[i] = (uint8_t)value;
        all |= value;
    }
    return all <= 0xFF;
}

void tw_uuid_format(const struct tw_uuid *uuid, char out[TW_UUID_TEXT_LEN])
{
    uint32_t words[4];
    char hex[8 * TW_COUNT(words)];
    memcpy(words, uuid->bytes, sizeof(words));
    for (size_t i = 0; i < TW_COUNT(words); i++)
        tw_hex_u32(be32toh(words[i]), hex + 8 * i);
    memcpy(out, hex, 8);
    memcpy(out + 9, hex + 8, 4);
    memcpy(out + 14, hex + 12, 4);
    memcpy(out + 19, hex + 16, 4);
    memcpy(out + 24, hex + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
}

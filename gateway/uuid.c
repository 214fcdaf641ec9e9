// SPDX-License-Identifier: Apache-2.0
#include "gateway/uuid.h"

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

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_dash_position(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool tw_uuid_parse(struct tw_str text, struct tw_uuid *out)
{
    if (text.n != TW_UUID_TEXT_LEN)
        return false;
    size_t byte = 0;
    for (size_t i = 0; i < TW_UUID_TEXT_LEN;) {
        if (is_dash_position(i)) {
            if (text.p[i++] != '-')
                return false;
            continue;
        }
        int high = hex_value(text.p[i]), low = hex_value(text.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out->bytes[byte++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    return true;
}

void tw_uuid_format(const struct tw_uuid *uuid, char out[TW_UUID_TEXT_LEN])
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
        if (is_dash_position((size_t)(p - out)))
            *p++ = '-';
        *p++ = digits[uuid->bytes[i] >> 4];
        *p++ = digits[uuid->bytes[i] & 0x0F];
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "auth/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline uint64_t load_le64(const void *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word, int rounds)
{
    s->v3 ^= word;
    for (int i = 0; i < rounds; i++)
        sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t siphash(const unsigned char key[TW_SIPHASH_KEY_BYTES], struct tw_str data,
                               int rounds, int last_rounds)
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    struct state s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                      k1 ^ 0x7465646279746573u};
    const char *p = data.p;
    for (size_t words = data.n / 8; words > 0; words--, p += 8)
        absorb(&s, load_le64(p), rounds);
    unsigned char last[8] = {[7] = (unsigned char)data.n};
    if (data.n % 8 > 0)
        memcpy(last, p, data.n % 8);
    absorb(&s, load_le64(last), rounds);
    s.v2 ^= 0xff;
    for (int i = 0; i < last_rounds; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t tw_siphash(const unsigned char key[TW_SIPHASH_KEY_BYTES], struct tw_str data)
{
    return siphash(key, data, 2, 4);
}

uint64_t tw_siphash_1_3(const unsigned char key[TW_SIPHASH_KEY_BYTES], struct tw_str data)
{
    return siphash(key, data, 1, 3);
}

// SPDX-License-Identifier: Apache-2.0
#include "config/network.h"

#include <arpa/inet.h>

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct tw_address tw_address_of(const void *bytes, size_t n)
{
    struct tw_address out = {.n = (uint8_t)n};
    const unsigned char *p = bytes;
    if (n == 16 && memcmp(p, mapped_prefix, sizeof mapped_prefix) == 0) {
        p += sizeof mapped_prefix;
        out.n = 4;
    }
    memcpy(out.bytes, p, out.n);
    return out;
}

bool tw_address_parse(struct tw_str text, struct tw_address *out)
{
    char copy[TW_ADDRESS_TEXT_MAX];
    unsigned char bytes[16];
    if (text.n == 0 || text.n >= sizeof copy || memchr(text.p, '\0', text.n))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    bool v4 = inet_pton(AF_INET, copy, bytes) == 1;
    if (!v4 && inet_pton(AF_INET6, copy, bytes) != 1)
        return false;
    *out = tw_address_of(bytes, v4 ? 4 : 16);
    return true;
}

// Whether the first `bits` bits are the same.
static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    unsigned mask = rest ? 0xffu << (8 - rest) & 0xffu : 0;
    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool ends_in_zeros(const struct tw_network *network)
{
    for (unsigned bit = network->prefix_bits; bit < network->address.n * 8u; bit++)
        if (network->address.bytes[bit / 8] & 0x80u >> bit % 8)
            return false;
    return true;
}

bool tw_network_parse(struct tw_str text, struct tw_network *out)
{
    int64_t bits;
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    struct tw_str address = {text.p, slash ? (size_t)(slash - text.p) : text.n};
    if (!tw_address_parse(address, &out->address))
        return false;
    bits = out->address.n * 8;
    if (slash && !tw_str_to_i64((struct tw_str){slash + 1, text.n - address.n - 1}, 0, bits, &bits))
        return false;
    out->prefix_bits = (uint8_t)bits;
    return ends_in_zeros(out);
}

bool tw_network_has(const struct tw_network *network, const struct tw_address *address)
{
    return address->n == network->address.n &&
           same_prefix(network->address.bytes, address->bytes, network->prefix_bits);
}

struct tw_str tw_address_format(const struct tw_address *address, char out[TW_ADDRESS_TEXT_MAX])
{
    if (address->n == 0 ||
        !inet_ntop(address->n == 4 ? AF_INET : AF_INET6, address->bytes, out, TW_ADDRESS_TEXT_MAX))
        return (struct tw_str){NULL, 0};
    return tw_str_of(out);
}

struct tw_str tw_address_key(const struct tw_address *address)
{
    return (struct tw_str){(const char *)address->bytes, address->n == 16 ? 8u : address->n};
}

bool tw_address_overlaps(const struct tw_address *a, const struct tw_address *b)
{
    static const unsigned char all[16];
    return a->n == b->n && (memcmp(a->bytes, b->bytes, a->n) == 0 ||
                            memcmp(a->bytes, all, a->n) == 0 || memcmp(b->bytes, all, b->n) == 0);
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/proxy_header.h"

#define V1_MAX_BYTES  107
#define V2_FIXED      16
#define V2_SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"
#define V2_LOCAL      0
#define V2_PROXY      1
#define V2_TCP_IPV4   0x11
#define V2_TCP_IPV6   0x21
#define V2_IPV4_BYTES 12
#define V2_IPV6_BYTES 36

// Whether `bytes` and the signature agree as far as both go.
static bool may_become(struct tw_str bytes, struct tw_str signature)
{
    size_t n = bytes.n < signature.n ? bytes.n : signature.n;
    return memcmp(bytes.p, signature.p, n) == 0;
}

// ---- version 1 ----------------------------------------------------------------------------------

static bool is_port(struct tw_str text)
{
    int64_t port;
    return tw_str_to_i64(text, 0, 65535, &port);
}

// "TCP4 192.0.2.1 192.0.2.2 56324 443": words with exactly one space between each two.
static bool read_v1_line(struct tw_str line, struct tw_proxy_header *out)
{
    struct tw_str words[5], rest = line;
    struct tw_address destination;
    size_t length = 0;
    for (size_t i = 0; i < TW_COUNT(words); i++) {
        words[i] = tw_str_next_word(&rest);
        length += words[i].n + 1;
    }
    if (rest.n > 0 || length != line.n + 1 || !tw_address_parse(words[1], &out->source) ||
        !tw_address_parse(words[2], &destination) || !is_port(words[3]) || !is_port(words[4]))
        return false;
    bool v6 = tw_str_eq(words[0], TW_STR("TCP6"));
    bool has_colons = memchr(words[1].p, ':', words[1].n) && memchr(words[2].p, ':', words[2].n);
    return v6 ? has_colons
              : tw_str_eq(words[0], TW_STR("TCP4")) && out->source.n == 4 && !has_colons;
}

static enum tw_proxy_read parse_v1(struct tw_str bytes, struct tw_proxy_header *out)
{
    const struct tw_str begin = TW_STR("PROXY ");
    const size_t cr_max = V1_MAX_BYTES - 1; // the line feed comes behind it
    const char *cr = memchr(bytes.p, '\r', bytes.n < cr_max ? bytes.n : cr_max);
    if (!cr && bytes.n >= cr_max)
        return TW_PROXY_INVALID;
    if (!cr || (size_t)(cr - bytes.p) + 1 == bytes.n)
        return TW_PROXY_MORE;
    struct tw_str line = {bytes.p + begin.n, (size_t)(cr - bytes.p) - begin.n};
    if ((size_t)(cr - bytes.p) < begin.n || cr[1] != '\n')
        return TW_PROXY_INVALID;
    out->n_bytes = (size_t)(cr - bytes.p) + 2;
    bool unknown = line.n >= 7 && memcmp(line.p, "UNKNOWN", 7) == 0 &&
                   (line.n == 7 || line.p[7] == ' ');
    return unknown || read_v1_line(line, out) ? TW_PROXY_DONE : TW_PROXY_INVALID;
}

// ---- version 2 ----------------------------------------------------------------------------------

static bool read_v2_address(unsigned family, const unsigned char *at, size_t n,
                            struct tw_proxy_header *out)
{
    if (family == V2_TCP_IPV4 && n >= V2_IPV4_BYTES)
        out->source = tw_address_of(at, 4);
    else if (family == V2_TCP_IPV6 && n >= V2_IPV6_BYTES)
        out->source = tw_address_of(at, 16);
    else
        return family != V2_TCP_IPV4 && family != V2_TCP_IPV6;
    return true;
}

static enum tw_proxy_read parse_v2(struct tw_str bytes, struct tw_proxy_header *out)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    if (bytes.n < V2_FIXED)
        return TW_PROXY_MORE;
    size_t n = (size_t)p[14] << 8 | p[15];
    unsigned command = p[12] & 0x0f;
    if (p[12] >> 4 != 2 || command > V2_PROXY || V2_FIXED + n > TW_PROXY_HEADER_MAX_BYTES)
        return TW_PROXY_INVALID;
    if (bytes.n < V2_FIXED + n)
        return TW_PROXY_MORE;
    out->n_bytes = V2_FIXED + n;
    if (command == V2_LOCAL)
        return TW_PROXY_DONE;
    return read_v2_address(p[13], p + V2_FIXED, n, out) ? TW_PROXY_DONE : TW_PROXY_INVALID;
}

enum tw_proxy_read tw_proxy_header_parse(struct tw_str bytes, struct tw_proxy_header *out)
{
    const struct tw_str signature = {V2_SIGNATURE, 12};
    *out = (struct tw_proxy_header){0};
    if (bytes.n == 0)
        return TW_PROXY_MORE;
    if (may_become(bytes, TW_STR("PROXY ")))
        return parse_v1(bytes, out);
    return may_become(bytes, signature) ? parse_v2(bytes, out) : TW_PROXY_INVALID;
}

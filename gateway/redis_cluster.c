// SPDX-License-Identifier: Apache-2.0
#include "gateway/redis_cluster.h"

#include <hiredis/hiredis.h>

// CRC-16/XMODEM, bit by bit: names are short, and few are made.
static uint16_t crc16(struct tw_str bytes)
{
    unsigned crc = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        crc ^= (unsigned)(unsigned char)bytes.p[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
    }
    return (uint16_t)crc;
}

// What stands between the first { and the next }, unless that is nothing.
static struct tw_str hash_tag(struct tw_str key)
{
    const char *open = key.n > 0 ? memchr(key.p, '{', key.n) : NULL;
    if (!open)
        return key;
    size_t rest = key.n - (size_t)(open + 1 - key.p);
    const char *close = memchr(open + 1, '}', rest);
    return close && close > open + 1 ? (struct tw_str){open + 1, (size_t)(close - open - 1)} : key;
}

unsigned tw_redis_slot(struct tw_str key)
{
    return crc16(hash_tag(key)) % TW_REDIS_SLOTS;
}

bool tw_redis_same_host(const struct tw_redis_host *a, const struct tw_redis_host *b)
{
    return a->port == b->port && strcmp(a->name, b->name) == 0;
}

// ---- CLUSTER SLOTS ------------------------------------------------------------------------------

static const redisReply *element(const redisReply *reply, size_t i, int type)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements <= i ||
        reply->element[i]->type != type)
        return NULL;
    return reply->element[i];
}

// The index of that node, added if need be.
static uint8_t node_at(struct tw_redis_slots *slots, const struct tw_redis_host *host)
{
    for (size_t i = 0; i < slots->n_nodes; i++)
        if (tw_redis_same_host(&slots->nodes[i], host))
            return (uint8_t)i;
    if (slots->n_nodes == TW_REDIS_NODES_MAX)
        return TW_REDIS_NO_NODE;
    slots->nodes[slots->n_nodes] = *host;
    return (uint8_t)slots->n_nodes++;
}

// [host, port, …]; a host that is nil or "" is the one that was asked.
static bool read_node(const redisReply *reply, const struct tw_redis_host *asked,
                      struct tw_redis_host *out)
{
    const redisReply *name = element(reply, 0, REDIS_REPLY_STRING);
    const redisReply *port = element(reply, 1, REDIS_REPLY_INTEGER);
    if (!port || port->integer <= 0 || port->integer > UINT16_MAX)
        return false;
    *out = *asked;
    out->port = (uint16_t)port->integer;
    if (!name || (size_t)name->len == 0)
        return true;
    if ((size_t)name->len > TW_REDIS_HOST_MAX_BYTES)
        return false;
    memcpy(out->name, name->str, (size_t)name->len);
    out->name[name->len] = '\0';
    return true;
}

// [first, last, master, replicas …]
static bool read_range(const redisReply *range, const struct tw_redis_host *asked,
                       struct tw_redis_slots *out)
{
    const redisReply *first = element(range, 0, REDIS_REPLY_INTEGER);
    const redisReply *last = element(range, 1, REDIS_REPLY_INTEGER);
    struct tw_redis_host host;
    if (!first || !last || first->integer < 0 || last->integer >= TW_REDIS_SLOTS ||
        !read_node(element(range, 2, REDIS_REPLY_ARRAY), asked, &host))
        return false;
    uint8_t node = node_at(out, &host);
    for (long long slot = first->integer; slot <= last->integer; slot++)
        out->node_of[slot] = node;
    return true;
}

bool tw_redis_slots_read(const redisReply *reply, const struct tw_redis_host *asked,
                         struct tw_redis_slots *out)
{
    out->n_nodes = 0;
    memset(out->node_of, TW_REDIS_NO_NODE, sizeof(out->node_of));
    if (!reply || reply->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        if (!read_range(reply->element[i], asked, out))
            return false;
    return out->n_nodes > 0;
}

// ---- redirections -------------------------------------------------------------------------------

// "127.0.0.1:6381", "::1:6381" as Redis writes IPv6, or ":6381".
static bool read_address(struct tw_str text, const struct tw_redis_host *asked,
                         struct tw_redis_host *out)
{
    int64_t port;
    size_t n = text.n;
    while (n > 0 && text.p[n - 1] != ':')
        n--;
    if (n == 0 || n - 1 > TW_REDIS_HOST_MAX_BYTES ||
        !tw_str_to_i64((struct tw_str){text.p + n, text.n - n}, 1, UINT16_MAX, &port))
        return false;
    *out = *asked;
    out->port = (uint16_t)port;
    if (n == 1)
        return true;
    memcpy(out->name, text.p, n - 1);
    out->name[n - 1] = '\0';
    return true;
}

enum tw_redis_redirection tw_redis_redirection(struct tw_str error,
                                               const struct tw_redis_host *asked, unsigned *slot,
                                               struct tw_redis_host *to)
{
    int64_t number;
    struct tw_str word = tw_str_next_word(&error);
    bool moved = tw_str_eq(word, TW_STR("MOVED"));
    if (tw_str_eq(word, TW_STR("TRYAGAIN")))
        return TW_REDIS_LATER;
    if (!moved && !tw_str_eq(word, TW_STR("ASK")))
        return TW_REDIS_NOT_REDIRECTED;
    if (!tw_str_to_i64(tw_str_next_word(&error), 0, TW_REDIS_SLOTS - 1, &number) ||
        !read_address(tw_str_next_word(&error), asked, to))
        return TW_REDIS_NOT_REDIRECTED;
    *slot = (unsigned)number;
    return moved ? TW_REDIS_MOVED : TW_REDIS_ASK;
}

// SPDX-License-Identifier: Apache-2.0
// Open addressing over an array that only grows until it is cleared: slots hold index + 1.
#include "gateway/usage_map.h"

#include <stdlib.h>

#define KEY_BYTES_EACH 128

struct tw_usage_map {
    size_t n, keys_max;
    size_t n_bytes, bytes_max;
    size_t slot_mask;
    uint32_t *slots;
    struct tw_usage *items;
    char *bytes;
};

struct tw_usage_map *tw_usage_map_new(size_t keys_max)
{
    struct tw_usage_map *map = calloc(1, sizeof(*map));
    size_t slots = 64;
    if (!map)
        return NULL;
    while (slots < keys_max * 2)
        slots *= 2;
    map->keys_max = keys_max;
    map->bytes_max = keys_max * KEY_BYTES_EACH;
    map->slot_mask = slots - 1;
    map->slots = calloc(slots, sizeof(map->slots[0]));
    map->items = calloc(keys_max, sizeof(map->items[0]));
    map->bytes = malloc(map->bytes_max);
    if (map->slots && map->items && map->bytes)
        return map;
    tw_usage_map_free(map);
    return NULL;
}

void tw_usage_map_free(struct tw_usage_map *map)
{
    if (!map)
        return;
    free(map->slots);
    free(map->items);
    free(map->bytes);
    free(map);
}

// The slot of that key, or the empty one where it belongs: at most half of them are taken.
static uint32_t *slot_of(const struct tw_usage_map *map, unsigned policy, uint64_t hash)
{
    for (size_t i = hash & map->slot_mask;; i = (i + 1) & map->slot_mask) {
        if (map->slots[i] == 0)
            return &map->slots[i];
        const struct tw_usage *usage = &map->items[map->slots[i] - 1];
        if (usage->hash == hash && usage->policy == policy)
            return &map->slots[i];
    }
}

static struct tw_usage *insert(struct tw_usage_map *map, uint32_t *slot, struct tw_str key)
{
    if (map->n == map->keys_max || key.n > map->bytes_max - map->n_bytes)
        return NULL;
    struct tw_usage *usage = &map->items[map->n++];
    *slot = (uint32_t)map->n;
    char *copy = map->bytes + map->n_bytes;
    if (key.n > 0)
        memcpy(copy, key.p, key.n);
    map->n_bytes += key.n;
    *usage = (struct tw_usage){.key = {copy, key.n}};
    return usage;
}

struct tw_usage *tw_usage_map_add(struct tw_usage_map *map, unsigned policy, uint64_t hash,
                                  struct tw_str key, const struct tw_limit_rule *rule,
                                  uint64_t cost)
{
    uint32_t *slot = slot_of(map, policy, hash);
    struct tw_usage *usage = *slot > 0 ? &map->items[*slot - 1] : insert(map, slot, key);
    if (!usage)
        return NULL;
    usage->policy = policy;
    usage->hash = hash;
    usage->rule = rule;
    if (__builtin_add_overflow(usage->cost, cost, &usage->cost))
        usage->cost = UINT64_MAX;
    return usage;
}

const struct tw_usage *tw_usage_map_find(const struct tw_usage_map *map, unsigned policy,
                                         uint64_t hash)
{
    uint32_t slot = *slot_of(map, policy, hash);
    return slot > 0 ? &map->items[slot - 1] : NULL;
}

size_t tw_usage_map_count(const struct tw_usage_map *map)
{
    return map->n;
}

struct tw_usage *tw_usage_map_at(struct tw_usage_map *map, size_t i)
{
    return &map->items[i];
}

void tw_usage_map_clear(struct tw_usage_map *map)
{
    if (map->n > 0)
        memset(map->slots, 0, (map->slot_mask + 1) * sizeof(map->slots[0]));
    map->n = map->n_bytes = 0;
}

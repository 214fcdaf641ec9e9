// SPDX-License-Identifier: Apache-2.0
// usage_map: what was used of which limits since the last time that somebody asked.
//
// A table of fixed size: so many keys and so many bytes of them; what does not fit is refused.
// Not for: limits themselves (limit), nor sharing between processes. Runs in: worker. Pure.

#ifndef TW_USAGE_MAP_H
#define TW_USAGE_MAP_H

#include "gateway/limit.h"

struct tw_usage {
    unsigned policy;                  // its id in the limit table
    unsigned via;                     // whoever adds it decides what this means; 0 when new
    const struct tw_limit_rule *rule; // borrowed
    uint64_t hash;                    // which the key goes by: its tw_limit_hash
    struct tw_str key;                // in the map
    uint64_t cost;                    // used, in units of the policy's cost
};

struct tw_usage_map;

// Room for so many keys, 128 bytes of each on average. NULL when memory is refused.
TW_MUST_USE struct tw_usage_map *tw_usage_map_new(size_t keys_max);
void tw_usage_map_free(struct tw_usage_map *map); // NULL is fine

// Adds `cost` to what was used of this key, which is copied. NULL when there is no room for it.
struct tw_usage *tw_usage_map_add(struct tw_usage_map *map, unsigned policy, uint64_t hash,
                                  struct tw_str key, const struct tw_limit_rule *rule,
                                  uint64_t cost);

// NULL when nothing was used of it.
const struct tw_usage *tw_usage_map_find(const struct tw_usage_map *map, unsigned policy,
                                         uint64_t hash);

// What there is, in the order it came: valid until the map is cleared; an addition moves nothing.
size_t tw_usage_map_count(const struct tw_usage_map *map);
struct tw_usage *tw_usage_map_at(struct tw_usage_map *map, size_t i);

void tw_usage_map_clear(struct tw_usage_map *map);

#endif

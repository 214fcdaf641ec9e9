// SPDX-License-Identifier: Apache-2.0
#include "auth/token_cache.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_SLOTS 64 // a power of two, as all sizes of the table are
#define HASHED_MAX  64 // bytes of a token that are hashed: the last ones

struct entry {
    struct tw_principal *principal;
    struct tw_token_life life;
    size_t token_n;
    char token[];
};

// Empty when `entry` is NULL. An entry lies at its home slot or behind it with no gap in between.
struct slot {
    struct entry *entry;
    uint32_t hash; // low half; its lowest bits are the home slot
    uint32_t used; // answered since the hand last passed: gets a second chance
};

struct tw_token_cache {
    struct slot *slots;
    size_t slot_mask; // number of slots - 1; the table is never more than half full
    size_t hand;      // next candidate for eviction
    size_t entries, max_entries;
    size_t bytes, max_bytes; // without the table
    uint64_t evictions;
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
};

struct tw_token_cache *tw_token_cache_new(size_t max_entries, size_t max_bytes,
                                          const unsigned char hash_key[TW_SIPHASH_KEY_BYTES])
{
    struct tw_token_cache *cache = calloc(1, sizeof *cache);
    struct slot *slots = calloc(FIRST_SLOTS, sizeof *slots);
    if (!cache || !slots) {
        free(cache);
        free(slots);
        return NULL;
    }
    cache->slots = slots;
    cache->slot_mask = FIRST_SLOTS - 1;
    cache->max_entries = max_entries;
    cache->max_bytes = max_bytes;
    memcpy(cache->hash_key, hash_key, sizeof cache->hash_key);
    return cache;
}

static size_t entry_bytes(const struct entry *entry)
{
    return sizeof *entry + entry->token_n + entry->principal->bytes;
}

static void free_entry(struct entry *entry)
{
    tw_principal_unref(entry->principal);
    free(entry);
}

void tw_token_cache_free(struct tw_token_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i <= cache->slot_mask; i++)
        if (cache->slots[i].entry)
            free_entry(cache->slots[i].entry);
    free(cache->slots);
    free(cache);
}

static bool slot_holds(const struct slot *slot, uint32_t hash, struct tw_str token)
{
    return slot->hash == hash &&
           tw_str_eq(token, (struct tw_str){slot->entry->token, slot->entry->token_n});
}

// A token's end is enough to find it by, as it is the signature: nobody can choose one and have it
// kept. (A kilobyte of SipHash was a sixth of a request's instructions: bench/identity.sh.) What
// decides is the comparison of all bytes.
static uint32_t hash_of(const struct tw_token_cache *cache, struct tw_str token)
{
    size_t skipped = token.n > HASHED_MAX ? token.n - HASHED_MAX : 0;
    struct tw_str end = {token.p + skipped, token.n - skipped};
    return (uint32_t)tw_siphash(cache->hash_key, end);
}

// The slot of this token, or the empty one where it would go.
static size_t locate(const struct tw_token_cache *cache, uint32_t hash, struct tw_str token)
{
    size_t i = hash & cache->slot_mask;
    while (cache->slots[i].entry && !slot_holds(&cache->slots[i], hash, token))
        i = (i + 1) & cache->slot_mask;
    return i;
}

// Frees the entry and moves followers forward, so that no probe meets a gap (Knuth, algorithm R).
static void remove_at(struct tw_token_cache *cache, size_t gap)
{
    struct slot *slots = cache->slots;
    size_t mask = cache->slot_mask;
    cache->bytes -= entry_bytes(slots[gap].entry);
    cache->entries--;
    free_entry(slots[gap].entry);
    for (size_t i = (gap + 1) & mask; slots[i].entry; i = (i + 1) & mask) {
        size_t distance_home = (i - (slots[i].hash & mask)) & mask;
        if (distance_home < ((i - gap) & mask))
            continue; // its home lies behind the gap
        slots[gap] = slots[i];
        gap = i;
    }
    slots[gap] = (struct slot){0};
}

static bool may_answer(const struct entry *entry, int64_t now_unix_s, const uint64_t *generations)
{
    return now_unix_s >= entry->life.from_unix_s && now_unix_s < entry->life.until_unix_s &&
           generations[entry->life.issuer] == entry->life.generation;
}

struct tw_principal *tw_token_cache_find(struct tw_token_cache *cache, struct tw_str token,
                                         int64_t now_unix_s, const uint64_t *generations)
{
    if (cache->entries == 0)
        return NULL;
    size_t i = locate(cache, hash_of(cache, token), token);
    struct slot *slot = &cache->slots[i];
    if (!slot->entry)
        return NULL;
    if (!may_answer(slot->entry, now_unix_s, generations)) {
        remove_at(cache, i);
        return NULL;
    }
    slot->used = 1;
    return slot->entry->principal;
}

// The hand goes round; each entry in use is passed over once. A sweep clears what it passes, so its
// cost is paid by the hits before it.
static void evict_one(struct tw_token_cache *cache)
{
    assert(cache->entries > 0);
    for (;; cache->hand = (cache->hand + 1) & cache->slot_mask) {
        struct slot *slot = &cache->slots[cache->hand];
        if (slot->entry && !slot->used)
            break;
        slot->used = 0;
    }
    remove_at(cache, cache->hand);
    cache->evictions++;
}

// Doubles the table when it would become more than half full. False when that is not possible.
static bool make_slots(struct tw_token_cache *cache)
{
    size_t old_count = cache->slot_mask + 1;
    if ((cache->entries + 1) * 2 <= old_count)
        return true;
    struct slot *old = cache->slots;
    struct slot *slots = old_count <= UINT32_MAX / 2 ? calloc(old_count * 2, sizeof *slots) : NULL;
    if (!slots)
        return false;
    cache->slots = slots;
    cache->slot_mask = old_count * 2 - 1;
    for (size_t i = 0; i < old_count; i++) {
        size_t home = old[i].hash & cache->slot_mask;
        while (old[i].entry && slots[home].entry)
            home = (home + 1) & cache->slot_mask;
        if (old[i].entry)
            slots[home] = old[i];
    }
    free(old);
    return true;
}

static bool make_room(struct tw_token_cache *cache, size_t bytes)
{
    if (cache->max_entries == 0 || bytes > cache->max_bytes)
        return false;
    while (cache->entries >= cache->max_entries || cache->bytes + bytes > cache->max_bytes)
        evict_one(cache);
    return make_slots(cache);
}

static struct entry *new_entry(struct tw_str token, struct tw_principal *principal,
                               const struct tw_token_life *life)
{
    struct entry *entry = malloc(sizeof *entry + token.n);
    if (!entry)
        return NULL;
    entry->principal = tw_principal_ref(principal);
    entry->life = *life;
    entry->token_n = token.n;
    memcpy(entry->token, token.p, token.n);
    return entry;
}

void tw_token_cache_put(struct tw_token_cache *cache, struct tw_str token,
                        struct tw_principal *principal, const struct tw_token_life *life)
{
    uint32_t hash = hash_of(cache, token);
    size_t known = locate(cache, hash, token);
    if (cache->slots[known].entry)
        remove_at(cache, known);
    struct entry *entry = new_entry(token, principal, life);
    if (!entry)
        return;
    if (!make_room(cache, entry_bytes(entry))) {
        free_entry(entry);
        return;
    }
    cache->slots[locate(cache, hash, token)] = (struct slot){.entry = entry, .hash = hash};
    cache->entries++;
    cache->bytes += entry_bytes(entry);
}

struct tw_token_cache_stats tw_token_cache_stats(const struct tw_token_cache *cache)
{
    size_t table_bytes = (cache->slot_mask + 1) * sizeof *cache->slots;
    return (struct tw_token_cache_stats){cache->entries, cache->bytes + table_bytes,
                                         cache->evictions};
}

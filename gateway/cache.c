// SPDX-License-Identifier: Apache-2.0
#include "gateway/cache.h"

#include <assert.h>
#include <stdlib.h>

// An entry of a small product takes about so much: one bucket for each that can be there.
#define BYTES_PER_BUCKET 512
#define BUCKETS_MIN      16
#define FILL_BUCKETS     256

// What the allocator adds to a block, and what it rounds to (glibc, 64 bits).
#define BLOCK_HEAD  8
#define BLOCK_ROUND 16

#define SWEPT_AT_ONCE 512

struct tw_cache_table {
    struct tw_cache_entry **buckets;
    size_t bucket_mask;
    struct tw_cache_entry *oldest, *newest;
    uint64_t era; // entries of another one have been cleared
    size_t entries, bytes, max_bytes;
    uint64_t evictions;
    struct tw_cache_fill *fills[FILL_BUCKETS]; // the findable ones
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
};

static size_t bucket_count(size_t max_bytes)
{
    size_t n = BUCKETS_MIN;
    while (n < max_bytes / BYTES_PER_BUCKET)
        n *= 2;
    return n;
}

struct tw_cache_table *tw_cache_new(size_t max_bytes,
                                    const unsigned char hash_key[TW_SIPHASH_KEY_BYTES])
{
    size_t n = bucket_count(max_bytes);
    struct tw_cache_table *cache = calloc(1, sizeof(*cache));
    struct tw_cache_entry **buckets = calloc(n, sizeof(buckets[0]));
    if (!cache || !buckets) {
        free(cache);
        free(buckets);
        return NULL;
    }
    cache->buckets = buckets;
    cache->bucket_mask = n - 1;
    cache->bytes = n * sizeof(buckets[0]);
    cache->max_bytes = max_bytes;
    memcpy(cache->hash_key, hash_key, sizeof(cache->hash_key));
    return cache;
}

static uint32_t hash_of(const struct tw_cache_table *cache, const struct tw_uuid *id)
{
    struct tw_str bytes = {(const char *)id->bytes, sizeof(id->bytes)};
    return (uint32_t)tw_siphash_1_3(cache->hash_key, bytes);
}

static bool same_id(const struct tw_uuid *a, const struct tw_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

// ---- entries ------------------------------------------------------------------------------------

static size_t block_bytes(size_t n)
{
    return (n + BLOCK_HEAD + BLOCK_ROUND - 1) / BLOCK_ROUND * BLOCK_ROUND;
}

static size_t entry_bytes(const struct tw_cache_entry *entry)
{
    return block_bytes(sizeof(*entry) + entry->body.n + entry->etag.n);
}

struct tw_cache_entry *tw_cache_ref(struct tw_cache_entry *entry)
{
    entry->references++;
    return entry;
}

void tw_cache_unref(struct tw_cache_entry *entry)
{
    if (entry && --entry->references == 0)
        free(entry);
}

static struct tw_cache_entry *entry_new(const struct tw_cache_fill *fill, struct tw_str body,
                                        struct tw_str etag)
{
    struct tw_cache_entry *entry = malloc(sizeof(*entry) + body.n + etag.n);
    if (!entry)
        return NULL;
    memcpy(entry->text, body.p, body.n);
    memcpy(entry->text + body.n, etag.p, etag.n);
    entry->body = (struct tw_str){entry->text, body.n};
    entry->etag = (struct tw_str){entry->text + body.n, etag.n};
    entry->id = fill->id;
    entry->hash = fill->hash;
    entry->references = 1;
    return entry;
}

static void list_unlink(struct tw_cache_table *cache, struct tw_cache_entry *entry)
{
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
}

static void list_append(struct tw_cache_table *cache, struct tw_cache_entry *entry)
{
    entry->older = cache->newest;
    entry->newer = NULL;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

// Where the pointer to this id's entry stands, or would stand.
static struct tw_cache_entry **locate(struct tw_cache_table *cache, uint32_t hash,
                                      const struct tw_uuid *id)
{
    struct tw_cache_entry **at = &cache->buckets[hash & cache->bucket_mask];
    while (*at && !((*at)->hash == hash && same_id(&(*at)->id, id)))
        at = &(*at)->chain;
    return at;
}

static void drop(struct tw_cache_table *cache, struct tw_cache_entry **at)
{
    struct tw_cache_entry *entry = *at;
    *at = entry->chain;
    list_unlink(cache, entry);
    cache->entries--;
    cache->bytes -= entry_bytes(entry);
    tw_cache_unref(entry);
}

static void drop_oldest(struct tw_cache_table *cache)
{
    drop(cache, locate(cache, cache->oldest->hash, &cache->oldest->id));
}

struct tw_cache_entry *tw_cache_find(struct tw_cache_table *cache, const struct tw_uuid *id)
{
    struct tw_cache_entry **at = locate(cache, hash_of(cache, id), id);
    struct tw_cache_entry *entry = *at;
    if (!entry)
        return NULL;
    if (entry->era != cache->era) {
        drop(cache, at);
        return NULL;
    }
    if (entry != cache->newest) {
        list_unlink(cache, entry);
        list_append(cache, entry);
    }
    return entry;
}

// False when it does not fit at all; nothing is dropped for it then.
static bool make_room(struct tw_cache_table *cache, size_t bytes)
{
    size_t index_bytes = (cache->bucket_mask + 1) * sizeof(cache->buckets[0]);
    if (index_bytes + bytes > cache->max_bytes)
        return false;
    while (cache->bytes + bytes > cache->max_bytes) {
        cache->evictions += cache->oldest->era == cache->era;
        drop_oldest(cache);
    }
    return true;
}

static bool store(struct tw_cache_table *cache, struct tw_cache_entry *entry)
{
    if (!make_room(cache, entry_bytes(entry)))
        return false;
    struct tw_cache_entry **at = locate(cache, entry->hash, &entry->id);
    assert(!*at);
    entry->chain = NULL;
    entry->era = cache->era;
    *at = tw_cache_ref(entry);
    list_append(cache, entry);
    cache->entries++;
    cache->bytes += entry_bytes(entry);
    return true;
}

// ---- fills --------------------------------------------------------------------------------------

static struct tw_cache_fill **locate_fill(struct tw_cache_table *cache, uint32_t hash,
                                          const struct tw_uuid *id)
{
    struct tw_cache_fill **at = &cache->fills[hash % FILL_BUCKETS];
    while (*at && !same_id(&(*at)->id, id))
        at = &(*at)->chain;
    return at;
}

static void make_unfindable(struct tw_cache_fill **at)
{
    struct tw_cache_fill *fill = *at;
    *at = fill->chain;
    fill->is_findable = false;
}

struct tw_cache_fill *tw_cache_fill_find(struct tw_cache_table *cache, const struct tw_uuid *id)
{
    return *locate_fill(cache, hash_of(cache, id), id);
}

void tw_cache_fill_begin(struct tw_cache_table *cache, struct tw_cache_fill *fill,
                         const struct tw_uuid *id)
{
    *fill = (struct tw_cache_fill){.id = *id, .hash = hash_of(cache, id), .is_findable = true};
    struct tw_cache_fill **at = locate_fill(cache, fill->hash, id);
    assert(!*at);
    *at = fill;
}

struct tw_cache_entry *tw_cache_fill_end(struct tw_cache_table *cache, struct tw_cache_fill *fill,
                                         struct tw_str body, struct tw_str etag, bool *stored)
{
    struct tw_cache_entry *entry = entry_new(fill, body, etag);
    *stored = entry && fill->is_findable && store(cache, entry);
    tw_cache_fill_cancel(cache, fill);
    return entry;
}

void tw_cache_fill_cancel(struct tw_cache_table *cache, struct tw_cache_fill *fill)
{
    if (fill->is_findable)
        make_unfindable(locate_fill(cache, fill->hash, &fill->id));
}

// ---- forgetting ---------------------------------------------------------------------------------

bool tw_cache_forget(struct tw_cache_table *cache, const struct tw_uuid *id)
{
    uint32_t hash = hash_of(cache, id);
    struct tw_cache_fill **fill = locate_fill(cache, hash, id);
    struct tw_cache_entry **entry = locate(cache, hash, id);
    bool found = *fill || (*entry && (*entry)->era == cache->era);
    if (*fill)
        make_unfindable(fill);
    if (*entry)
        drop(cache, entry);
    return found;
}

void tw_cache_clear(struct tw_cache_table *cache)
{
    cache->era++;
    for (size_t i = 0; i < FILL_BUCKETS; i++)
        while (cache->fills[i])
            make_unfindable(&cache->fills[i]);
}

// What was cleared is not used any more, so that it is older than all that was not.
void tw_cache_sweep(struct tw_cache_table *cache)
{
    for (unsigned i = 0; i < SWEPT_AT_ONCE && cache->oldest; i++) {
        if (cache->oldest->era == cache->era)
            return;
        drop_oldest(cache);
    }
}

void tw_cache_free(struct tw_cache_table *cache)
{
    if (!cache)
        return;
    tw_cache_clear(cache);
    while (cache->oldest)
        drop_oldest(cache);
    free(cache->buckets);
    free(cache);
}

struct tw_cache_stats tw_cache_stats(const struct tw_cache_table *cache)
{
    return (struct tw_cache_stats){cache->entries, cache->bytes, cache->evictions};
}

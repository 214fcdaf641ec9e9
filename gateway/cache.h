// SPDX-License-Identifier: Apache-2.0
// cache: finished answers by id, so that a product is read from PostgreSQL once and not each time.
//
// Bounded in bytes, the least recently used goes first. A hit allocates nothing and copies nothing:
// an entry counts its references, so that it outlives its place here until the last answer made of
// it has been sent. Pure: bytes in and out; who reads and who waits is cached.h.
//
// A fill is a read that is under way. It is what keeps an answer that was overtaken by a change out
// of the cache. The orders in which things may happen, for one id:
//
//   read sent, change heard, read answered   The answer may be older than the change: whoever
//   waited
//                                            gets it (they asked before), it is not stored.
//   ... and somebody asks in between         He must see the change, so he does not join that fill:
//                                            it is no longer to be found, and he begins another
//                                            one.
//   change heard, read sent                  A change is heard after its commit: the read sees it.
//   read answered and stored, change heard   The entry goes; between commit and hearing it was old.
//   own write answered                       Counts as heard, before its client gets the answer.
//   changes no longer heard                  All entries go, and all fills become unfindable; none
//                                            begins before changes are heard again.
//
// Runs in: worker. Source: RFC 9111 for what may be said of an answer's age; no entry has one here.

#ifndef TW_CACHE_H
#define TW_CACHE_H

#include "auth/siphash.h"
#include "gateway/uuid.h"

struct tw_cache_table; // opaque

// Read-only for everybody else. Valid while a reference is held.
struct tw_cache_entry {
    struct tw_str body, etag;
    struct tw_uuid id;
    // For cache.c only.
    unsigned references;
    uint32_t hash;
    uint64_t era;
    struct tw_cache_entry *chain;         // in its bucket
    struct tw_cache_entry *older, *newer; // by last use; NULL at the ends
    char text[];                          // body, then etag
};

// A read under way; lives in memory of its owner from tw_cache_fill_begin to _end or _cancel.
struct tw_cache_fill {
    struct tw_uuid id;
    uint32_t hash;
    bool is_findable; // no change of its id has been heard since it began
    struct tw_cache_fill *chain;
};

struct tw_cache_stats {
    size_t entries;
    size_t bytes;       // of entries and their index, as the allocator counts them
    uint64_t evictions; // since creation, for want of room
};

// At most `max_bytes`; the index takes a thirty-second of it or less. `hash_key` is copied and must
// be random. NULL when out of memory.
struct tw_cache_table *tw_cache_new(size_t max_bytes,
                                    const unsigned char hash_key[TW_SIPHASH_KEY_BYTES]);

// NULL is allowed. Entries that are referenced still live on.
void tw_cache_free(struct tw_cache_table *cache);

// Borrowed, until the next call; or NULL. Makes it the one used last.
struct tw_cache_entry *tw_cache_find(struct tw_cache_table *cache, const struct tw_uuid *id);

struct tw_cache_entry *tw_cache_ref(struct tw_cache_entry *entry);
void tw_cache_unref(struct tw_cache_entry *entry); // NULL is allowed

// The fill that somebody who asks now may join; or NULL.
struct tw_cache_fill *tw_cache_fill_find(struct tw_cache_table *cache, const struct tw_uuid *id);

// Begins a read. There must be neither an entry nor a findable fill of this id.
void tw_cache_fill_begin(struct tw_cache_table *cache, struct tw_cache_fill *fill,
                         const struct tw_uuid *id);

// The read has an answer, of which it makes an entry, a reference of which is the caller's. Stored
// (`*stored`) unless a change was heard meanwhile or it is larger than the cache. NULL when memory
// is short. The fill has ended in any case.
TW_MUST_USE struct tw_cache_entry *tw_cache_fill_end(struct tw_cache_table *cache,
                                                     struct tw_cache_fill *fill, struct tw_str body,
                                                     struct tw_str etag, bool *stored);

// The read has no answer, or none to store: with one, tw_cache_fill_end may follow.
void tw_cache_fill_cancel(struct tw_cache_table *cache, struct tw_cache_fill *fill);

// A change of this id has been heard. True when there was something to forget.
bool tw_cache_forget(struct tw_cache_table *cache, const struct tw_uuid *id);

// Anything may have changed. Takes no longer for a large cache: the memory goes by and by.
void tw_cache_clear(struct tw_cache_table *cache);

// Frees some of what was cleared; to be called now and then.
void tw_cache_sweep(struct tw_cache_table *cache);

struct tw_cache_stats tw_cache_stats(const struct tw_cache_table *cache);

#endif

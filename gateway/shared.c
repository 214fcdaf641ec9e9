// SPDX-License-Identifier: Apache-2.0
#include "gateway/shared.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "gateway/db_shared.h"
#include "gateway/sales_stats.h"

// Two copies in turn: the generation's lowest bit names the current one, the master writes the
// other. Memory that was never written costs nothing.
struct slot {
    _Atomic uint64_t generation;
    struct {
        _Atomic uint64_t size;
        char text[TW_DOCUMENT_MAX_BYTES];
    } copies[2];
};

struct tw_shared {
    struct tw_worker_page *pages;
    size_t n_slots;
    struct slot *slots;
    struct tw_db_shared *db;
    struct tw_sales_stats *sales;
};

static void *map_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

// Takes what `before` shares with all others.
static struct tw_shared *with_slots(const struct tw_shared *before, size_t n_slots)
{
    struct tw_shared *shared = malloc(sizeof(*shared));
    struct slot *slots = map_shared(n_slots * sizeof(slots[0]));
    if (!shared || !slots || !before->pages || !before->db || !before->sales) {
        free(shared);
        return NULL;
    }
    (void)madvise(slots, n_slots * sizeof(slots[0]), MADV_DONTDUMP);
    *shared = *before;
    shared->n_slots = n_slots;
    shared->slots = slots;
    return shared;
}

struct tw_shared *tw_shared_new(unsigned n_pages, size_t n_slots)
{
    const struct tw_shared base = {
        .pages = map_shared(n_pages * sizeof(struct tw_worker_page)),
        .db = map_shared(sizeof(struct tw_db_shared)),
        .sales = tw_sales_stats_new(n_pages),
    };
    return with_slots(&base, n_slots);
}

struct tw_shared *tw_shared_next(const struct tw_shared *before, size_t n_slots)
{
    return with_slots(before, n_slots);
}

void tw_shared_free(struct tw_shared *shared)
{
    if (shared)
        (void)munmap(shared->slots, shared->n_slots * sizeof(shared->slots[0]));
    free(shared);
}

struct tw_db_shared *tw_shared_db(struct tw_shared *shared)
{
    return shared->db;
}

struct tw_sales_stats *tw_shared_sales(const struct tw_shared *shared)
{
    return shared->sales;
}

struct tw_worker_page *tw_shared_worker(struct tw_shared *shared, unsigned index)
{
    return &shared->pages[index];
}

void tw_stats_request(struct tw_worker_page *page, unsigned row, unsigned http_status,
                      uint64_t latency_us)
{
    struct tw_route_stats *stats = &page->routes[row < TW_STATS_ROUTES_MAX ? row : 0];
    tw_cell_add(&stats->by_class[http_status / 100 <= 5 ? http_status / 100 : 5], 1);
    tw_histogram_add(&stats->latency, latency_us);
}

bool tw_shared_document_publish(struct tw_shared *shared, size_t slot, struct tw_str text)
{
    if (text.n > TW_DOCUMENT_MAX_BYTES)
        return false;
    struct slot *of = &shared->slots[slot];
    uint64_t next = atomic_load_explicit(&of->generation, memory_order_relaxed) + 1;
    // A reader that meets the new bytes must also find that its generation has gone: without the
    // fence a processor with weak ordering may show it the bytes first.
    atomic_thread_fence(memory_order_release);
    if (text.n > 0)
        memcpy(of->copies[next & 1].text, text.p, text.n);
    atomic_store_explicit(&of->copies[next & 1].size, text.n, memory_order_relaxed);
    atomic_store_explicit(&of->generation, next, memory_order_release);
    return true;
}

void tw_shared_document_wipe_previous(struct tw_shared *shared, size_t slot)
{
    struct slot *of = &shared->slots[slot];
    uint64_t now = atomic_load_explicit(&of->generation, memory_order_relaxed);
    uint64_t n = atomic_load_explicit(&of->copies[(now + 1) & 1].size, memory_order_relaxed);
    // Whoever meets wiped bytes must find that their generation has gone, as above.
    atomic_thread_fence(memory_order_seq_cst);
    OPENSSL_cleanse(of->copies[(now + 1) & 1].text, n);
    atomic_store_explicit(&of->copies[(now + 1) & 1].size, 0, memory_order_relaxed);
}

struct tw_str tw_shared_document_now(const struct tw_shared *shared, size_t slot)
{
    uint64_t generation = tw_shared_document_generation(shared, slot);
    const struct slot *of = &shared->slots[slot];
    return (struct tw_str){
        of->copies[generation & 1].text,
        atomic_load_explicit(&of->copies[generation & 1].size, memory_order_relaxed),
    };
}

bool tw_shared_document_is(const struct tw_shared *shared, size_t slot, struct tw_str text)
{
    return tw_shared_document_generation(shared, slot) != 0 &&
           tw_str_eq(tw_shared_document_now(shared, slot), text);
}

uint64_t tw_shared_document_generation(const struct tw_shared *shared, size_t slot)
{
    return atomic_load_explicit(&shared->slots[slot].generation, memory_order_acquire);
}

bool tw_shared_document_read(const struct tw_shared *shared, size_t slot, char *buffer,
                             size_t *size, uint64_t *generation)
{
    const struct slot *of = &shared->slots[slot];
    for (;;) {
        *generation = tw_shared_document_generation(shared, slot);
        if (*generation == 0)
            return false;
        *size = atomic_load_explicit(&of->copies[*generation & 1].size, memory_order_relaxed);
        if (*size > TW_DOCUMENT_MAX_BYTES)
            continue;
        memcpy(buffer, of->copies[*generation & 1].text, *size);
        atomic_thread_fence(memory_order_acquire);
        if (tw_shared_document_generation(shared, slot) == *generation)
            return true;
    }
}

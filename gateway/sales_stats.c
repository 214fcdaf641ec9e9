// SPDX-License-Identifier: Apache-2.0
#include "gateway/sales_stats.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "auth/siphash.h"
#include "gateway/uuid.h"

// Claimed by its hash, which is never 0; then the text, then its length are written. The hash
// stands for the name: no two names will ever share 64 bits of it.
struct name {
    _Atomic uint64_t hash;
    _Atomic uint64_t n;
    char text[TW_SALES_NAME_MAX + 1];
};

struct cell {
    _Atomic uint64_t n[TW_SALES_KINDS];
    _Atomic uint64_t total_minor[TW_SALES_KINDS];
} __attribute__((aligned(64)));

// The last of each is "other".
typedef struct cell table[TW_SALES_CURRENCIES + 1][TW_SALES_STORES + 1][TW_SALES_METHODS + 1];

struct tw_sales_stats {
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
    struct name currencies[TW_SALES_CURRENCIES];
    struct name stores[TW_SALES_STORES];
    struct name methods[TW_SALES_METHODS];
    _Atomic uint64_t low_stock[TW_SALES_STORES + 1]; // and one more; 0: not counted yet
    table rows[] __attribute__((aligned(64)));
};

static const char other[] = "other";

struct tw_sales_stats *tw_sales_stats_new(unsigned n_rows)
{
    struct tw_sales_stats *stats = mmap(NULL, sizeof(*stats) + n_rows * sizeof(stats->rows[0]),
                                        PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stats == MAP_FAILED)
        return NULL;
    tw_random(stats->hash_key, sizeof(stats->hash_key));
    return stats;
}

// ---- names --------------------------------------------------------------------------------------

static void write_name(struct name *slot, struct tw_str text)
{
    memcpy(slot->text, text.p, text.n);
    atomic_store_explicit(&slot->n, text.n, memory_order_release);
}

// Index of the name among `n` slots, which claims one if need be; `n` stands for "other". Two
// workers that see a name first at once agree on who writes it.
static unsigned index_of(const struct tw_sales_stats *stats, struct name *slots, unsigned n,
                         struct tw_str text)
{
    if (text.n == 0 || text.n > TW_SALES_NAME_MAX || tw_str_eq(text, TW_STR(other)))
        return n;
    uint64_t hash = tw_siphash_1_3(stats->hash_key, text) | 1;
    unsigned at = (unsigned)(hash / 2 % n);
    for (unsigned i = 0; i < n; i++, at = (at + 1) % n) {
        uint64_t held = atomic_load_explicit(&slots[at].hash, memory_order_relaxed);
        if (held == 0 &&
            atomic_compare_exchange_strong_explicit(&slots[at].hash, &held, hash,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            write_name(&slots[at], text);
            return at;
        }
        if (held == hash)
            return at;
    }
    return n;
}

// NULL: nobody has that slot, or its name is just being written.
static const char *name_at(struct name *slots, unsigned n, unsigned at)
{
    if (at == n)
        return other;
    return atomic_load_explicit(&slots[at].n, memory_order_acquire) > 0 ? slots[at].text : NULL;
}

// ---- cells --------------------------------------------------------------------------------------

static uint64_t load(const _Atomic uint64_t *of)
{
    return atomic_load_explicit(of, memory_order_relaxed);
}

// Only this worker writes its cells.
static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to, load(to) + n, memory_order_relaxed);
}

void tw_sales_add(struct tw_sales_stats *stats, unsigned row, const struct tw_sales_event *event)
{
    unsigned currency = index_of(stats, stats->currencies, TW_SALES_CURRENCIES, event->currency);
    unsigned store = index_of(stats, stats->stores, TW_SALES_STORES, event->store);
    unsigned method = index_of(stats, stats->methods, TW_SALES_METHODS, event->payment_method);
    struct cell *cell = &stats->rows[row][currency][store][method];
    add(&cell->n[event->kind], 1);
    add(&cell->total_minor[event->kind], (uint64_t)event->total_minor);
}

// False when nothing was recorded.
static bool sum_rows(const struct tw_sales_stats *stats, unsigned n_rows, unsigned currency,
                     unsigned store, unsigned method, struct tw_sales_sum *sum)
{
    uint64_t any = 0;
    for (unsigned row = 0; row < n_rows; row++) {
        const struct cell *cell = &stats->rows[row][currency][store][method];
        for (size_t kind = 0; kind < TW_SALES_KINDS; kind++) {
            sum->n[kind] += load(&cell->n[kind]);
            sum->total_minor[kind] += load(&cell->total_minor[kind]);
            any |= sum->n[kind];
        }
    }
    return any != 0;
}

struct list {
    struct tw_sales_sum *sums;
    size_t n, room;
};

static bool append(struct list *list, const struct tw_sales_sum *sum)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        struct tw_sales_sum *sums = reallocarray(list->sums, room, sizeof(*sums));
        if (!sums)
            return false;
        list->sums = sums;
        list->room = room;
    }
    list->sums[list->n++] = *sum;
    return true;
}

// Of one store in one currency.
static bool append_methods(struct tw_sales_stats *stats, unsigned n_rows, unsigned currency,
                           unsigned store, struct list *list)
{
    if (!name_at(stats->stores, TW_SALES_STORES, store))
        return true; // most of them
    for (unsigned method = 0; method <= TW_SALES_METHODS; method++) {
        struct tw_sales_sum sum = {
            .store = name_at(stats->stores, TW_SALES_STORES, store),
            .currency = name_at(stats->currencies, TW_SALES_CURRENCIES, currency),
            .payment_method = name_at(stats->methods, TW_SALES_METHODS, method),
        };
        if (sum.store && sum.currency && sum.payment_method &&
            sum_rows(stats, n_rows, currency, store, method, &sum) && !append(list, &sum))
            return false;
    }
    return true;
}

struct tw_sales_sum *tw_sales_sums(struct tw_sales_stats *stats, unsigned n_rows, size_t *n)
{
    struct list list = {0};
    *n = 0;
    for (unsigned currency = 0; currency <= TW_SALES_CURRENCIES; currency++)
        for (unsigned store = 0; store <= TW_SALES_STORES; store++)
            if (!append_methods(stats, n_rows, currency, store, &list)) {
                free(list.sums);
                return NULL;
            }
    *n = list.n;
    return list.sums;
}

// ---- stock --------------------------------------------------------------------------------------

unsigned tw_sales_store(struct tw_sales_stats *stats, struct tw_str store)
{
    return index_of(stats, stats->stores, TW_SALES_STORES, store);
}

void tw_sales_low_stock_set(struct tw_sales_stats *stats, const uint64_t n_low[])
{
    for (size_t i = 0; i <= TW_SALES_STORES; i++)
        atomic_store_explicit(&stats->low_stock[i], n_low[i] + 1, memory_order_relaxed);
}

bool tw_sales_low_stock(struct tw_sales_stats *stats, unsigned store_index, const char **store,
                        uint64_t *n_low)
{
    uint64_t counted = load(&stats->low_stock[store_index]);
    *store = name_at(stats->stores, TW_SALES_STORES, store_index);
    *n_low = counted - 1;
    bool is_nobody = store_index == TW_SALES_STORES && counted == 1; // no store is "other"
    return counted > 0 && *store && !is_nobody;
}

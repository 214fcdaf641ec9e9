// SPDX-License-Identifier: Apache-2.0
#include "gateway/trace_ring.h"

#include <stdatomic.h>
#include <sys/mman.h>

// Counters only grow; a record lies at its number modulo the size.
struct tw_trace_ring {
    _Atomic uint64_t written __attribute__((aligned(64)));
    _Atomic uint64_t taken __attribute__((aligned(64)));
    struct tw_trace_record records[TW_TRACE_RING_RECORDS];
};

struct tw_trace_ring *tw_trace_rings_new(unsigned n)
{
    void *p = mmap(NULL, n * sizeof(struct tw_trace_ring), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void tw_trace_rings_free(struct tw_trace_ring *rings, unsigned n)
{
    if (rings)
        (void)munmap(rings, n * sizeof(*rings));
}

struct tw_trace_ring *tw_trace_ring_at(struct tw_trace_ring *rings, unsigned index)
{
    return &rings[index];
}

struct tw_trace_record *tw_trace_ring_room(struct tw_trace_ring *ring)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
    return written - taken < TW_TRACE_RING_RECORDS ? &ring->records[written % TW_TRACE_RING_RECORDS]
                                                   : NULL;
}

void tw_trace_ring_commit(struct tw_trace_ring *ring)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
}

bool tw_trace_ring_take(struct tw_trace_ring *ring, struct tw_trace_record *out)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    if (atomic_load_explicit(&ring->written, memory_order_acquire) == taken)
        return false;
    memcpy(out, &ring->records[taken % TW_TRACE_RING_RECORDS], sizeof(*out));
    atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
    return true;
}

static size_t offset_of(const struct tw_trace_record *record, enum tw_trace_text which)
{
    size_t offset = 0;
    for (unsigned i = 0; i < which; i++)
        offset += record->text_n[i];
    return offset;
}

struct tw_str tw_trace_record_text(const struct tw_trace_record *record, enum tw_trace_text which)
{
    size_t offset = offset_of(record, which), n = record->text_n[which];
    if (offset + n > sizeof(record->text))
        return TW_STR("");
    return (struct tw_str){record->text + offset, n};
}

void tw_trace_record_put(struct tw_trace_record *record, enum tw_trace_text which,
                         struct tw_str value, size_t max)
{
    size_t offset = offset_of(record, which), n = value.n < max ? value.n : max;
    if (n > sizeof(record->text) - offset)
        n = sizeof(record->text) - offset;
    if (n > 0)
        memcpy(record->text + offset, value.p, n);
    record->text_n[which] = (uint16_t)n;
}

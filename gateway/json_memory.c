// SPDX-License-Identifier: Apache-2.0
#include "gateway/json_memory.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "gateway/base.h"

// For a sale of more than a hundred lines. The sanitizer shall see each value by itself.
#ifdef __SANITIZE_ADDRESS__
#define BLOCK_BYTES 64
#else
#define BLOCK_BYTES (128 * 1024)
#endif

#define ALIGNMENT alignof(max_align_t)

static struct {
    alignas(ALIGNMENT) char bytes[BLOCK_BYTES]; // touched only as far as it is used
    size_t used;
    bool is_open, has_more; // more than the block holds: on the heap
} block;

// jansson 2.14 writes past the heap when an allocation fails inside it (its issue 362): out of
// memory ends the process instead, and the supervisor starts another.
static void *alloc_or_abort(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        abort();
    return p;
}

static void *allocate(size_t n)
{
    if (!block.is_open)
        return alloc_or_abort(n);
    if (n > BLOCK_BYTES - block.used) { // both are multiples of ALIGNMENT
        block.has_more = true;
        return alloc_or_abort(n);
    }
    char *p = block.bytes + block.used;
    block.used += (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return p;
}

static void release(void *p)
{
    uintptr_t at = (uintptr_t)p, begin = (uintptr_t)block.bytes;
    if (at < begin || at >= begin + BLOCK_BYTES)
        free(p);
}

void tw_json_memory_install(void)
{
    json_set_alloc_funcs(allocate, release);
}

void tw_json_memory_begin(void)
{
    block.used = 0;
    block.has_more = false;
    block.is_open = true;
}

void tw_json_memory_end(json_t *value)
{
    block.is_open = false;
    // Without a use of the block this program has another allocator (a test, a fuzzer).
    if (block.used == 0 || block.has_more)
        json_decref(value);
}

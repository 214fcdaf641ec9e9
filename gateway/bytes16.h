// SPDX-License-Identifier: Apache-2.0
// bytes16: sixteen bytes looked at in one step; GCC makes SSE2 or NEON of it. For scanning text:
// compare a whole vector (v < 0x20), join with |, and ask whether any byte is set. Pure.

#ifndef TW_BYTES16_H
#define TW_BYTES16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TW_BYTES16 16

typedef unsigned char tw_bytes16 __attribute__((vector_size(TW_BYTES16)));
typedef uint64_t tw_halves16 __attribute__((vector_size(TW_BYTES16)));

static inline tw_bytes16 tw_bytes16_at(const char *p)
{
    tw_bytes16 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

// A text of 8 to 16 bytes: its begin and its end, which overlap.
static inline tw_bytes16 tw_bytes16_of_ends(const char *p, size_t n)
{
    uint64_t first, last;
    memcpy(&first, p, sizeof(first));
    memcpy(&last, p + n - sizeof(last), sizeof(last));
    return (tw_bytes16)(tw_halves16){first, last};
}

// Of the bits of what comparisons gave. A macro, as their type is that of signed bytes.
#define tw_bytes16_any(comparisons) \
    ((((tw_halves16)(comparisons))[0] | ((tw_halves16)(comparisons))[1]) != 0)

#endif

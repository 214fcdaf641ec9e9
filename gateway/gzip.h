// SPDX-License-Identifier: Apache-2.0
// gzip: one whole body at a time, with one compressor that is used again.
//
// h2o has a filter for this; ours differs in that the length of the result is known before the head
// is sent (Content-Length, the same for HEAD), in that "gzip;q=0.5" and "*" are understood, and in
// that the 268 KB of a compressor are not allocated for every answer, but once, for the first.
// Runs in: worker. Pure but for its memory. Source: RFC 1952; zlib.

#ifndef TW_GZIP_H
#define TW_GZIP_H

#include "gateway/base.h"

struct tw_gzip;

// NULL without memory.
struct tw_gzip *tw_gzip_new(void);
void tw_gzip_free(struct tw_gzip *gzip); // NULL is fine

// Compresses `in` into `out`, at most `cap` bytes. Returns how many; 0 when they do not suffice, or
// there is no memory for the compressor.
TW_MUST_USE size_t tw_gzip_pack(struct tw_gzip *gzip, struct tw_str in, char *out, size_t cap);

#endif

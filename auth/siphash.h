// SPDX-License-Identifier: Apache-2.0
// siphash: SipHash, the keyed hash of our hash tables (Aumasson and Bernstein, 2012).
//
// For: tables whose keys a stranger chooses: without the key nobody can aim at one bucket.
// And for names that stand in a log for what must not be guessed (gateway/request_log.h).
// Not for: signatures.
// Runs in: worker. Pure, allocates nothing.

#ifndef TW_AUTH_SIPHASH_H
#define TW_AUTH_SIPHASH_H

#include "gateway/base.h"

#define TW_SIPHASH_KEY_BYTES 16

// The 64-bit hash of `data` under a 16-byte key: SipHash-2-4.
uint64_t tw_siphash(const unsigned char key[TW_SIPHASH_KEY_BYTES], struct tw_str data);

// SipHash-1-3, which CPython, Ruby and Rust take for tables: half the work. For tables of which
// nobody ever sees a hash.
uint64_t tw_siphash_1_3(const unsigned char key[TW_SIPHASH_KEY_BYTES], struct tw_str data);

#endif

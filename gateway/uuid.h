// SPDX-License-Identifier: Apache-2.0
// uuid: RFC 9562 identifiers: version 7 made here, any version read. Runs in: both.

#ifndef TW_UUID_H
#define TW_UUID_H

#include "gateway/base.h"

#define TW_UUID_TEXT_LEN 36

struct tw_uuid {
    uint8_t bytes[16]; // network order, as PostgreSQL's binary form
};

// The 8-4-4-4-12 form only, either case.
TW_MUST_USE bool tw_uuid_parse(struct tw_str text, struct tw_uuid *out);

// Lower case, exactly TW_UUID_TEXT_LEN bytes, no NUL.
void tw_uuid_format(const struct tw_uuid *uuid, char out[TW_UUID_TEXT_LEN]);

// Version 7: 48 bits of unix_ms, then random bits. Unique across workers and machines by chance
// (74 random bits), roughly ordered by time.
struct tw_uuid tw_uuid_v7(int64_t unix_ms);

// At most 4096 cryptographic random bytes, from a per-process reserve (one system call for many);
// fork-aware.
void tw_random(void *out, size_t n);

#endif

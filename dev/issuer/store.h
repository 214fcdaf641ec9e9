// SPDX-License-Identifier: Apache-2.0
// store: the directory that `serve` and `token` share, so that they always agree.
//
//   DIR/keys.json  {"current": kid, "keys": [key, ...]}, oldest first (a key: see key.h)
//   DIR/issuer     the URL that `serve` last served
//   DIR/lock       held by whoever changes the keys
//
// Read anew for every request and token, written as a whole, mode 0600. Private keys lie here
// unencrypted. Not for: making keys (key). `keys` below is what store_read gave.

#ifndef ISSUER_STORE_H
#define ISSUER_STORE_H

#include <stdbool.h>

#include "dev/issuer/base.h"

#define STORE_ISSUER_BYTES 256 // an issuer's URL with its NUL

// Makes DIR and in it an RS256 key and one of `alg` (may be NULL), each unless there is one. Dies.
void store_init(const char *dir, const char *alg);

// The key file or, when there is none yet, an empty one; the caller owns it. NULL, said on stderr,
// if it cannot be read.
MUST_USE json_t *store_read(const char *dir);

// The same, but dies unless it holds a key.
MUST_USE json_t *store_read_or_die(const char *dir);

// The newest key that has this key id and algorithm; either may be NULL for "any". Borrowed from
// `keys`; NULL if there is none.
MUST_USE json_t *store_find(json_t *keys, const char *kid, const char *alg);

// The public document of all keys (RFC 7517 section 5); the caller owns it. NULL on a bad key.
MUST_USE json_t *store_jwks(json_t *keys);

// One writer at a time, over all processes: waits. The lock ends when the file is closed; -1 on
// failure, with errno.
MUST_USE int store_lock(const char *dir);

// Adds a key of `alg` (NULL: the current one's); `drop` forgets all others. Under the lock.
MUST_USE bool store_add(const char *dir, const char *alg, bool drop, bool make_current);

// The URL that `serve` left in DIR: writes it to `out` and returns that. Dies if there is none.
const char *store_issuer(const char *dir, char out[STORE_ISSUER_BYTES]);

MUST_USE bool store_set_issuer(const char *dir, const char *url);

#endif

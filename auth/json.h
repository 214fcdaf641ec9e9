// SPDX-License-Identifier: Apache-2.0
// json: a JSON object from bytes nobody has vouched for yet.
//
// For: token headers, claims and key sets. Refuses duplicate names at any level, trailing bytes,
// invalid UTF-8, NUL characters, nesting beyond TW_AUTH_JSON_DEPTH and everything that is not an
// object. The depth is counted before jansson recurses (its own limit is 2048).
// Not for: request bodies, whose errors must point at a field.
// Two things that only main() can settle for jansson 2.14: it seeds its hash from the system's
// random source at first use (json_object_seed), and its lexer overruns a buffer when an allocation
// fails (jansson issue 362), so it needs an allocator that ends the process instead
// (gateway/json_memory.h). Runs in: master and worker. Pure.

#ifndef TW_AUTH_JSON_H
#define TW_AUTH_JSON_H

#include <jansson.h>

#include "gateway/base.h"

#define TW_AUTH_JSON_DEPTH 32

// The parsed object, which the caller releases with json_decref; NULL when refused. `text` may be
// freed afterwards.
TW_MUST_USE json_t *tw_auth_json_object(struct tw_str text);

// The string member `name` of an object; a slice with p == NULL when it is absent or no string.
// Valid as long as the object.
struct tw_str tw_auth_json_string(const json_t *object, const char *name);

// Any JSON string as a slice; p == NULL when `value` is NULL or no string.
struct tw_str tw_auth_json_slice(const json_t *value);

// The value that `name` means in `object`: a member of that name, or, when it begins with '/', what
// the JSON Pointer finds (RFC 6901, through objects only). NULL when there is none.
const json_t *tw_auth_json_find(const json_t *object, const char *name);

#endif

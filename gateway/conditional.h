// SPDX-License-Identifier: Apache-2.0
// conditional: entity tags against If-None-Match and If-Match (RFC 9110 §13.1).
//
// A tag names a state of a resource. The gzip coding of it has a tag of its own (§8.8.3.3): the
// same with "-gzip" behind, as in "7" and "7-gzip"; no tag that a handler makes may end so. Runs
// in: worker. Pure.

#ifndef TW_CONDITIONAL_H
#define TW_CONDITIONAL_H

#include "gateway/base.h"

#define TW_ETAG_GZIP "-gzip"

// Does If-None-Match name this tag? `etag` is a quoted strong tag; the header is "*" or a list of
// tags, compared weakly (W/ makes no difference). An absent or broken header names nothing.
// `gzip`: the client can decode it, so that the tag of the gzip coding counts as well. `*found` is
// the tag that was named, without W/: what the client's copy is to be known by; a slice of one of
// the two.
TW_MUST_USE bool tw_etag_none_match(struct tw_str header, struct tw_str etag, bool gzip,
                                    struct tw_str *found);

// Writes the tag of the gzip coding; `out` has room for etag.n + sizeof(TW_ETAG_GZIP).
struct tw_str tw_etag_of_gzip(struct tw_str etag, char *out);

// What If-Match names, for a resource whose tag is its version's number: 7 for "7", and for the
// "7-gzip" of its coding. Compared strongly: a weak tag names nothing, nor does one that is no
// number. TW_VERSION_ANY for "*". Writes at most `cap` of them and returns how many.
#define TW_VERSION_ANY (-1)
size_t tw_etag_versions(struct tw_str header, int64_t *versions, size_t cap);

#endif

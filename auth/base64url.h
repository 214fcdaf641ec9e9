// SPDX-License-Identifier: Apache-2.0
// base64url: the one spelling of bytes that a token may use (RFC 4648 section 5, RFC 7515 section
// 2).
//
// For: segments of a JWS and numbers of a JWK. Strict: no padding, no white space, no other
// letters, and the unused bits of the last letter are zero, so that two different texts never mean
// the same bytes. Not for: standard base64, secrets (it is not constant time). Runs in: master and
// worker. Pure, allocates nothing.

#ifndef TW_AUTH_BASE64URL_H
#define TW_AUTH_BASE64URL_H

#include "gateway/base.h"

// Bytes that `n` letters decode to; meaningless when n % 4 is 1, which no text has.
#define TW_BASE64URL_DECODED_BYTES(n) ((n) / 4 * 3 + ((n) % 4 * 3 / 4))

// Decodes the whole of `in` to `out`. False, with `*out_n` untouched, when `in` is not canonical or
// needs more than `out_max` bytes; `out` may then be partly written. Empty text is zero bytes.
TW_MUST_USE bool tw_base64url_decode(struct tw_str in, void *out, size_t out_max, size_t *out_n);

#endif

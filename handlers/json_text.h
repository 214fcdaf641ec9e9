// SPDX-License-Identifier: Apache-2.0
// json_text: what a JSON parser cannot tell about a text: how deep it is, where a minus zero
// stands, and the JSON pointer of a place in it. Not a parser: a text that is not JSON gives
// answers of no use, but never an overrun. Runs in: worker. Pure.

#ifndef TW_JSON_TEXT_H
#define TW_JSON_TEXT_H

#include "gateway/base.h"

#define TW_JSON_DEPTH_MAX 32

enum tw_json_fault { TW_JSON_FINE, TW_JSON_TOO_DEEP, TW_JSON_MINUS_ZERO };

// `*at` is the offset of the fault. -0 is found here because a parser makes a 0 of it.
TW_MUST_USE enum tw_json_fault tw_json_text_scan(struct tw_str text, size_t *at);

// RFC 6901 pointer of the value around offset `at`; writes at most `cap` bytes, returns how many.
// The text must be no deeper than TW_JSON_DEPTH_MAX.
size_t tw_json_text_pointer(struct tw_str text, size_t at, char *out, size_t cap);

#endif

// SPDX-License-Identifier: Apache-2.0
// json_split: a text of many JSON values into the texts of each, unparsed, so that what is wrong
// with one says nothing about the others. Runs in: worker. Pure.
//
// What is between the commas of an array, or on a line of NDJSON, is not looked into beyond its
// strings and brackets: a slice may be no JSON at all.

#ifndef TW_JSON_SPLIT_H
#define TW_JSON_SPLIT_H

#include "gateway/base.h"

// The elements of the one array that the text is, in their order; slices of it without the white
// space around them. `*n` is how many there are, also beyond `cap`, where none is written. False:
// not an array.
TW_MUST_USE bool tw_json_split_array(struct tw_str text, struct tw_str *out, size_t cap, size_t *n);

// The lines that are not blank.
void tw_json_split_lines(struct tw_str text, struct tw_str *out, size_t cap, size_t *n);

#endif

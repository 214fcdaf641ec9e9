// SPDX-License-Identifier: Apache-2.0
// db_gather: the parameters of many queries as those of one. Pure; runs in worker.
//
// Not for: which queries share a batch and what becomes of it (db.c). A statement says in its file
// how its parameters are gathered (`-- gather:`), one character each here:
//   r  an array with one element for each row that the query asks for
//   i  an array of row numbers, counted from 1: each becomes the row's place in the batch
//   e  an array beside the `i` array before it, element for element
//   s  a scalar that all of a batch share
// Source: array_send and array_recv of PostgreSQL 15. Arrays are merged by adding their lengths and
// putting their elements one behind the other.

#ifndef TW_DB_GATHER_H
#define TW_DB_GATHER_H

#include "gateway/db_rows.h"

// One query's parameters in binary; a value of NULL is SQL NULL.
struct tw_gather_part {
    const char *const *values;
    const int *lengths;
};

// A batch's parameters. `values` point into `buffer`, which is the caller's.
struct tw_gathered {
    const char *values[TW_PARAMS_MAX];
    int lengths[TW_PARAMS_MAX];
    char *buffer;
};

// How many rows the query asks for, or 0 when it cannot be gathered: a parameter is not of the form
// that `roles` says, arrays that belong together differ in length, or a row number is none of its
// own rows'.
int tw_gather_rows(const char *roles, const struct tw_gather_part *part);

// Both may stand in one batch: what they share is equal byte for byte. Each has rows.
bool tw_gather_fits(const char *roles, const struct tw_gather_part *a,
                    const struct tw_gather_part *b);

// Merges n > 0 parts that have rows and fit the first. The buffer must hold as many bytes as all
// their parameters together.
void tw_gather_merge(const char *roles, const struct tw_gather_part *parts, size_t n,
                     struct tw_gathered *out);

#endif

// SPDX-License-Identifier: Apache-2.0
// db_rows: PostgreSQL's binary format, out (parameters) and in (rows, arrays). Pure; runs in
// worker.
//
// Parameters are gathered into one growing block that the caller owns; rows are read in place and
// live as long as the callback that received them. Reading a column as a type that it does not have
// is a defect of ours, caught by an assertion on its length; NULL columns read as 0 or empty.
// Source: the *send and *recv functions of PostgreSQL 15, e.g. array_send, timestamptz_send.

#ifndef TW_DB_ROWS_H
#define TW_DB_ROWS_H

#include "gateway/base.h"
#include "gateway/uuid.h"

// ---- parameters ---------------------------------------------------------------------------------

#define TW_PARAMS_MAX 40

struct tw_params {
    unsigned n;
    int offsets[TW_PARAMS_MAX]; // into bytes
    int lengths[TW_PARAMS_MAX]; // -1: SQL NULL
    char *bytes;                // the caller's buffer, or heap
    char *heap;                 // NULL while the caller's buffer suffices
    size_t used, cap;
    int array_start; // offset of the array that is open, or -1
    bool failed;     // out of memory or too many: tw_db_submit refuses it
};

// Begins with an inline buffer to spare an allocation; `params` must be ended by tw_params_free.
void tw_params_init(struct tw_params *params, char *buffer, size_t cap);
void tw_params_free(struct tw_params *params);

void tw_param_null(struct tw_params *params);
void tw_param_str(struct tw_params *params, struct tw_str value);
void tw_param_optional(struct tw_params *params, struct tw_str value); // NULL when value.p is NULL
void tw_param_uuid(struct tw_params *params, const struct tw_uuid *value);
void tw_param_uuid_if(struct tw_params *params, bool present, const struct tw_uuid *value);
void tw_param_i32(struct tw_params *params, int32_t value);
void tw_param_i64(struct tw_params *params, int64_t value);
void tw_param_bool(struct tw_params *params, bool value);
void tw_param_time(struct tw_params *params, int64_t unix_ms); // timestamptz

// One-dimensional arrays: begin, then exactly `n` elements by the functions above, whose types
// must be the array's. n may be 0.
enum tw_array_of {
    TW_ARRAY_UUID,
    TW_ARRAY_TEXT,
    TW_ARRAY_BYTEA,
    TW_ARRAY_I32,
    TW_ARRAY_I64,
    TW_ARRAY_TIME,
    TW_ARRAY_BOOL
};
void tw_param_array(struct tw_params *params, enum tw_array_of type, size_t n);
void tw_param_array_end(struct tw_params *params);

// ---- rows ---------------------------------------------------------------------------------------

struct pg_result; // PGresult

// An answer's rows, or one query's of a batch: a view, to be read through these functions.
struct tw_rows {
    const struct pg_result *pg;
    int first, n;
};

int tw_rows_count(const struct tw_rows *rows);
size_t tw_rows_bytes(const struct tw_rows *rows); // about what they take in memory
bool tw_row_is_null(const struct tw_rows *rows, int row, int column);
struct tw_str tw_row_str(const struct tw_rows *rows, int row,
                         int column); // text, bytea: p NULL for NULL
int64_t tw_row_i64(const struct tw_rows *rows, int row, int column);
int32_t tw_row_i32(const struct tw_rows *rows, int row, int column);
bool tw_row_bool(const struct tw_rows *rows, int row, int column);
struct tw_uuid tw_row_uuid(const struct tw_rows *rows, int row, int column);
int64_t tw_row_unix_ms(const struct tw_rows *rows, int row, int column);  // timestamptz
int32_t tw_row_unix_day(const struct tw_rows *rows, int row, int column); // date, days since 1970

// Reads a one-dimensional array from its first element on.
struct tw_array {
    const char *p, *end;
    int left;
};

struct tw_array tw_row_array(const struct tw_rows *rows, int row, int column);

// The next element's bytes; p is NULL for SQL NULL. False at the end.
bool tw_array_next(struct tw_array *array, struct tw_str *element);
int64_t tw_array_next_i64(struct tw_array *array); // 0 at the end
int32_t tw_array_next_i32(struct tw_array *array);
struct tw_str tw_array_next_str(struct tw_array *array);
struct tw_uuid tw_array_next_uuid(struct tw_array *array);

#endif

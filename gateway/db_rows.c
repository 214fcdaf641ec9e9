// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_rows.h"

#include <assert.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdlib.h>

// Seconds from 1970-01-01 to 2000-01-01, where PostgreSQL's times and dates begin.
#define POSTGRES_EPOCH_S   INT64_C(946684800)
#define POSTGRES_EPOCH_DAY 10957

#define NOT_IN_ARRAY (-1)

void tw_params_init(struct tw_params *params, char *buffer, size_t cap)
{
    params->n = 0;
    params->bytes = buffer;
    params->used = 0;
    params->cap = cap;
    params->failed = false;
    params->heap = NULL;
    params->array_start = NOT_IN_ARRAY;
}

void tw_params_free(struct tw_params *params)
{
    free(params->heap);
    params->heap = NULL;
    params->bytes = NULL;
}

static bool grow(struct tw_params *params, size_t n)
{
    size_t cap = (params->cap + n) * 2;
    char *bytes = cap < INT32_MAX ? realloc(params->heap, cap) : NULL;
    if (!bytes) {
        params->failed = true;
        return false;
    }
    if (!params->heap)
        memcpy(bytes, params->bytes, params->used);
    params->heap = params->bytes = bytes;
    params->cap = cap;
    return true;
}

static inline char *reserve(struct tw_params *params, size_t n)
{
    if (params->failed || (params->cap - params->used < n && !grow(params, n)))
        return NULL;
    char *p = params->bytes + params->used;
    params->used += n;
    return p;
}

// The next element of the array that is open: its length, and n bytes.
static void put_element(struct tw_params *params, const void *value, size_t n)
{
    uint32_t length = htobe32(value ? (uint32_t)n : UINT32_MAX);
    char *p = reserve(params, sizeof(length) + (value ? n : 0));
    if (!p)
        return;
    memcpy(p, &length, sizeof(length));
    if (value)
        memcpy(p + sizeof(length), value, n);
}

// A value of n bytes: a parameter of its own, or the next element of the array that is open.
static void put_value(struct tw_params *params, const void *value, size_t n)
{
    if (params->array_start != NOT_IN_ARRAY) {
        put_element(params, value, n);
        return;
    }
    if (params->n == TW_PARAMS_MAX || n > INT32_MAX) {
        params->failed = true;
        return;
    }
    params->offsets[params->n] = (int)params->used;
    params->lengths[params->n++] = value ? (int)n : -1;
    char *p = value && n > 0 ? reserve(params, n) : NULL;
    if (p)
        memcpy(p, value, n);
}

void tw_param_null(struct tw_params *params)
{
    put_value(params, NULL, 0);
}

void tw_param_str(struct tw_params *params, struct tw_str value)
{
    put_value(params, value.p ? value.p : "", value.n);
}

void tw_param_optional(struct tw_params *params, struct tw_str value)
{
    put_value(params, value.p, value.n);
}

void tw_param_uuid(struct tw_params *params, const struct tw_uuid *value)
{
    put_value(params, value->bytes, sizeof(value->bytes));
}

void tw_param_uuid_if(struct tw_params *params, bool present, const struct tw_uuid *value)
{
    put_value(params, present ? value->bytes : NULL, sizeof(value->bytes));
}

void tw_param_i32(struct tw_params *params, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);
    put_value(params, &wire, sizeof(wire));
}

void tw_param_i64(struct tw_params *params, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);
    put_value(params, &wire, sizeof(wire));
}

void tw_param_bool(struct tw_params *params, bool value)
{
    put_value(params, value ? "\1" : "\0", 1);
}

void tw_param_time(struct tw_params *params, int64_t unix_ms)
{
    tw_param_i64(params, (unix_ms - POSTGRES_EPOCH_S * 1000) * 1000);
}

void tw_param_array(struct tw_params *params, enum tw_array_of type, size_t n)
{
    // Object ids of pg_type.dat: they are part of the protocol and never change.
    static const uint32_t element_oids[] = {
        [TW_ARRAY_UUID] = 2950, [TW_ARRAY_TEXT] = 25,   [TW_ARRAY_BYTEA] = 17, [TW_ARRAY_I32] = 23,
        [TW_ARRAY_I64] = 20,    [TW_ARRAY_TIME] = 1184, [TW_ARRAY_BOOL] = 16};
    const uint32_t header[] = {htobe32(n > 0 ? 1 : 0), // dimensions
                               htobe32(1),             // elements may be NULL
                               htobe32(element_oids[type]),
                               htobe32((uint32_t)n), // of what is not empty only: this …
                               htobe32(1)};          // … and the lower bound
    size_t bytes = n > 0 ? sizeof(header) : 3 * sizeof(header[0]);
    put_value(params, "", 0);
    params->array_start = (int)params->used;
    char *p = reserve(params, bytes);
    if (p)
        memcpy(p, header, bytes);
}

void tw_param_array_end(struct tw_params *params)
{
    if (!params->failed)
        params->lengths[params->n - 1] = (int)params->used - params->array_start;
    params->array_start = NOT_IN_ARRAY;
}

// ---- rows ---------------------------------------------------------------------------------------

int tw_rows_count(const struct tw_rows *rows)
{
    return rows->n;
}

size_t tw_rows_bytes(const struct tw_rows *rows)
{
    int all = PQntuples(rows->pg);
    return all > 0 ? PQresultMemorySize(rows->pg) / (size_t)all * (size_t)rows->n : 0;
}

bool tw_row_is_null(const struct tw_rows *rows, int row, int column)
{
    return PQgetisnull(rows->pg, rows->first + row, column) != 0;
}

struct tw_str tw_row_str(const struct tw_rows *rows, int row, int column)
{
    int n = PQgetlength(rows->pg, rows->first + row, column);
    if (n == 0 && tw_row_is_null(rows, row, column))
        return (struct tw_str){NULL, 0};
    return (struct tw_str){PQgetvalue(rows->pg, rows->first + row, column), (size_t)n};
}

static int64_t to_i64(struct tw_str value)
{
    uint64_t wire = 0;
    assert(value.n == sizeof(wire) || !value.p);
    if (value.p)
        memcpy(&wire, value.p, sizeof(wire));
    return (int64_t)be64toh(wire);
}

static int32_t to_i32(struct tw_str value)
{
    uint32_t wire = 0;
    assert(value.n == sizeof(wire) || !value.p);
    if (value.p)
        memcpy(&wire, value.p, sizeof(wire));
    return (int32_t)be32toh(wire);
}

static struct tw_uuid to_uuid(struct tw_str value)
{
    struct tw_uuid uuid = {{0}};
    assert(value.n == sizeof(uuid.bytes) || !value.p);
    if (value.p)
        memcpy(uuid.bytes, value.p, sizeof(uuid.bytes));
    return uuid;
}

int64_t tw_row_i64(const struct tw_rows *rows, int row, int column)
{
    return to_i64(tw_row_str(rows, row, column));
}

int32_t tw_row_i32(const struct tw_rows *rows, int row, int column)
{
    return to_i32(tw_row_str(rows, row, column));
}

bool tw_row_bool(const struct tw_rows *rows, int row, int column)
{
    struct tw_str value = tw_row_str(rows, row, column);
    return value.n == 1 && value.p[0] != 0;
}

struct tw_uuid tw_row_uuid(const struct tw_rows *rows, int row, int column)
{
    return to_uuid(tw_row_str(rows, row, column));
}

int64_t tw_row_unix_ms(const struct tw_rows *rows, int row, int column)
{
    int64_t us = tw_row_i64(rows, row, column);
    int64_t ms = us / 1000 - (us % 1000 < 0 ? 1 : 0);
    return ms + POSTGRES_EPOCH_S * 1000;
}

int32_t tw_row_unix_day(const struct tw_rows *rows, int row, int column)
{
    return tw_row_i32(rows, row, column) + POSTGRES_EPOCH_DAY;
}

struct tw_array tw_row_array(const struct tw_rows *rows, int row, int column)
{
    struct tw_str value = tw_row_str(rows, row, column);
    struct tw_array array = {value.p, value.p ? value.p + value.n : NULL, 0};
    if (value.n < 20) // NULL, or no dimension: empty
        return array;
    array.left = to_i32((struct tw_str){value.p + 12, 4});
    array.p += 20;
    return array;
}

bool tw_array_next(struct tw_array *array, struct tw_str *element)
{
    *element = (struct tw_str){NULL, 0};
    if (array->left <= 0 || array->end - array->p < 4)
        return false;
    int32_t n = to_i32((struct tw_str){array->p, 4});
    array->p += 4;
    array->left--;
    if (n < 0)
        return true;
    assert(array->end - array->p >= n);
    *element = (struct tw_str){array->p, (size_t)n};
    array->p += n;
    return true;
}

struct tw_str tw_array_next_str(struct tw_array *array)
{
    struct tw_str element;
    (void)tw_array_next(array, &element);
    return element;
}

int64_t tw_array_next_i64(struct tw_array *array)
{
    return to_i64(tw_array_next_str(array));
}

int32_t tw_array_next_i32(struct tw_array *array)
{
    return to_i32(tw_array_next_str(array));
}

struct tw_uuid tw_array_next_uuid(struct tw_array *array)
{
    return to_uuid(tw_array_next_str(array));
}

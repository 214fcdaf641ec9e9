// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_gather.h"

#include <assert.h>
#include <endian.h>

// An array begins with its dimensions, a flag (NULLs are there) and its element type; one that is
// not empty goes on with its length and lower bound. Each element stands behind its own length.
#define EMPTY_BYTES  12
#define HEADER_BYTES 20

struct array {
    const char *elements;
    int n;
    int n_bytes; // of the elements
};

static uint32_t get_u32(const char *p)
{
    uint32_t wire;
    memcpy(&wire, p, sizeof(wire));
    return be32toh(wire);
}

static void put_u32(char *p, uint32_t value)
{
    value = htobe32(value);
    memcpy(p, &value, sizeof(value));
}

// ---- reading ------------------------------------------------------------------------------------

static bool elements_are_whole(const struct array *array)
{
    const char *p = array->elements, *end = p + array->n_bytes;
    for (int i = 0; i < array->n; i++) {
        if (end - p < 4)
            return false;
        int32_t n = (int32_t)get_u32(p);
        p += 4;
        if (n < -1 || n > end - p)
            return false;
        p += n > 0 ? n : 0;
    }
    return p == end;
}

static bool array_read(const char *value, int length, struct array *array)
{
    *array = (struct array){0};
    if (!value || length < EMPTY_BYTES)
        return false;
    uint32_t dimensions = get_u32(value);
    if (dimensions == 0)
        return length == EMPTY_BYTES;
    if (dimensions != 1 || length < HEADER_BYTES || get_u32(value + 16) != 1)
        return false;
    array->n = (int)get_u32(value + 12);
    array->elements = value + HEADER_BYTES;
    array->n_bytes = length - HEADER_BYTES;
    return array->n > 0 && elements_are_whole(array);
}

// A foreign row's number would give a line to a neighbour's sale.
static bool are_rows(const struct array *index, int n_rows)
{
    for (int i = 0; i < index->n; i++) {
        const char *element = index->elements + (ptrdiff_t)i * 8;
        if (index->n_bytes != index->n * 8 || get_u32(element) != 4 || get_u32(element + 4) < 1 ||
            get_u32(element + 4) > (uint32_t)n_rows)
            return false;
    }
    return true;
}

int tw_gather_rows(const char *roles, const struct tw_gather_part *part)
{
    int n_rows = 0, n_elements = 0;
    for (int i = 0; roles[i]; i++) {
        struct array array;
        if (roles[i] == 's')
            continue;
        if (!array_read(part->values[i], part->lengths[i], &array))
            return 0;
        if (i == 0)
            n_rows = array.n;
        if (roles[i] == 'i')
            n_elements = array.n;
        if (array.n != (roles[i] == 'r' ? n_rows : n_elements) ||
            (roles[i] == 'i' && !are_rows(&array, n_rows)))
            return 0;
    }
    return n_rows;
}

static bool is_equal(const struct tw_gather_part *a, const struct tw_gather_part *b, int i,
                     size_t from, size_t n)
{
    return memcmp(a->values[i] + from, b->values[i] + from, n) == 0;
}

bool tw_gather_fits(const char *roles, const struct tw_gather_part *a,
                    const struct tw_gather_part *b)
{
    for (int i = 0; roles[i]; i++) {
        if (roles[i] != 's') {
            if (!is_equal(a, b, i, 8, 4)) // the element type
                return false;
        } else if (!a->values[i] || !b->values[i]) {
            if (a->values[i] != b->values[i])
                return false;
        } else if (a->lengths[i] != b->lengths[i] || !is_equal(a, b, i, 0, (size_t)a->lengths[i])) {
            return false;
        }
    }
    return true;
}

// ---- writing ------------------------------------------------------------------------------------

// The numbers of a part's rows, behind the `before` rows of the parts before it.
static void renumber(char *elements, int n, uint32_t before)
{
    for (char *p = elements; n > 0; n--, p += 8)
        put_u32(p + 4, get_u32(p + 4) + before);
}

static int part_rows(const struct tw_gather_part *part)
{
    struct array first;
    bool ok = array_read(part->values[0], part->lengths[0], &first);
    assert(ok);
    return ok ? first.n : 0;
}

// Writes parameter i of all parts to `to`; returns its length.
static int merge_array(const struct tw_gather_part *parts, size_t n_parts, int i, bool is_index,
                       char *to)
{
    char *end = to + HEADER_BYTES;
    uint32_t n = 0, flags = 0, before = 0;
    for (size_t k = 0; k < n_parts; k++) {
        struct array array;
        bool ok = array_read(parts[k].values[i], parts[k].lengths[i], &array);
        assert(ok);
        (void)ok;
        flags |= get_u32(parts[k].values[i] + 4);
        if (array.n > 0)
            memcpy(end, array.elements, (size_t)array.n_bytes);
        if (is_index) {
            renumber(end, array.n, before);
            before += (uint32_t)part_rows(&parts[k]);
        }
        end += array.n_bytes;
        n += (uint32_t)array.n;
    }
    put_u32(to, n > 0 ? 1 : 0);
    put_u32(to + 4, flags);
    memcpy(to + 8, parts[0].values[i] + 8, 4);
    if (n == 0)
        return EMPTY_BYTES;
    put_u32(to + 12, n);
    put_u32(to + 16, 1);
    return (int)(end - to);
}

void tw_gather_merge(const char *roles, const struct tw_gather_part *parts, size_t n,
                     struct tw_gathered *out)
{
    char *to = out->buffer;
    for (int i = 0; roles[i]; i++) {
        if (roles[i] == 's') {
            out->values[i] = parts[0].values[i];
            out->lengths[i] = parts[0].lengths[i];
            continue;
        }
        out->values[i] = to;
        out->lengths[i] = merge_array(parts, n, i, roles[i] == 'i', to);
        to += out->lengths[i];
    }
}

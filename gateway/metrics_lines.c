// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics_lines.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_CELLS (sizeof(struct tw_worker_page) / sizeof(_Atomic uint64_t))

struct line {
    uint32_t text_n; // of its text, which stands behind that of the line before
    uint32_t cell;   // counted from the page's beginning
    enum tw_line kind;
};

// Lines that are left out together. Those between two such groups are one, too, without cells.
struct group {
    uint32_t head_n;               // of the text before its lines, which is never left out
    uint32_t text_n, n;            // of its lines' texts; its lines
    uint32_t cells_from, cells_to; // it is left out as long as they are all 0; none: never
};

struct tw_lines {
    struct tw_text text;
    size_t text_done; // of it, by the lines that there are
    struct line *lines;
    size_t n, room;
    struct group *groups;
    size_t n_groups, groups_room;
};

struct tw_lines *tw_lines_new(void)
{
    return calloc(1, sizeof(struct tw_lines));
}

void tw_lines_free(struct tw_lines *lines)
{
    if (!lines)
        return;
    free(lines->text.p);
    free(lines->lines);
    free(lines->groups);
    free(lines);
}

bool tw_lines_failed(const struct tw_lines *lines)
{
    return lines->text.failed;
}

// ---- once ---------------------------------------------------------------------------------------

struct tw_text *tw_lines_text(struct tw_lines *lines)
{
    return &lines->text;
}

// The array with room for one more of `size` bytes behind `n`; NULL without memory.
static void *with_room(void *array, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return array;
    size_t wanted = *room ? 2 * *room : 256;
    void *more = reallocarray(array, wanted, size);
    if (more)
        *room = wanted;
    return more;
}

// The text since the last line or head, which it ends.
static uint32_t take_text(struct tw_lines *lines)
{
    size_t n = lines->text.n - lines->text_done;
    lines->text_done = lines->text.n;
    return (uint32_t)n;
}

static uint32_t cell_index(const struct tw_worker_page *page, const _Atomic uint64_t *cell)
{
    return (uint32_t)(cell - &page->heartbeat_us);
}

static void begin_group(struct tw_lines *lines, struct group group)
{
    struct group *groups = with_room(lines->groups, lines->n_groups, &lines->groups_room,
                                     sizeof(group));
    if (!groups) {
        lines->text.failed = true;
        return;
    }
    lines->groups = groups;
    groups[lines->n_groups++] = group;
}

void tw_lines_begin_group(struct tw_lines *lines, const struct tw_worker_page *page,
                          const _Atomic uint64_t *cells, size_t n)
{
    uint32_t from = cell_index(page, cells);
    begin_group(lines, (struct group){
                           .head_n = take_text(lines),
                           .cells_from = from,
                           .cells_to = from + (uint32_t)n,
                       });
}

void tw_lines_end_group(struct tw_lines *lines)
{
    begin_group(lines, (struct group){0});
}

void tw_lines_value(struct tw_lines *lines, enum tw_line kind, const struct tw_worker_page *page,
                    const _Atomic uint64_t *cell)
{
    if (lines->n_groups == 0)
        begin_group(lines, (struct group){0});
    struct line *more = with_room(lines->lines, lines->n, &lines->room, sizeof(*more));
    if (more)
        lines->lines = more;
    if (!more || lines->text.failed) {
        lines->text.failed = true;
        return;
    }
    uint32_t text_n = take_text(lines);
    more[lines->n++] = (struct line){text_n, cell_index(page, cell), kind};
    struct group *group = &lines->groups[lines->n_groups - 1];
    group->text_n += text_n;
    group->n++;
}

void tw_lines_cell(struct tw_lines *lines, enum tw_family family, const char *labels,
                   const struct tw_worker_page *page, const _Atomic uint64_t *cell)
{
    tw_put_name(&lines->text, family, "", labels);
    tw_lines_value(lines, TW_LINE_COUNT, page, cell);
}

void tw_lines_histogram(struct tw_lines *lines, enum tw_family family, const char *labels,
                        const struct tw_worker_page *page, const struct tw_histogram *of)
{
    static const uint64_t bounds[] = TW_LATENCY_BOUNDS_US;
    tw_lines_begin_group(lines, page, of->buckets, TW_LATENCY_BUCKETS);
    for (size_t i = 0; i < TW_LATENCY_BUCKETS; i++) {
        char with_bound[TW_LABELS_MAX_BYTES], bound[24] = "+Inf";
        if (i < TW_COUNT(bounds))
            snprintf(bound, sizeof(bound), "%g", (double)bounds[i] / 1e6);
        snprintf(with_bound, sizeof(with_bound), "%s", labels);
        tw_label_add(with_bound, sizeof(with_bound), "le", bound);
        tw_put_name(&lines->text, family, "_bucket", with_bound);
        tw_lines_value(lines, TW_LINE_BUCKET, page, &of->buckets[i]);
    }
    tw_put_name(&lines->text, family, "_sum", labels);
    tw_lines_value(lines, TW_LINE_SECONDS, page, &of->sum_us);
    tw_put_name(&lines->text, family, "_count", labels);
    tw_lines_value(lines, TW_LINE_TOTAL, page, &of->buckets[0]);
    tw_lines_end_group(lines);
}

// ---- each time ----------------------------------------------------------------------------------

uint64_t tw_cell_sum(const _Atomic uint64_t *cell, unsigned n_pages)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < n_pages; i++, cell += PAGE_CELLS)
        sum += atomic_load_explicit(cell, memory_order_relaxed);
    return sum;
}

// `total` is of the buckets since the last TW_LINE_TOTAL.
static char *write_value(char *to, enum tw_line kind, uint64_t value, uint64_t *total)
{
    switch (kind) {
    case TW_LINE_GAUGE:
        return tw_write_i64(to, (int64_t)value);
    case TW_LINE_SECONDS:
        return tw_write_seconds(to, value);
    case TW_LINE_BUCKET:
        return tw_write_u64(to, *total += value);
    case TW_LINE_TOTAL:
        value = *total;
        *total = 0;
        break;
    case TW_LINE_COUNT:
        break;
    }
    return tw_write_u64(to, value);
}

static char *copy(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}

static bool is_left_out(const struct group *group, const _Atomic uint64_t *cells, unsigned n_pages)
{
    for (uint32_t i = group->cells_from; i < group->cells_to; i++)
        if (tw_cell_sum(cells + i, n_pages) != 0)
            return false;
    return group->cells_from < group->cells_to;
}

void tw_lines_write(const struct tw_lines *lines, const struct tw_worker_page *first,
                    unsigned n_pages, struct tw_text *out)
{
    const _Atomic uint64_t *cells = &first->heartbeat_us;
    const struct group *group = lines->groups, *end = group + lines->n_groups;
    const struct line *line = lines->lines;
    const char *text = lines->text.p;
    uint64_t total = 0;
    if (!tw_text_has_room(out, lines->text.n + lines->n * TW_NUMBER_MAX_BYTES))
        return;
    char *to = out->p + out->n;
    for (; group < end; group++) {
        to = copy(to, text, group->head_n);
        text += group->head_n;
        if (is_left_out(group, cells, n_pages)) {
            text += group->text_n;
            line += group->n;
            continue;
        }
        for (const struct line *next = line + group->n; line < next; line++) {
            to = copy(to, text, line->text_n);
            text += line->text_n;
            to = write_value(to, line->kind, tw_cell_sum(cells + line->cell, n_pages), &total);
            *to++ = '\n';
        }
    }
    out->n = (size_t)(to - out->p);
}

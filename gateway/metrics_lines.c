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

struct tw_lines {
    struct tw_text text;
    size_t text_done; // of it, by the lines that there are
    struct line *lines;
    size_t n, room;
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

static bool has_room(struct tw_lines *lines)
{
    if (lines->n < lines->room)
        return true;
    size_t room = lines->room ? 2 * lines->room : 1024;
    struct line *more = reallocarray(lines->lines, room, sizeof(*more));
    if (!more)
        return false;
    lines->lines = more;
    lines->room = room;
    return true;
}

// Ends a line, whose text has been put.
static void end_line(struct tw_lines *lines, enum tw_line kind, size_t cell)
{
    if (!has_room(lines)) {
        lines->text.failed = true;
        return;
    }
    lines->lines[lines->n++] = (struct line){
        .text_n = (uint32_t)(lines->text.n - lines->text_done),
        .cell = (uint32_t)cell,
        .kind = kind,
    };
    lines->text_done = lines->text.n;
}

void tw_lines_value(struct tw_lines *lines, enum tw_line kind, const struct tw_worker_page *page,
                    const _Atomic uint64_t *cell)
{
    end_line(lines, kind, (size_t)(cell - &page->heartbeat_us));
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
    if (lines->text.n > lines->text_done)
        end_line(lines, TW_LINE_HEAD, 0);
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
    case TW_LINE_HEAD:
    case TW_LINE_COUNT:
        break;
    }
    return tw_write_u64(to, value);
}

void tw_lines_write(const struct tw_lines *lines, const struct tw_worker_page *first,
                    unsigned n_pages, struct tw_text *out)
{
    const _Atomic uint64_t *cells = &first->heartbeat_us;
    const char *text = lines->text.p;
    uint64_t total = 0;
    if (!tw_text_has_room(out, lines->text.n + lines->n * TW_NUMBER_MAX_BYTES))
        return;
    char *to = out->p + out->n, *histogram = to; // where it would begin
    for (const struct line *line = lines->lines, *end = line + lines->n; line < end; line++) {
        memcpy(to, text, line->text_n);
        text += line->text_n;
        to += line->text_n;
        if (line->kind == TW_LINE_HEAD) {
            histogram = to;
            continue;
        }
        bool is_empty = line->kind == TW_LINE_TOTAL && total == 0;
        to = write_value(to, line->kind, tw_cell_sum(cells + line->cell, n_pages), &total);
        *to++ = '\n';
        if (is_empty)
            to = histogram;
        else if (line->kind == TW_LINE_TOTAL)
            histogram = to;
    }
    out->n = (size_t)(to - out->p);
}

// SPDX-License-Identifier: Apache-2.0
// metrics_lines: the lines of /metrics about the workers' pages. Private to metrics_*.c.
//
// They are nearly all of a scrape's lines, and only their numbers ever change: what stands before
// a number is put together once, and a scrape copies it and adds up cells.
// Runs in: master. Pure.

#ifndef TW_METRICS_LINES_H
#define TW_METRICS_LINES_H

#include "gateway/metrics_put.h"

// What a line's number is, from a cell summed over all pages.
enum tw_line {
    TW_LINE_COUNT,   // the sum
    TW_LINE_GAUGE,   // the same, two's complement
    TW_LINE_SECONDS, // the same, microseconds
    TW_LINE_BUCKET,  // with the buckets before it
    TW_LINE_TOTAL,   // of the buckets before it: the last line of a histogram
};

// NULL when memory is refused.
TW_MUST_USE struct tw_lines *tw_lines_new(void);

// Memory was refused: lines are missing.
bool tw_lines_failed(const struct tw_lines *lines);

// Where HELP, TYPE and the text of the next line are to be written to; tw_lines_value() ends the
// line, with the value of `cell`, which is one of `page`.
struct tw_text *tw_lines_text(struct tw_lines *lines);
void tw_lines_value(struct tw_lines *lines, enum tw_line kind, const struct tw_worker_page *page,
                    const _Atomic uint64_t *cell);

// The lines from one to the other are left out as long as the `n` cells from `cells` on are 0 in
// all pages: there are a hundred routes and statements, and a shop uses few of them. What has been
// put into tw_lines_text() before stands in any case. Groups do not nest.
void tw_lines_begin_group(struct tw_lines *lines, const struct tw_worker_page *page,
                          const _Atomic uint64_t *cells, size_t n);
void tw_lines_end_group(struct tw_lines *lines);

// A whole line of TW_LINE_COUNT; a whole series of a histogram, which is a group of its own.
void tw_lines_cell(struct tw_lines *lines, enum tw_family family, const char *labels,
                   const struct tw_worker_page *page, const _Atomic uint64_t *cell);
void tw_lines_histogram(struct tw_lines *lines, enum tw_family family, const char *labels,
                        const struct tw_worker_page *page, const struct tw_histogram *of);

// What stands in all pages where `cell` stands in the first one: they stand one behind the other
// (shared.h).
uint64_t tw_cell_sum(const _Atomic uint64_t *cell, unsigned n_pages);

// Appends all lines, about the `n_pages` pages from `first` on.
void tw_lines_write(const struct tw_lines *lines, const struct tw_worker_page *first,
                    unsigned n_pages, struct tw_text *out);

#endif

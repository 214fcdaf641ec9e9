// SPDX-License-Identifier: Apache-2.0
// metrics_put: single lines of Prometheus' text format, and the table of families. Private to
// metrics_*.c.
//
// A scrape is some two thousand lines, so they are put together by hand, which printf would take
// several times as long for. Runs in: master. Pure.

#ifndef TW_METRICS_PUT_H
#define TW_METRICS_PUT_H

#include "gateway/metrics_text.h"

enum tw_family {
#define FAMILY(name, kind, prometheus_name, labels, help) TW_FAMILY_##name,
#include "gateway/metrics.def"
    TW_FAMILY_COUNT
};

// Cells of one kind, summed over all pages.
struct tw_histogram_sum {
    uint64_t sum_us;
    uint64_t buckets[TW_LATENCY_BUCKETS];
};

// HELP and TYPE of a family, before its lines.
void tw_put_family(struct tw_text *out, enum tw_family family);
void tw_put_head(struct tw_text *out, const char *name, const char *type, const char *help);

// One line; `labels` is what stands between the braces, "" for none.
void tw_put_i64(struct tw_text *out, const char *name, const char *labels, int64_t value);
void tw_put_u64(struct tw_text *out, enum tw_family family, const char *labels, uint64_t value);
void tw_put_seconds(struct tw_text *out, enum tw_family family, const char *labels, uint64_t us);

// One series of a histogram.
void tw_put_histogram(struct tw_text *out, enum tw_family family, const char *labels,
                      const struct tw_histogram_sum *sum);

// Writes name="value", escaped and with an end, at the end of `labels`, and a comma before it when
// there is something before it. What does not fit is cut.
void tw_label_add(char *labels, size_t size, const char *name, const char *value);

#endif

// SPDX-License-Identifier: Apache-2.0
// metrics_put: single lines of Prometheus' text format, and the table of families. Private to
// metrics_*.c.
//
// Runs in: master. Pure.

#ifndef TW_METRICS_PUT_H
#define TW_METRICS_PUT_H

#include "gateway/metrics_text.h"

enum tw_family {
#define FAMILY(name, kind, prometheus_name, labels, help) TW_FAMILY_##name,
#include "gateway/metrics.def"
    TW_FAMILY_COUNT
};

#define TW_LABELS_MAX_BYTES 512
#define TW_NUMBER_MAX_BYTES 24 // what tw_write_*() write, and the end of a line

// Whether `n` bytes more will fit; if not, `out` has failed.
bool tw_text_has_room(struct tw_text *out, size_t n);

// Writes a number, without a NUL: returns where it ends.
char *tw_write_u64(char *to, uint64_t value);
char *tw_write_i64(char *to, int64_t value);
char *tw_write_seconds(char *to, uint64_t us);

// HELP and TYPE of a family, before its lines.
void tw_put_family(struct tw_text *out, enum tw_family family);
void tw_put_head(struct tw_text *out, const char *name, const char *type, const char *help);

// What stands before a line's number; `labels` is what stands between the braces, "" for none.
void tw_put_line(struct tw_text *out, const char *name, const char *suffix, const char *labels);
void tw_put_name(struct tw_text *out, enum tw_family family, const char *suffix,
                 const char *labels);

// One line.
void tw_put_u64(struct tw_text *out, enum tw_family family, const char *labels, uint64_t value);
void tw_put_seconds(struct tw_text *out, enum tw_family family, const char *labels, uint64_t us);

// Writes name="value", escaped and with an end, at the end of `labels`, and a comma before it when
// there is something before it. What does not fit is cut.
void tw_label_add(char *labels, size_t size, const char *name, const char *value);

#endif

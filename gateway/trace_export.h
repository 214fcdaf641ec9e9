// SPDX-License-Identifier: Apache-2.0
// trace_export: brings the workers' traces to a collector, by OTLP over HTTP (JSON).
//
// Rings are emptied several times a second into a queue of bounded size; a batch goes out when it
// is full or tracing.interval is over, one at a time. A collector that does not answer, or answers
// 429 or 5xx, is asked again with growing pauses, from 1 s to a minute, with the same batch; what
// it refuses otherwise is dropped. A full queue drops its oldest. Everything dropped is counted.
// Runs in: master.

#ifndef TW_TRACE_EXPORT_H
#define TW_TRACE_EXPORT_H

#include "config/config.h"
#include "gateway/router.h"
#include "gateway/shared.h"
#include "gateway/trace_ring.h"

struct event_base;
struct tw_trace_export;

// Rings for n workers. Everything is borrowed; `page` is the master's. NULL with one line in `err`;
// also without one when tracing.endpoint is empty.
TW_MUST_USE struct tw_trace_export *
tw_trace_export_start(struct event_base *base, const struct tw_config *config,
                      const struct tw_route_table *routes, struct tw_worker_page *page,
                      unsigned n_workers, char *err, size_t err_size);

// The ring of a worker; NULL is fine, and has none.
struct tw_trace_ring *tw_trace_export_ring(struct tw_trace_export *export, unsigned worker);

// Takes over what `from`, whose workers have gone, has not sent, or does not know to be taken. Both
// may be NULL.
void tw_trace_export_adopt(struct tw_trace_export *export, struct tw_trace_export *from);

// The workers have gone: sends what is left at once. True when nothing is left, or it is not worth
// waiting for. To be called in each turn of the loop. NULL is fine.
bool tw_trace_export_finish(struct tw_trace_export *export);

// What is not sent is dropped. Turns the loop once, so it is not to be called by an event. NULL is
// fine.
void tw_trace_export_free(struct tw_trace_export *export);

// Whether tracing.ca_file can be used. False with one line in `err`.
TW_MUST_USE bool tw_trace_export_check(const struct tw_config *config, char *err, size_t err_size);

#endif

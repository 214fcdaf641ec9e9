// SPDX-License-Identifier: Apache-2.0
// guard: what the library refuses on HTTP/1, in our words: problem, detail and metric.
//
// Our patches of the library (deps/h2o, 020 to 026) see to it that a head or body of which two
// parsers could make two things is refused before anything acts on it, and leave a word for the
// reason in the request's error log. THE list of these words is in guard.c. Not for what our own
// stages refuse. Runs in: worker. Source: RFC 9112, FAULTS H3 to H5.

#ifndef TW_GUARD_H
#define TW_GUARD_H

#include "config/config.h"
#include "gateway/h2o_include.h"
#include "gateway/shared.h"
#include "gateway/status.h"

struct tw_guard_refusal {
    enum tw_status status;
    const char *detail; // a sentence for people, or NULL
};

// Why the library answers this request by itself: `h2o` has its status and no body yet. Counts it.
// A head that is too large because of its target is a matter of the target.
struct tw_guard_refusal tw_guard_refused(const h2o_req_t *h2o, const struct tw_config *config,
                                         struct tw_worker_page *page);

#endif

// SPDX-License-Identifier: Apache-2.0
// request: one request from its head to its only answer. What a handler sees of the gateway.
//
// A handler is a chain of named steps. Each step ends in a verdict, which only three things can
// make: tw_await_db (wait), tw_reply* (answer) and tw_fail* (answer with a problem); so the
// compiler sees to it that every path does exactly one of them. Everything a handler allocates
// comes from the request's pool and goes with it.
//
// When the client leaves, the request and its pool vanish between two steps: a read that waits is
// dropped, a write finishes without an owner. A step therefore never runs for a client that left.
// Runs in: worker. Source: DESIGN §3.

#ifndef TW_REQUEST_H
#define TW_REQUEST_H

#include "auth/policy.h"
#include "config/config.h"
#include "gateway/db.h"
#include "gateway/router.h"
#include "gateway/shared.h"
#include "gateway/status.h"

// Proof that a step waits or has answered. Never made by hand outside request.c and reply.c.
struct tw_verdict {
    enum { TW_VERDICT_WAITING, TW_VERDICT_ANSWERED } kind;
};

typedef TW_MUST_USE struct tw_verdict (*tw_db_step)(struct tw_req *req,
                                                    const struct tw_db_result *result);

#define TW_REQUEST_ID_MAX 64

struct tw_trace;

struct tw_req {
    struct st_h2o_req_t *h2o; // for request.c and reply.c only
    struct tw_worker *worker; // for request.c and reply.c only
    struct tw_conn *conn;     // for request.c and reply.c only
    const struct tw_config *config;
    struct tw_worker_page *page;

    struct tw_str method;
    struct tw_str path;  // canonical
    struct tw_str query; // without '?', still encoded
    struct tw_str body;
    struct tw_str request_id;
    const struct tw_route *route; // NULL until matched
    struct tw_str params[TW_PATH_PARAMS_MAX];
    struct tw_principal *principal; // NULL until authenticated; a reference of the request's
    struct tw_str store;            // the principal's store, or the default one

    struct tw_address client; // who asks, seen through trusted proxies; what limits count by
    uint64_t started_us;
    uint64_t deadline_us; // for the whole answer
    int64_t received_unix_ms;

    void *state; // the handler's own, for its later steps

    // For request.c and reply.c only.
    struct tw_req *next_awaited; // of conn->awaited
    struct tw_db_query *waiting_for;
    tw_db_step next_step;
    bool step_judges;         // it takes every status
    unsigned http_status;     // 0 until answered
    unsigned retry_after_s;   // for a 429 or 503; 0: as usual
    bool head_has_passed;     // before all of its body was there
    bool is_preflight;        // one that CORS answers
    unsigned n_statements;    // answered
    uint64_t queue_us, db_us; // as in struct tw_db_times, of all of them

    struct tw_trace *trace; // NULL: nobody wants to know when what was done (trace.h)

    // For cached.c only.
    const struct tw_cached_read *cached_read;
    struct tw_cached_wait *cached_wait;  // NULL: it does not wait
    struct tw_cache_entry *cached_entry; // what it is answered with, a reference; or NULL

    // For rate_limit.c only.
    struct tw_limit_answer *limit_answers; // of the policies judged so far
    size_t n_limit_answers;
    bool is_in_progress; // counted as such
    enum tw_status status;
    char request_id_text[TW_REQUEST_ID_MAX];
};

// Memory of the request; never NULL, never freed by hand.
void *tw_req_alloc(struct tw_req *req, size_t n);

// For request.c and cached.c: a statement has been answered for this request.
void tw_req_account(struct tw_req *req, const struct tw_db_result *result);

// First value of a request header, `name` in lower case; p is NULL when it is absent.
struct tw_str tw_req_header(const struct tw_req *req, struct tw_str name);

// Whether that header came in more than one line, which is one too many for a single value.
TW_MUST_USE bool tw_req_header_repeats(const struct tw_req *req, struct tw_str name);

// The value of a header that is a list: its lines are one list (RFC 9110 §5.3), joined in the
// request's pool when there are several; one that says what the first said adds nothing. p is NULL
// without any.
struct tw_str tw_req_header_list(struct tw_req *req, struct tw_str name);

// Waits for a statement. `step` runs in a later loop turn when the status is TW_OK or
// TW_ALREADY_EXISTS; any other status is answered with its problem right away. The parameters are
// copied; `params` is freed.
TW_MUST_USE struct tw_verdict tw_await_db(struct tw_req *req, enum tw_stmt stmt,
                                          struct tw_params *params, tw_db_step step);

// The same, but `step` runs whatever the status is: for a request that is more than its statement.
TW_MUST_USE struct tw_verdict tw_await_db_judged(struct tw_req *req, enum tw_stmt stmt,
                                                 struct tw_params *params, tw_db_step step);

// The store that limits what this principal sees: p is NULL for an admin, who sees every store.
struct tw_str tw_req_store_scope(const struct tw_req *req);

// A sale, refund or void was recorded for this request: for the metrics of the business.
struct tw_sales_event;
void tw_req_sold(struct tw_req *req, const struct tw_sales_event *event);

#endif

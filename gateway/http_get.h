// SPDX-License-Identifier: Apache-2.0
// http_get: one GET, or POST of JSON, over http or https that cannot block, hang, follow, or grow.
//
// For documents of other services that the master reads (key sets), and for what it tells them
// (traces). Everything but a whole 200, for a POST any 2xx,
// within the deadline and the size is a failure; redirects are not followed. TLS is at least 1.2,
// with the chain and the host name verified: libevent's bufferevent does not do the latter by
// itself (FIELD-NOTES). Only the first address of a name is tried. Runs in: master, on evhttp.

#ifndef TW_HTTP_GET_H
#define TW_HTTP_GET_H

#include "gateway/freshness.h"

struct event_base;
struct evdns_base;
struct tw_http_get;

struct tw_http_get_request {
    const char *uri;     // absolute, http or https, already checked by config
    const char *ca_file; // PEM file to trust besides the system's authorities; "" for none
    uint64_t timeout_ms; // for everything, resolving and connecting included
    size_t max_bytes;    // of the body
    struct tw_str post;  // JSON to be sent, copied; p NULL: a GET
    const char *header_name, *header_value; // one more header; NULL: none
};

struct tw_http_get_answer {
    const char *error; // NULL: 200; else why not, for the log, without the URI
    int code;          // of the answer; 0: there was none
    struct tw_str body;
    uint64_t fresh_s; // how long it may be used, or TW_FRESHNESS_UNKNOWN
};

// Runs once, later, in a turn of the loop; what `answer` points to ends with the call. The request
// is over and freed when it returns.
typedef void tw_http_get_done(void *arg, const struct tw_http_get_answer *answer);

// `request` is copied. `dns` resolves names, without blocking; it may be NULL when the host is an
// address, and must outlive the request by one turn of the loop. Never NULL but without memory: all
// other failures come through `done`.
struct tw_http_get *tw_http_get_start(struct event_base *base, struct evdns_base *dns,
                                      const struct tw_http_get_request *request,
                                      tw_http_get_done *done, void *arg);

// Ends it without calling `done`. NULL is fine.
void tw_http_get_cancel(struct tw_http_get *get);

// Whether the file holds certificates that can be trusted; "" does. False with one line in `err`.
TW_MUST_USE bool tw_http_get_check_ca(const char *ca_file, char *err, size_t err_size);

#endif

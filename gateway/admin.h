// SPDX-License-Identifier: Apache-2.0
// admin: the port for those who operate: health, metrics, configuration, workers, the status page,
// and reload.
//
// admin.c is the port (evhttp, bounds, the table's search), admin_connections.c who is connected,
// admin_host.c by which names, admin_pages.c the table and its pages, admin_reload.c the one
// request that changes something. Paths, shapes and status codes are in docs/operations.md.
// Everything else is 404 or 405 as problem+json. No answer may be cached, none may be framed or
// read by another site's page. Not for the public: it binds admin.address, which is loopback by
// default. Bounded: 8 KiB of headers, 1 KiB of body, 128 connections, 5 s of silence, 10 s for a
// request to arrive. Runs in: master, on evhttp.

#ifndef TW_ADMIN_H
#define TW_ADMIN_H

#include "config/config.h"
#include "gateway/metrics_text.h"
#include "gateway/readiness.h"
#include "gateway/status_json.h"

struct event_base;
struct tw_admin;

// Asked at each request that needs it.
struct tw_admin_source {
    struct tw_readiness (*readiness)(void *arg);
    struct tw_metrics_view (*metrics)(void *arg);
    struct tw_operation (*operation)(void *arg);
    // Adds every worker that lives to an array that is open.
    void (*workers)(void *arg, struct tw_json *json);
    // Asks for a reload: NULL, and tw_admin_reload_begun() and tw_admin_reload_over() are called;
    // or one line why there will be none.
    const char *(*reload)(void *arg);
    const struct tw_status_history *history;
    void *arg;
};

// Serves a listening socket from the next turn of the loop; it is taken over, also when this fails.
// `config` and `base` are borrowed, `source` is copied. NULL with one line in `err`.
TW_MUST_USE struct tw_admin *tw_admin_start(struct event_base *base, int fd,
                                            const struct tw_config *config,
                                            const struct tw_admin_source *source, char *err,
                                            size_t err_size);

// What /config shows from now on; borrowed.
void tw_admin_set_config(struct tw_admin *admin, const struct tw_config *config);

// The files are about to be read: whoever asks later waits for the next reload. NULL is fine.
void tw_admin_reload_begun(struct tw_admin *admin);

// A reload that had begun is over (TW_OK), has failed, or will not come: answers those who wait.
// `why` has one problem a line and is not looked at when it is done. NULL is fine.
void tw_admin_reload_over(struct tw_admin *admin, enum tw_status status, const char *why);

// The same for those for whom none has begun: something else comes first. NULL is fine.
void tw_admin_reload_refused(struct tw_admin *admin, const char *why);

// The listening socket, which stays the admin port's, and the port it is bound to.
int tw_admin_fd(const struct tw_admin *admin);
uint16_t tw_admin_port(const struct tw_admin *admin);

// Closes the port and its connections. Not to be called by an event. NULL is fine.
void tw_admin_free(struct tw_admin *admin);

#endif

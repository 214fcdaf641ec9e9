// SPDX-License-Identifier: Apache-2.0
// admin_pages: what the files of the admin port share. Private to admin*.c.

#ifndef TW_ADMIN_PAGES_H
#define TW_ADMIN_PAGES_H

#include <event2/http.h>

#include "gateway/admin.h"

#define TW_ADMIN_WAITERS_MAX     8
#define TW_ADMIN_CONNECTIONS_MAX 128

// A POST /reload whose answer is still to come.
struct tw_admin_waiter {
    struct evhttp_request *req;
    bool begun; // the reload that it waits for has
};

struct tw_admin_connection {
    struct evhttp_connection *evcon;
    uint64_t since_us; // it was accepted, asked, or got its answer
    bool has_asked;    // and its answer is not out yet
};

struct tw_admin {
    struct evhttp *http;
    struct event *rest; // pending: the port accepts nothing until then
    struct tw_admin_connection connections[TW_ADMIN_CONNECTIONS_MAX];
    size_t n_connections;
    struct bufferevent *newest; // of a connection that is not on the list yet; a reference
    struct event *greet, *look; // puts it there; ends those whose request does not come
    int fd;
    bool is_bound; // evhttp closes fd
    uint16_t port;
    const struct tw_config *config;
    struct tw_admin_source source;
    struct tw_lines *lines; // of /metrics; NULL before the first scrape
    struct tw_text metrics; // the last answer of /metrics: its memory is used again
    struct tw_admin_waiter waiters[TW_ADMIN_WAITERS_MAX];
    size_t n_waiters;
};

// One line per path.
struct tw_admin_page {
    const char *path;
    enum evhttp_cmd_type method; // EVHTTP_REQ_GET (and HEAD), or EVHTTP_REQ_POST
    void (*answer)(struct evhttp_request *req, struct tw_admin *admin);
};

// NULL when there is no such path.
const struct tw_admin_page *tw_admin_page(const char *path);

// ---- admin.c: answers, each to be sent once -----------------------------------------------------

void tw_admin_send(struct evhttp_request *req, int code, const char *type, struct tw_str body);

// As problem+json; `detail` may be NULL.
void tw_admin_send_problem(struct evhttp_request *req, enum tw_status status, const char *detail);

// An object that is open, to which members may be added, and which tw_admin_send_opened() closes.
struct tw_json tw_admin_open_problem(enum tw_status status, const char *detail);

// Closes the object, sends and frees it.
void tw_admin_send_opened(struct evhttp_request *req, int code, const char *type,
                          struct tw_json *json);

// ---- admin_host.c -------------------------------------------------------------------------------

// False: a browser on this machine may have been led here by another site's name.
bool tw_admin_host_is_ours(struct evhttp_request *req);

// ---- admin_connections.c ------------------------------------------------------------------------

// Before the first connection. False: out of memory.
TW_MUST_USE bool tw_admin_connections_start(struct tw_admin *admin, struct event_base *base);

// A whole request has come.
void tw_admin_connection_asks(struct tw_admin *admin, struct evhttp_request *req);

// Before evhttp is freed.
void tw_admin_connections_end(struct tw_admin *admin);

// ---- admin_reload.c -----------------------------------------------------------------------------

void tw_admin_post_reload(struct evhttp_request *req, struct tw_admin *admin);

// Whether a reload is waited for on this connection.
bool tw_admin_reload_awaited(const struct tw_admin *admin, const struct evhttp_connection *evcon);

// This connection ends.
void tw_admin_reload_forget(struct tw_admin *admin, const struct evhttp_connection *evcon);

#endif

// SPDX-License-Identifier: Apache-2.0
// admin: the port for those who operate: /livez, /readyz, /metrics, /config; GET and HEAD only.
//
// /livez is 200 as long as the master turns. /readyz is 200 or 503 with the reasons (readiness.h).
// /config is tw_config_print(): secrets masked. Everything else is 404 or 405 as problem+json. No
// answer may be cached. Not for the public: it binds admin.address, which is loopback by default.
// Bounded: 8 KiB of headers, 1 KiB of body, 5 s of silence. Runs in: master, on evhttp.

#ifndef TW_ADMIN_H
#define TW_ADMIN_H

#include "config/config.h"
#include "gateway/metrics_text.h"
#include "gateway/readiness.h"

struct event_base;
struct tw_admin;

// Asked at each request that needs it.
struct tw_admin_source {
    struct tw_readiness (*readiness)(void *arg);
    struct tw_metrics_view (*metrics)(void *arg);
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

// The listening socket, which stays the admin port's, and the port it is bound to.
int tw_admin_fd(const struct tw_admin *admin);
uint16_t tw_admin_port(const struct tw_admin *admin);

// Closes the port and its connections. Not to be called by an event. NULL is fine.
void tw_admin_free(struct tw_admin *admin);

#endif

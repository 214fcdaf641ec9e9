// SPDX-License-Identifier: Apache-2.0
//
// How many connections the admin port has, and how long a request may take to arrive: evhttp of
// libevent 2.1 has no limit but of silence, so that a few hundred clients that send a byte now and
// then had all of the master's descriptors. At the cap the one that has done nothing for longest
// makes way, so that whoever really asks always comes in.
//
// evhttp tells of a connection only with its first whole request. But it lets us make the
// bufferevent of each, and the argument of the callbacks that it then sets is the connection
// (http.c of 2.1.12). They are set when the next connection comes, or its turn in the loop.

#include "gateway/admin_pages.h"

#include <event2/bufferevent.h>
#include <event2/event.h>

#define ARRIVAL_MAX_US 10000000 // of a request, all of it
#define LOOK_MS        500

_Static_assert(TW_ADMIN_CONNECTIONS_MAX > TW_ADMIN_WAITERS_MAX, "somebody can always go");

// ---- the list -----------------------------------------------------------------------------------

static struct tw_admin_connection *find(struct tw_admin *admin,
                                        const struct evhttp_connection *evcon)
{
    for (size_t i = 0; i < admin->n_connections; i++)
        if (admin->connections[i].evcon == evcon)
            return &admin->connections[i];
    return NULL;
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
    struct tw_admin *admin = arg;
    struct tw_admin_connection *gone = find(admin, evcon);
    tw_admin_reload_forget(admin, evcon);
    if (gone)
        *gone = admin->connections[--admin->n_connections];
}

static void look_again(struct tw_admin *admin)
{
    const struct timeval later = {.tv_usec = LOOK_MS * 1000};
    if (!evtimer_pending(admin->look, NULL))
        (void)event_add(admin->look, &later);
}

// Puts the connection of the bufferevent that was made last onto the list.
static void enlist(struct tw_admin *admin)
{
    bufferevent_event_cb on_event = NULL;
    void *evcon = NULL;
    if (!admin->newest)
        return;
    bufferevent_getcb(admin->newest, NULL, NULL, &on_event, &evcon);
    (void)bufferevent_decref(admin->newest);
    admin->newest = NULL;
    if (!on_event) // evhttp had no memory for it
        return;
    evhttp_connection_set_closecb(evcon, on_closed, admin);
    admin->connections[admin->n_connections++] = (struct tw_admin_connection){
        .evcon = evcon, .since_us = tw_now_us()};
    look_again(admin);
}

// ---- who has to go ------------------------------------------------------------------------------

// Whoever waits for a reload does nothing, and rightly so; they are few.
static struct tw_admin_connection *longest_idle(struct tw_admin *admin)
{
    struct tw_admin_connection *found = NULL;
    for (size_t i = 0; i < admin->n_connections; i++) {
        struct tw_admin_connection *one = &admin->connections[i];
        if ((!found || one->since_us < found->since_us) &&
            !tw_admin_reload_awaited(admin, one->evcon))
            found = one;
    }
    return found;
}

static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct tw_admin *admin = arg;
    enlist(admin);
    if (admin->n_connections == TW_ADMIN_CONNECTIONS_MAX)
        evhttp_connection_free(longest_idle(admin)->evcon); // and on_closed() takes it off the list
    struct bufferevent *io = bufferevent_socket_new(base, -1, 0);
    if (io) {
        bufferevent_incref(io);
        admin->newest = io;
        event_active(admin->greet, EV_TIMEOUT, 0);
    }
    return io;
}

static void on_greet(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    enlist(arg);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tw_admin *admin = arg;
    uint64_t now_us = tw_now_us();
    // From the end, as the last one takes the place of one that goes.
    for (size_t i = admin->n_connections; i-- > 0;) {
        const struct tw_admin_connection *one = &admin->connections[i];
        if (!one->has_asked && now_us - one->since_us > ARRIVAL_MAX_US)
            evhttp_connection_free(one->evcon);
    }
    if (admin->n_connections > 0)
        look_again(admin);
}

// ---- requests -----------------------------------------------------------------------------------

static void on_answered(struct evhttp_request *req, void *arg)
{
    struct tw_admin_connection *one = find(arg, evhttp_request_get_connection(req));
    if (one)
        *one = (struct tw_admin_connection){.evcon = one->evcon, .since_us = tw_now_us()};
}

void tw_admin_connection_asks(struct tw_admin *admin, struct evhttp_request *req)
{
    struct tw_admin_connection *one = find(admin, evhttp_request_get_connection(req));
    if (!one)
        return;
    one->has_asked = true;
    one->since_us = tw_now_us();
    evhttp_request_set_on_complete_cb(req, on_answered, admin);
}

bool tw_admin_connections_start(struct tw_admin *admin, struct event_base *base)
{
    admin->greet = evtimer_new(base, on_greet, admin);
    admin->look = evtimer_new(base, on_look, admin);
    evhttp_set_bevcb(admin->http, on_connection, admin);
    return admin->greet && admin->look;
}

void tw_admin_connections_end(struct tw_admin *admin)
{
    enlist(admin);
    if (admin->greet)
        event_free(admin->greet);
    if (admin->look)
        event_free(admin->look);
    admin->greet = admin->look = NULL;
}

// SPDX-License-Identifier: Apache-2.0
// accept: from a listening socket to a connection that the library reads.
//
// A peer may have http.max_connections_per_peer connections (an IPv6 peer is its /64; proxies that
// are trusted have no cap), the machine http.max_connections, split over workers. At the cap, and
// without file descriptors, accepting pauses until the next tick and idle connections are closed.
// On a listener with proxyProtocol the first bytes say who the client is; only trusted proxies may
// connect there. Private to the worker's loop. Runs in: worker.

#ifndef TW_ACCEPT_H
#define TW_ACCEPT_H

#include "gateway/worker.h"

struct tw_listener;

// Gets every listener ready; false after a line in the log.
TW_MUST_USE bool tw_accept_prepare(struct tw_worker *worker);

// Begins to accept on every listener. Does nothing when that has begun.
void tw_accept_start(struct tw_worker *worker);

// Takes what is in the backlogs, which was promised an answer, if it has accepted at all, and gives
// the listening sockets up.
void tw_accept_stop(struct tw_worker *worker);

// Once a tick: listeners that have paused try again.
void tw_accept_tick(struct tw_worker *worker);

#endif

// SPDX-License-Identifier: Apache-2.0
// tls_listener: a worker's TLS handshakes on one listener, from the accepted socket to their end.
//
// Every handshake begins on one context that lives as long as the worker, as the library keeps a
// pointer to it from the accepting on; with the client's hello it moves to the contexts that are in
// force just then (tls), which change when the master publishes other files. Nothing is shared by
// handshakes but those and the ring of ticket keys.
//
// Bounds: a handshake must be done tls.handshake_timeout after the connection was accepted, or its
// PROXY header had come (the library's timer, which no byte of the client prolongs), and at most
// tls.max_handshakes go on at once: at the cap the oldest ends, not the newest, so that clients who
// stall make way for clients who do not. A handshake holds some 45 KiB, and what its client has
// sent of a message that is not complete: 128 KiB of a hello, 16 KiB of a chain of certificates
// (measured: 131 KiB more).
//
// Runs in: worker.

#ifndef TW_TLS_LISTENER_H
#define TW_TLS_LISTENER_H

#include "gateway/worker.h"

struct ssl_ctx_st; // SSL_CTX
struct tw_tls_listener;

// For listener `index` of the configuration, whose files the master has published. Never freed: the
// library points into it. NULL after a line in the log.
TW_MUST_USE struct tw_tls_listener *tw_tls_listener_new(struct tw_worker *worker, size_t index);

// What h2o_accept needs.
struct ssl_ctx_st *tw_tls_listener_entry(const struct tw_tls_listener *listener);

// Once a tick: takes over what the master has published.
void tw_tls_listener_update(struct tw_tls_listener *listener);

// A connection is about to be handed to the library for its handshake; and is being closed, which
// is counted when the handshake was not done.
void tw_tls_begin(struct tw_conn *conn);
void tw_tls_end(struct tw_conn *conn);

#endif

// SPDX-License-Identifier: Apache-2.0
// db_resolve: the database's host name to addresses, without ever blocking the worker's loop.
//
// libpq looks names up by itself, but inside PQconnectStart and blocking: with a name server that
// does not answer, that takes longer than the master's patience. So the name is looked up on h2o's
// lookup thread first, and libpq gets numbers (`hostaddr`). The answer is used for TTL_US at most:
// a failover that moves the name is followed. Not for: several hosts in one URL, addresses and
// sockets, which libpq handles itself. Runs in: worker.

#ifndef TW_DB_RESOLVE_H
#define TW_DB_RESOLVE_H

#include "gateway/base.h"
#include "gateway/h2o_include.h"

struct tw_db_resolver;

// NULL when memory is short. `receiver` is h2o's, of the worker's context.
struct tw_db_resolver *tw_db_resolver_new(h2o_multithread_receiver_t *receiver, const char *db_url);
void tw_db_resolver_free(struct tw_db_resolver *resolver);

enum tw_resolved {
    TW_RESOLVED_READY,   // *host and *hostaddr are for libpq, or NULL when it needs none
    TW_RESOLVED_PENDING, // ask again in a later turn
    TW_RESOLVED_FAILED,  // *why says so; asking again starts another lookup
};

// Texts are valid until the loop runs again.
TW_MUST_USE enum tw_resolved tw_db_resolve(struct tw_db_resolver *resolver, const char **host,
                                           const char **hostaddr, const char **why);

#endif

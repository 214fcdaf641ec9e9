// SPDX-License-Identifier: Apache-2.0
// db_resolve: the database's hosts as addresses, without ever blocking the worker's loop.
//
// libpq looks names up by itself, but inside PQconnectStart and blocking: with a name server that
// does not answer, that takes longer than the master's patience. So every name of the URL is looked
// up on h2o's lookup threads first, and libpq gets lists of the same length: hosts, numbers
// (`hostaddr`) and ports, one entry for each address of each host, in the URL's order. An answer is
// used for TTL_US at most: a failover that moves a name is followed. A name that cannot be resolved
// is left out and said once. Sockets and numbers pass through.
//
// libpq tries the list in order, but it has no time limit for one address when it does not block: a
// machine that is gone without a word would keep the others from their turn. So an address that
// was silent stands last in the list for a while (tw_db_resolver_silent).
//
// Not for: hosts that a service file names; libpq looks those up itself. Runs in: worker.

#ifndef TW_DB_RESOLVE_H
#define TW_DB_RESOLVE_H

#include "gateway/base.h"
#include "gateway/h2o_include.h"

struct tw_db_resolver;

// NULL when memory is short. `receiver` is h2o's, of the worker's context. `db_url` is not kept.
struct tw_db_resolver *tw_db_resolver_new(h2o_multithread_receiver_t *receiver, const char *db_url);
void tw_db_resolver_free(struct tw_db_resolver *resolver);

enum tw_resolved {
    TW_RESOLVED_READY,   // *addresses are for libpq
    TW_RESOLVED_PENDING, // ask again in a later turn
    TW_RESOLVED_FAILED,  // *why says so; asking again later starts another lookup
};

// Lists as libpq takes them; each may be NULL: libpq needs none. Valid until the loop runs again.
struct tw_db_addresses {
    const char *host, *hostaddr, *port;
};

TW_MUST_USE enum tw_resolved tw_db_resolve(struct tw_db_resolver *resolver,
                                           struct tw_db_addresses *addresses, const char **why);

// Nothing came back from this address, as PQhostaddr and PQport name it.
void tw_db_resolver_silent(struct tw_db_resolver *resolver, const char *hostaddr, const char *port);

// Whether the last answer had more than one address: there is another to try.
bool tw_db_resolver_has_several(const struct tw_db_resolver *resolver);

#endif

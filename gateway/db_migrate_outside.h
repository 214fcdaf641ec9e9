// SPDX-License-Identifier: Apache-2.0
// db_migrate_outside: a migration that makes indexes outside a transaction (-- tillway: outside a
// transaction), statement by statement, so that nobody waits for it: CREATE INDEX holds everybody
// up who writes, for as long as it takes.
//
// CREATE INDEX CONCURRENTLY itself waits for transactions that were there before it, be it only for
// their snapshot. That is said once, and lasts db.migrate_wait at most; the work itself has no
// bound. What a try leaves that failed, was interrupted or lost its connection is an index that
// PostgreSQL knows to be invalid: the next try drops it and begins anew. A whole one is kept.
// Private to db_migrate*.c. Runs in: command line. Blocking.

#ifndef TW_DB_MIGRATE_OUTSIDE_H
#define TW_DB_MIGRATE_OUTSIDE_H

#include <libpq-fe.h>

#include "config/config.h"
#include "gateway/db_migrate.h"

// Runs the steps of a migration that has some. False: it has been said why.
TW_MUST_USE bool tw_migrate_outside(PGconn *pg, const struct tw_config *config,
                                    const struct tw_migration *migration);

#endif

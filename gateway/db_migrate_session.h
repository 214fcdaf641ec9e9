// SPDX-License-Identifier: Apache-2.0
// db_migrate_session: a connection of `tillway migrate`, what it runs there, and what it says of
// failures: one line each on standard error. Private to db_migrate*.c.
// Runs in: command line. Blocking.

#ifndef TW_DB_MIGRATE_SESSION_H
#define TW_DB_MIGRATE_SESSION_H

#include <libpq-fe.h>

#include "config/config.h"
#include "gateway/db_statement.h"

// The primary, with the password of the moment. NULL: it has been said why not.
PGconn *tw_migrate_connect(const struct tw_config *config);

bool tw_migrate_succeeded(const PGresult *result);

// The first line of what libpq says last of `pg`.
void tw_migrate_complain(const char *what, PGconn *pg);

// Text with no results. False: it has been complained of.
bool tw_migrate_run_text(PGconn *pg, const char *sql, const char *what);

// A statement with as many values as it has parameters. NULL or false: it has been complained of.
PGresult *tw_migrate_run(PGconn *pg, enum tw_stmt stmt, const char *const *values);
TW_MUST_USE bool tw_migrate_run_only(PGconn *pg, enum tw_stmt stmt, const char *const *values);

// Somebody else has what it needed, or waited for what it had.
bool tw_migrate_is_somebody_in_the_way(const PGresult *result);

// For those who came meanwhile.
void tw_migrate_pause(long ms);

#endif

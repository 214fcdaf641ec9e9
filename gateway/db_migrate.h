// SPDX-License-Identifier: Apache-2.0
// db_migrate: `tillway migrate`: brings the schema up to this binary's migrations.
//
// db/migrations/*.sql in the order of their names, each in one transaction unless it says
// otherwise (db_migrate_outside.h), each remembered with the SHA-256 of its text; a text that has
// changed since is refused. Safe to run twice and from two places at once: an advisory lock makes
// the second wait and find nothing to do.
//
// Safe to run while a gateway sells: a migration that changes a table must have it for itself, and
// while it waits for who reads it (a report, a dump) everybody behind it waits as well. So it waits
// half a second at most, gives way to those who came meanwhile, and tries again, for a minute.
// Runs in: command line. Blocking.

#ifndef TW_DB_MIGRATE_H
#define TW_DB_MIGRATE_H

#include "config/config.h"
#include "gateway/base.h"

// A statement outside a transaction, which may be run again.
struct tw_migration_step {
    const char *sql;   // NULL: no more
    const char *index; // that it makes, or NULL
    const char *undo;  // drops what a try has left of it that was cut off
};

struct tw_migration {
    const char *name;
    const char *sql;
    const struct tw_migration_step *steps; // NULL: it is one transaction
};

extern const struct tw_migration tw_migrations[];
extern const size_t tw_n_migrations;

// Prints a line per migration applied on standard output. Returns the exit code; a failure is one
// line on standard error.
int tw_db_migrate(const struct tw_config *config);

#endif

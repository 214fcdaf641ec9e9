// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_migrate.h"

#include <libpq-fe.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "gateway/db_migrate_outside.h"
#include "gateway/db_migrate_session.h"

#define PAUSE_MS 500 // for those who came meanwhile
#define TRIES    60
#define LOCK_MS  100 // between two looks whether another one is at work

static void sha256_hex(const char *text, char out[2 * SHA256_DIGEST_LENGTH + 1])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text, strlen(text), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void complain_of(const struct tw_migration *migration, bool is_busy, PGconn *pg)
{
    if (!is_busy)
        tw_migrate_complain(migration->name, pg);
    else
        (void)fprintf(stderr,
                      "tillway migrate: %s: others have held a table that it changes for a minute: "
                      "see who (pg_stat_activity), and run it again\n",
                      migration->name);
}

static bool begin(PGconn *pg)
{
    return tw_migrate_run_text(pg, "BEGIN", "BEGIN") &&
           tw_migrate_run_only(pg, TW_STMT_MIGRATE_BEGUN, NULL);
}

// Runs a migration's text; from its beginning as often as somebody was in the way.
static bool run_migration(PGconn *pg, const struct tw_migration *migration)
{
    for (int tries_left = TRIES; begin(pg); tries_left--) {
        PGresult *result = PQexec(pg, migration->sql);
        bool ok = tw_migrate_succeeded(result), is_busy = tw_migrate_is_somebody_in_the_way(result);
        bool again = is_busy && tries_left > 1;
        if (!ok && !again)
            complain_of(migration, is_busy, pg);
        PQclear(result);
        if (ok)
            return true;
        if (!tw_migrate_run_text(pg, "ROLLBACK", "ROLLBACK") || !again)
            return false;
        tw_migrate_pause(PAUSE_MS);
    }
    return false;
}

// With what remembers it, in one transaction.
static bool apply_whole(PGconn *pg, const struct tw_migration *migration, const char *const *values)
{
    if (!run_migration(pg, migration))
        return false;
    if (!tw_migrate_run_only(pg, TW_STMT_MIGRATE_RECORD, values)) {
        (void)tw_migrate_run_text(pg, "ROLLBACK", "ROLLBACK");
        return false;
    }
    return tw_migrate_run_text(pg, "COMMIT", migration->name);
}

static bool apply(PGconn *pg, const struct tw_config *config, const struct tw_migration *migration,
                  const char *sha256)
{
    const char *values[] = {migration->name, sha256};
    bool ok = migration->steps ? tw_migrate_outside(pg, config, migration) &&
                                     tw_migrate_run_only(pg, TW_STMT_MIGRATE_RECORD, values)
                               : apply_whole(pg, migration, values);
    if (!ok)
        return false;
    (void)printf("tillway migrate: applied %s\n", migration->name);
    (void)fflush(stdout);
    return true;
}

static bool apply_if_new(PGconn *pg, const struct tw_config *config,
                         const struct tw_migration *migration, size_t *applied)
{
    char sha256[2 * SHA256_DIGEST_LENGTH + 1];
    sha256_hex(migration->sql, sha256);
    const char *values[] = {migration->name};
    PGresult *found = tw_migrate_run(pg, TW_STMT_MIGRATE_FIND, values);
    if (!found)
        return false;
    bool known = PQntuples(found) > 0;
    bool same = known && strcmp(PQgetvalue(found, 0, 0), sha256) == 0;
    PQclear(found);
    if (known && !same)
        (void)fprintf(stderr,
                      "tillway migrate: %s was applied with another text: this binary and the "
                      "database do not belong together\n",
                      migration->name);
    if (known)
        return same;
    (*applied)++;
    return apply(pg, config, migration, sha256);
}

// One at a time. Who waits asks again, and is in no transaction meanwhile.
static bool lock(PGconn *pg)
{
    for (int n = 0;; n++) {
        PGresult *result = tw_migrate_run(pg, TW_STMT_MIGRATE_LOCK, NULL);
        bool ok = result != NULL, is_ours = ok && PQgetvalue(result, 0, 0)[0] == 't';
        PQclear(result);
        if (!ok || is_ours)
            return ok;
        if (n == 0) {
            (void)printf("tillway migrate: waits for another one that is at work\n");
            (void)fflush(stdout);
        }
        tw_migrate_pause(LOCK_MS);
    }
}

static bool migrate(PGconn *pg, const struct tw_config *config)
{
    size_t applied = 0;
    if (!lock(pg) || !tw_migrate_run_only(pg, TW_STMT_MIGRATE_TABLE, NULL))
        return false;
    for (size_t i = 0; i < tw_n_migrations; i++)
        if (!apply_if_new(pg, config, &tw_migrations[i], &applied))
            return false;
    (void)printf("tillway migrate: %zu of %zu migrations applied now, schema is up to date\n",
                 applied, tw_n_migrations);
    return true;
}

int tw_db_migrate(const struct tw_config *config)
{
    PGconn *pg = tw_migrate_connect(config);
    if (!pg)
        return 1;
    bool ok = migrate(pg, config);
    PQfinish(pg);
    return ok ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_migrate.h"

#include <libpq-fe.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <time.h>

#include "gateway/db_connect.h"
#include "gateway/db_statement.h"

#define PAUSE_MS 500 // for those who came meanwhile
#define TRIES    60

static bool succeeded(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
}

// One line on standard error: libpq's messages have several.
static void complain(const char *what, PGconn *pg)
{
    const char *text = PQerrorMessage(pg);
    (void)fprintf(stderr, "tillway migrate: %s: %.*s\n", what, (int)strcspn(text, "\n"), text);
}

static bool run_text(PGconn *pg, const char *sql, const char *what)
{
    PGresult *result = PQexec(pg, sql);
    bool ok = succeeded(result);
    if (!ok)
        complain(what, pg);
    PQclear(result);
    return ok;
}

static PGresult *run(PGconn *pg, enum tw_stmt stmt, const char *const *values)
{
    const struct tw_statement *statement = &tw_statements[stmt];
    PGresult *result = PQexecParams(pg, statement->sql, statement->n_params, NULL, values, NULL,
                                    NULL, 0);
    if (succeeded(result))
        return result;
    complain(statement->name, pg);
    PQclear(result);
    return NULL;
}

static bool run_only(PGconn *pg, enum tw_stmt stmt, const char *const *values)
{
    PGresult *result = run(pg, stmt, values);
    PQclear(result);
    return result != NULL;
}

static void sha256_hex(const char *text, char out[2 * SHA256_DIGEST_LENGTH + 1])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text, strlen(text), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

// Somebody else has what it needs, or waits for what it has.
static bool is_somebody_in_the_way(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state && (strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0);
}

static void complain_of(const struct tw_migration *migration, bool is_busy, PGconn *pg)
{
    if (!is_busy)
        complain(migration->name, pg);
    else
        (void)fprintf(stderr,
                      "tillway migrate: %s: others have held a table that it changes for a minute: "
                      "see who (pg_stat_activity), and run it again\n",
                      migration->name);
}

static bool begin(PGconn *pg)
{
    return run_text(pg, "BEGIN", "BEGIN") && run_only(pg, TW_STMT_MIGRATE_BEGUN, NULL);
}

// Runs a migration's text; from its beginning as often as somebody was in the way.
static bool run_migration(PGconn *pg, const struct tw_migration *migration)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    for (int tries_left = TRIES; begin(pg); tries_left--) {
        PGresult *result = PQexec(pg, migration->sql);
        bool ok = succeeded(result), is_busy = is_somebody_in_the_way(result);
        bool again = is_busy && tries_left > 1;
        if (!ok && !again)
            complain_of(migration, is_busy, pg);
        PQclear(result);
        if (ok)
            return true;
        if (!run_text(pg, "ROLLBACK", "ROLLBACK") || !again)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static bool apply(PGconn *pg, const struct tw_migration *migration, const char *sha256)
{
    const char *values[] = {migration->name, sha256};
    if (!run_migration(pg, migration))
        return false;
    if (!run_only(pg, TW_STMT_MIGRATE_RECORD, values)) {
        (void)run_text(pg, "ROLLBACK", "ROLLBACK");
        return false;
    }
    if (!run_text(pg, "COMMIT", migration->name))
        return false;
    (void)printf("tillway migrate: applied %s\n", migration->name);
    return true;
}

static bool apply_if_new(PGconn *pg, const struct tw_migration *migration, size_t *applied)
{
    char sha256[2 * SHA256_DIGEST_LENGTH + 1];
    sha256_hex(migration->sql, sha256);
    const char *values[] = {migration->name};
    PGresult *found = run(pg, TW_STMT_MIGRATE_FIND, values);
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
    return apply(pg, migration, sha256);
}

static bool migrate(PGconn *pg)
{
    size_t applied = 0;
    if (!run_only(pg, TW_STMT_MIGRATE_LOCK, NULL) || !run_only(pg, TW_STMT_MIGRATE_TABLE, NULL))
        return false;
    for (size_t i = 0; i < tw_n_migrations; i++)
        if (!apply_if_new(pg, &tw_migrations[i], &applied))
            return false;
    (void)printf("tillway migrate: %zu of %zu migrations applied now, schema is up to date\n",
                 applied, tw_n_migrations);
    return true;
}

static void drop_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

// The primary, with the password of the moment. NULL: it has been said why not.
static PGconn *connect_to(const struct tw_config *config)
{
    char fault[512];
    const char *why = NULL;
    const struct tw_db_login login = {
        .url = config->db_url,
        .password_file = config->db_password_file,
        .application = "tillway migrate",
        .server_kind = "read-write",
        .timeout_s = "10",
    };
    PGconn *pg = tw_db_connect_wait(&login, &why);
    if (pg && PQstatus(pg) == CONNECTION_OK)
        return pg;
    if (pg)
        tw_db_connect_fault(pg, fault, sizeof(fault));
    (void)fprintf(stderr, "tillway migrate: cannot connect: %s\n", pg ? fault : why);
    PQfinish(pg);
    return NULL;
}

int tw_db_migrate(const struct tw_config *config)
{
    PGconn *pg = connect_to(config);
    if (!pg)
        return 1;
    PQsetNoticeProcessor(pg, drop_notice, NULL);
    bool ok = migrate(pg);
    PQfinish(pg);
    return ok ? 0 : 1;
}

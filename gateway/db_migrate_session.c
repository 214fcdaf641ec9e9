// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_migrate_session.h"

#include <stdio.h>
#include <time.h>

#include "gateway/db_connect.h"

static void drop_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

PGconn *tw_migrate_connect(const struct tw_config *config)
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
    if (pg && PQstatus(pg) == CONNECTION_OK) {
        (void)PQsetNoticeProcessor(pg, drop_notice, NULL);
        return pg;
    }
    if (pg)
        tw_db_connect_fault(pg, fault, sizeof(fault));
    (void)fprintf(stderr, "tillway migrate: cannot connect: %s\n", pg ? fault : why);
    PQfinish(pg);
    return NULL;
}

bool tw_migrate_succeeded(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
}

// libpq's messages have several lines.
void tw_migrate_complain(const char *what, PGconn *pg)
{
    const char *text = PQerrorMessage(pg);
    (void)fprintf(stderr, "tillway migrate: %s: %.*s\n", what, (int)strcspn(text, "\n"), text);
}

bool tw_migrate_run_text(PGconn *pg, const char *sql, const char *what)
{
    PGresult *result = PQexec(pg, sql);
    bool ok = tw_migrate_succeeded(result);
    if (!ok)
        tw_migrate_complain(what, pg);
    PQclear(result);
    return ok;
}

PGresult *tw_migrate_run(PGconn *pg, enum tw_stmt stmt, const char *const *values)
{
    const struct tw_statement *statement = &tw_statements[stmt];
    PGresult *result = PQexecParams(pg, statement->sql, statement->n_params, NULL, values, NULL,
                                    NULL, 0);
    if (tw_migrate_succeeded(result))
        return result;
    tw_migrate_complain(statement->name, pg);
    PQclear(result);
    return NULL;
}

bool tw_migrate_run_only(PGconn *pg, enum tw_stmt stmt, const char *const *values)
{
    PGresult *result = tw_migrate_run(pg, stmt, values);
    PQclear(result);
    return result != NULL;
}

bool tw_migrate_is_somebody_in_the_way(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state && (strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0);
}

void tw_migrate_pause(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&pause, NULL);
}

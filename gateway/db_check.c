// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/db_connect.h"
#include "gateway/db_statement.h"

#define TIMEOUT_S "2"

// How many connections the server has for us; 0 when it cannot be asked. `fault` is what is wrong
// on our side.
static unsigned connections_of(const struct tw_config *config, char *fault, size_t fault_size)
{
    const char *why;
    const struct tw_db_login login = {
        .url = config->db_url,
        .password_file = config->db_password_file,
        .application = "tillway -t",
        .timeout_s = TIMEOUT_S,
    };
    PQconninfoOption *options = PQconninfoParse(config->db_url, NULL);
    PQconninfoFree(options);
    PGconn *pg = options ? tw_db_connect_wait(&login, &why) : NULL;
    unsigned n = 0;
    if (!options) { // libpq's own message may quote the password
        (void)snprintf(fault, fault_size, "db.url (hidden) cannot be understood");
    } else if (!pg) {
        (void)snprintf(fault, fault_size, "%s", why);
    } else if (PQstatus(pg) == CONNECTION_OK) {
        PGresult *result = PQexec(pg, tw_statements[TW_STMT_SERVER_LIMITS].sql);
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            n = (unsigned)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    }
    PQfinish(pg);
    return n;
}

bool tw_db_check(const struct tw_config *config, char *err, size_t err_size, char *warning,
                 size_t warning_size)
{
    char fault[256] = "";
    unsigned wanted = config->db_max_connections;
    unsigned there = connections_of(config, fault, sizeof(fault));
    warning[0] = '\0';
    if (fault[0])
        (void)snprintf(warning, warning_size, "%s", fault);
    if (wanted <= there && 2 * wanted > there)
        (void)snprintf(warning, warning_size,
                       "db.max_connections is %u and PostgreSQL has %u: during a reload the old "
                       "workers keep theirs, so twice as many should fit",
                       wanted, there);
    if (wanted <= there || there == 0)
        return true;
    (void)snprintf(err, err_size,
                   "db.max_connections is %u, but PostgreSQL has only %u for us (max_connections - "
                   "superuser_reserved_connections): lower the one or raise the other",
                   wanted, there);
    return false;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/db_connect.h"
#include "gateway/db_statement.h"

#define TIMEOUT_S "2"

// libpq's own message may quote what it does not understand, and that may be the password.
static bool is_url(const struct tw_config *config, const char *key, const char *url, char *err,
                   size_t err_size)
{
    if (url[0] == '\0')
        return true;
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    PQconninfoFree(options);
    if (!options)
        (void)snprintf(err, err_size,
                       "%s: %s: the value (hidden) cannot be understood: write "
                       "postgresql://user@host:port/database or key=value pairs",
                       tw_config_origin(config, key), key);
    return options != NULL;
}

// As somebody else (`user`) workers may read what the master may not: tw_account_check() sees to
// it.
static bool has_password(const struct tw_config *config, char *err, size_t err_size)
{
    const char *path = config->db_password_file;
    const char *fault = path[0] && !config->user[0] ? tw_db_password_fault(path) : NULL;
    if (fault)
        (void)snprintf(err, err_size,
                       "%s: db.password_file: \"%s\" %s; write the password there, or name no file",
                       tw_config_origin(config, "db.password_file"), path, fault);
    return fault == NULL;
}

bool tw_db_check_config(const struct tw_config *config, char *err, size_t err_size)
{
    return is_url(config, "db.url", config->db_url, err, err_size) &&
           is_url(config, "db.replica", config->db_replica, err, err_size) &&
           is_url(config, "cache.listen_url", config->cache_listen_url, err, err_size) &&
           has_password(config, err, err_size);
}

bool tw_db_check_workers(const struct tw_config *config, unsigned n_workers, char *warning,
                         size_t warning_size)
{
    // One for each lane, and one that listens for the cache.
    unsigned each = TW_LANE_COUNT + (config->cache_size_bytes > 0);
    unsigned least = n_workers * each;
    if (config->workers != 0 || config->db_max_connections >= least)
        return true;
    (void)snprintf(
        warning, warning_size,
        "db.max_connections is %u, but %u workers open %u at the least: raise it, or set "
        "`workers`",
        config->db_max_connections, n_workers, least);
    return false;
}

// ---- asking the server --------------------------------------------------------------------------

// What the server says; nothing when it cannot be asked.
struct server {
    unsigned connections; // that it has for us
    bool lacks_time_zone;
};

static void ask(PGconn *pg, const char *time_zone, struct server *server)
{
    PGresult *result = PQexec(pg, tw_statements[TW_STMT_SERVER_LIMITS].sql);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        server->connections = (unsigned)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    result = PQexecParams(pg, tw_statements[TW_STMT_TIME_ZONE].sql, 1, NULL, &time_zone, NULL, NULL,
                          0);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    server->lacks_time_zone = state && strcmp(state, TW_DB_UNKNOWN_ZONE) == 0;
    PQclear(result);
}

// `fault` is what is wrong on our side.
static struct server ask_server(const struct tw_config *config, char *fault, size_t fault_size)
{
    const char *why;
    const struct tw_db_login login = {
        .url = config->db_url,
        .password_file = config->db_password_file,
        .application = "tillway -t",
        .timeout_s = TIMEOUT_S,
    };
    PGconn *pg = tw_db_connect_wait(&login, &why);
    struct server server = {0};
    if (!pg) {
        (void)snprintf(fault, fault_size, "%s", why);
    } else if (PQstatus(pg) == CONNECTION_OK) {
        ask(pg, config->pos_time_zone, &server);
    }
    PQfinish(pg);
    return server;
}

void tw_db_check_say_zone(const struct tw_config *config, char *err, size_t err_size)
{
    (void)snprintf(
        err, err_size,
        "%s: pos.time_zone: PostgreSQL knows no \"%s\", and no sale could be dated: write "
        "a name such as Europe/Berlin",
        tw_config_origin(config, "pos.time_zone"), config->pos_time_zone);
}

bool tw_db_check(const struct tw_config *config, char *err, size_t err_size, char *warning,
                 size_t warning_size)
{
    char fault[256] = "";
    const struct server server = ask_server(config, fault, sizeof(fault));
    unsigned wanted = config->db_max_connections, there = server.connections;
    warning[0] = '\0';
    if (server.lacks_time_zone) {
        tw_db_check_say_zone(config, err, err_size);
        return false;
    }
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

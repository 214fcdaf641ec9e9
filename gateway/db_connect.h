// SPDX-License-Identifier: Apache-2.0
// db_connect: what a connection tells libpq: whose address, which kind of server, who we are, the
// password of the moment. Private to db*.c. Runs in: worker, command line;
// tw_db_password_fault() also in the master.

#ifndef TW_DB_CONNECT_H
#define TW_DB_CONNECT_H

#include <libpq-fe.h>

#include "gateway/base.h"

struct tw_db_login {
    const char *url;
    const char *password_file; // "" : none. Read anew each time; it wins over the URL's password
    const char *application;   // unless the URL names one
    const char *server_kind;   // target_session_attrs, unless the URL says so; NULL: any
    const char *host, *hostaddr, *port; // instead of the URL's, or NULL
    const char *timeout_s;              // of a blocking connection; NULL: the URL's
};

// Begins to connect: the caller polls. NULL when that is impossible, and *why says so.
PGconn *tw_db_connect_start(const struct tw_db_login *login, const char **why);

// Connects and waits. As above; the caller looks at PQstatus.
PGconn *tw_db_connect_wait(const struct tw_db_login *login, const char **why);

// What is wrong with a password file ("does not exist"), or NULL.
const char *tw_db_password_fault(const char *path);

// Which socket libpq uses now, for comparing; 0: none. Its number is not enough: that of a socket
// which refused is free again when the one for the next address is made.
uint64_t tw_db_socket_id(const PGconn *pg);

// libpq's message as one line: what it says of each server it tried. Never the URL.
void tw_db_connect_fault(const PGconn *pg, char *out, size_t size);

#endif

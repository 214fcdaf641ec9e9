// SPDX-License-Identifier: Apache-2.0
// db_check: `tillway -t` asks the database whether it has as many connections as are configured.
// Runs in: command line. It waits for the server, about two seconds at most.

#ifndef TW_DB_CHECK_H
#define TW_DB_CHECK_H

#include "config/config.h"

// False when db.max_connections is more than the server has: `err` is one line that says what to
// do. A server that cannot be reached is no fault. When there is something to say that does not
// keep the gateway from working, `warning` is one line, else empty.
TW_MUST_USE bool tw_db_check(const struct tw_config *config, char *err, size_t err_size,
                             char *warning, size_t warning_size);

#endif

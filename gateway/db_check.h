// SPDX-License-Identifier: Apache-2.0
// db_check: whether what the configuration says of the database can be used; and for `tillway -t`
// whether the server has as many connections as are configured and knows the time zone, for which
// it waits about two seconds at most. Runs in: master (what asks nobody), command line.

#ifndef TW_DB_CHECK_H
#define TW_DB_CHECK_H

#include "config/config.h"

// False when the URLs or the password's file cannot be used: `err` is one line with place, key and
// remedy. Asks nobody.
TW_MUST_USE bool tw_db_check_config(const struct tw_config *config, char *err, size_t err_size);

// False when these workers open more connections than db.max_connections; `warning` is one line
// that says so. Where the file says how many workers there are, loading it has judged them.
TW_MUST_USE bool tw_db_check_workers(const struct tw_config *config, unsigned n_workers,
                                     char *warning, size_t warning_size);

// False when db.max_connections is more than the server has, or pos.time_zone is none of its: `err`
// is one line that says what to do. A server that cannot be reached is no fault. When there is
// something to say that does not keep the gateway from working, `warning` is one line, else empty.
TW_MUST_USE bool tw_db_check(const struct tw_config *config, char *err, size_t err_size,
                             char *warning, size_t warning_size);

// One line about a pos.time_zone that is none of PostgreSQL's: workers have asked (TW_LACKS_ZONE).
void tw_db_check_say_zone(const struct tw_config *config, char *err, size_t err_size);

#endif

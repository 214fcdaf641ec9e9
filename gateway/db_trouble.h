// SPDX-License-Identifier: Apache-2.0
// db_trouble: what the log says of a lane's lost connections: each cause once, then a count.
//
// A database that is away fails many connections many times. The first failure of a cause is
// written, then one line per INTERVAL_US with how many there were; when a lane that had none has a
// connection again, one line says so. Runs in: worker.

#ifndef TW_DB_TROUBLE_H
#define TW_DB_TROUBLE_H

#include "gateway/base.h"

#define TW_DB_TROUBLE_CAUSES 4

// Zero: all is well.
struct tw_db_trouble {
    struct {
        uint32_t hash;
        uint64_t said_us;
        unsigned unsaid;
    } causes[TW_DB_TROUBLE_CAUSES];
    unsigned failures; // since it was over
    uint64_t since_us; // the first of them
};

// `lane` is as the log shall name it, `cause` one line without secrets.
void tw_db_trouble_add(struct tw_db_trouble *trouble, const char *lane, const char *cause,
                       uint64_t next_try_us);

// The lane has a connection again, and had none before. `server` names it.
void tw_db_trouble_over(struct tw_db_trouble *trouble, const char *lane, const char *server);

#endif

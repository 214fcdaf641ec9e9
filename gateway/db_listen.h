// SPDX-License-Identifier: Apache-2.0
// db_listen: one connection of a worker's own that hears what others change in the catalogue.
//
// LISTEN needs a session that stays with one backend, so this is none of db.c's lanes. It says that
// it hears only after PostgreSQL has acknowledged the LISTEN and then answered a ping, and that it
// does not as soon as the connection is lost, or a ping has no answer within a second, or the
// server turns out to be a standby. Pings go out every second: a server that died without a word is
// noticed within two. It heals by itself, with jittered backoff, and looks names up like db_conn.c.
//
// A pooler between us and PostgreSQL is recognised by the backend's pid, which it makes up; LISTEN
// through it may be lost at any time, so it does not count as hearing.
//
// Runs in: worker, on its h2o loop. Source: PostgreSQL 15, LISTEN, NOTIFY, src/backend/commands/
// async.c: a notification is sent after its transaction's commit has become visible.

#ifndef TW_DB_LISTEN_H
#define TW_DB_LISTEN_H

#include "gateway/base.h"

struct st_h2o_context_t; // h2o_context_t
struct tw_db;
struct tw_db_listener;

struct tw_db_listen_events {
    // Changes that are committed from now on will be told (true), or may not be (false). Both
    // alternate, beginning with true.
    void (*on_hearing)(void *owner, bool hears);
    // One message, not longer than 8000 bytes, valid during the call. Only while it hears.
    void (*on_message)(void *owner, struct tw_str payload);
};

// Connects to cache.listen_url, or to db.url when that is empty, from the next loop turn on; needs
// no call to go on. `db` knows the machine's budget of connection attempts and, for db.url, its
// hosts. `events` and `owner`
// are borrowed. NULL when memory is short.
struct tw_db_listener *tw_db_listener_new(struct st_h2o_context_t *ctx, struct tw_db *db,
                                          const struct tw_db_listen_events *events, void *owner);

// NULL is allowed. No event comes any more.
void tw_db_listener_free(struct tw_db_listener *listener);

#endif

// SPDX-License-Identifier: Apache-2.0
// db_replica: connections to read replicas (db.replica), and which reads may use them. Private to
// db*.c.
//
// Every PROBE_US the primary and each replica connection say how far they are in the write-ahead
// log. A connection whose server has replayed what the primary had flushed at time T is "fresh as
// of T", by this machine's monotonic clock; nobody's wall clock counts, and an idle system is
// fresh. A read may go there when T is not before its principal's last write (db_shared.h), on any
// worker, and not further back than db.replica_max_lag from the primary's last word. While the
// primary is silent its clock stands still, so that replicas go on with what they have. Each
// connection is judged by what it said itself: behind one name there may be several servers.
// Whatever a replica does not answer, the primary is asked for. Why all this: docs/adr/009. Runs
// in: worker.

#ifndef TW_DB_REPLICA_H
#define TW_DB_REPLICA_H

#include "gateway/db_lane.h"

struct tw_db_replica;

// As many connections of lanes fast and slow as `lanes` has, and as deep. NULL without memory.
struct tw_db_replica *tw_db_replica_new(struct tw_db *db, h2o_multithread_receiver_t *receiver,
                                        const struct tw_db_lane lanes[TW_LANE_COUNT]);
void tw_db_replica_free(struct tw_db_replica *replica); // NULL is allowed

// A connection for a read that may go to a replica, or NULL: ask the primary. `replica` may be
// NULL.
struct tw_db_conn *tw_db_replica_pick(struct tw_db_replica *replica, enum tw_stmt stmt,
                                      uint64_t reader, bool primary_only);

// A connection of this lane would take some read.
bool tw_db_replica_has_room(const struct tw_db_replica *replica, enum tw_lane lane);

// Whether the replica at `conn` may answer this read.
bool tw_db_replica_may_serve(const struct tw_db_replica *replica, const struct tw_db_conn *conn,
                             uint64_t reader, bool primary_only);

// Ends what was sent in this lane with a sync.
void tw_db_replica_sync(struct tw_db_replica *replica, enum tw_lane lane);

// Looks after time: probes, connections. `now_us` is tw_now_us.
void tw_db_replica_tick(struct tw_db_replica *replica, uint64_t now_us);

// A probe's answer, of a connection to the primary or to a replica.
void tw_db_replica_probed(struct tw_db_replica *replica, struct tw_db_conn *conn, bool in_recovery,
                          int64_t position);

// state of one of its connections became READY or stopped being READY.
void tw_db_replica_changed(struct tw_db_replica *replica, struct tw_db_conn *conn);

#endif

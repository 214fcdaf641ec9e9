// SPDX-License-Identifier: Apache-2.0
// db_shed: which queries are refused at once when there is more work than PostgreSQL can do.
//
// A queue that empties now and then is a burst; one in which even the luckiest query of an interval
// waits longer than the target stands, and what stands is overload (the reasoning of CoDel, RFC
// 8289, with refusing in place of dropping). Two rules follow, both by priority, sales never:
//   - in a lane whose queue stands, a query is refused when, by the lane's pace, it would wait
//   longer
//     than its priority may. The lane keeps working at full pace; the excess is told so at once.
//   - while the queue of writes stands although they move, or the worker's loop is late, each
//   interval refuses one
//     priority more in all lanes, reports first: reads eat the CPU that sales need. It goes back by
//     steps, and the slower the more often that was too early.
// The source of the choice: docs/adr/010-shedding.md. Runs in: worker. Pure: time comes in.

#ifndef TW_DB_SHED_H
#define TW_DB_SHED_H

#include "gateway/db_statement.h"

struct tw_shed {
    uint64_t target_us; // 0: nothing is refused
    uint64_t interval_began_us;
    struct tw_shed_lane {
        uint64_t least_us; // smallest delay of what was sent in this interval
        unsigned sent;     // in this interval
        bool stands;       // as of the last interval
        double per_us;     // what it sends while it stands
    } lanes[TW_LANE_COUNT];
    uint64_t loop_least_us;  // smallest lateness in this interval
    bool excused;            // a lock was in the way of writes
    unsigned level;          // priorities refused in all lanes, counted from the last
    unsigned calm, patience; // intervals without pressure, and how many it takes to step back
    unsigned since_lowered;
};

void tw_shed_init(struct tw_shed *shed, uint64_t target_us, uint64_t now_us);

// A query was sent that had waited so long, in its queue and behind others on its connection.
void tw_shed_sent(struct tw_shed *shed, enum tw_lane lane, uint64_t delay_us);

// Writes wait for somebody's lock.
void tw_shed_locked(struct tw_shed *shed);

// To be called several times in 100 ms: `late_us` is how late that happens, `oldest_us` how long
// the foremost query of each lane has been waiting (0: nobody waits).
void tw_shed_tick(struct tw_shed *shed, uint64_t now_us, uint64_t late_us,
                  const uint64_t oldest_us[TW_LANE_COUNT]);

// Whether a query may enter its lane, in which so many wait already.
bool tw_shed_admits(const struct tw_shed *shed, enum tw_lane lane, enum tw_priority priority,
                    unsigned waiting);

#endif

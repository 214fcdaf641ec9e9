// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_shed.h"

#define INTERVAL_US 100000

// Intervals without pressure until a priority is let in again, and the most that it comes to.
#define PATIENCE     10
#define PATIENCE_MAX 80

// How many targets late the loop is when it has too much to do. Less happens on a busy machine.
#define LATE_TARGETS 5

#define LEVEL_MAX (TW_PRIORITY_COUNT - 1)

// In a lane that stands: how many targets long a query may wait.
static const unsigned allowances[TW_PRIORITY_COUNT] = {
    [TW_PRIORITY_REFUND] = 8,
    [TW_PRIORITY_LOOKUP] = 4,
    [TW_PRIORITY_LIST] = 3,
    [TW_PRIORITY_REPORT] = 2,
};

static void interval_begin(struct tw_shed *shed, uint64_t now_us)
{
    shed->interval_began_us = now_us;
    shed->loop_least_us = UINT64_MAX;
    shed->excused = false;
    for (size_t l = 0; l < TW_LANE_COUNT; l++) {
        shed->lanes[l].least_us = UINT64_MAX;
        shed->lanes[l].sent = 0;
    }
}

void tw_shed_init(struct tw_shed *shed, uint64_t target_us, uint64_t now_us)
{
    *shed = (struct tw_shed){
        .target_us = target_us, .patience = PATIENCE, .since_lowered = PATIENCE};
    interval_begin(shed, now_us);
}

void tw_shed_sent(struct tw_shed *shed, enum tw_lane lane, uint64_t delay_us)
{
    struct tw_shed_lane *of = &shed->lanes[lane];
    of->sent++;
    if (delay_us < of->least_us)
        of->least_us = delay_us;
}

void tw_shed_locked(struct tw_shed *shed)
{
    shed->excused = true;
}

// What the queue has done in the interval that ends. The first one in which it stands tells its
// pace as it is, as something waited all the time.
static void lane_judge(struct tw_shed *shed, struct tw_shed_lane *of, uint64_t oldest_us,
                       uint64_t lasted_us)
{
    double per_us = (double)of->sent / (double)lasted_us;
    if (of->sent == 0)
        of->least_us = oldest_us;
    bool stood = of->stands;
    of->stands = of->least_us > (stood ? shed->target_us / 2 : shed->target_us);
    of->per_us = stood ? of->per_us + (per_us - of->per_us) / 4 : per_us;
}

static void raise_level(struct tw_shed *shed)
{
    if (shed->level == LEVEL_MAX)
        return;
    if (shed->since_lowered < PATIENCE && shed->patience < PATIENCE_MAX)
        shed->patience *= 2; // it was too early
    else if (shed->since_lowered == PATIENCE_MAX)
        shed->patience = PATIENCE;
    shed->since_lowered = PATIENCE;
    shed->level++;
}

static void lower_level(struct tw_shed *shed)
{
    shed->level--;
    shed->calm = 0;
    shed->since_lowered = 0;
}

static void level_judge(struct tw_shed *shed)
{
    const struct tw_shed_lane *writes = &shed->lanes[TW_LANE_WRITE];
    bool loop_is_late = shed->loop_least_us > LATE_TARGETS * shed->target_us;
    bool pressed = loop_is_late || (writes->stands && writes->sent > 0 && !shed->excused);
    if (writes->stands && !pressed)
        return; // a lock, or a server that hangs: fewer reads would not help
    shed->since_lowered += shed->since_lowered < PATIENCE_MAX;
    shed->calm = pressed ? 0 : shed->calm + 1;
    if (pressed)
        raise_level(shed);
    else if (shed->level > 0 && shed->calm >= shed->patience)
        lower_level(shed);
}

void tw_shed_tick(struct tw_shed *shed, uint64_t now_us, uint64_t late_us,
                  const uint64_t oldest_us[TW_LANE_COUNT])
{
    uint64_t lasted_us = now_us - shed->interval_began_us;
    if (late_us < shed->loop_least_us)
        shed->loop_least_us = late_us;
    if (shed->target_us == 0 || lasted_us < INTERVAL_US)
        return;
    for (size_t l = 0; l < TW_LANE_COUNT; l++)
        lane_judge(shed, &shed->lanes[l], oldest_us[l], lasted_us);
    level_judge(shed);
    interval_begin(shed, now_us);
}

bool tw_shed_admits(const struct tw_shed *shed, enum tw_lane lane, enum tw_priority priority,
                    unsigned waiting)
{
    const struct tw_shed_lane *of = &shed->lanes[lane];
    if (priority == TW_PRIORITY_SALE)
        return true;
    if (priority >= TW_PRIORITY_COUNT - shed->level)
        return false;
    return !of->stands || waiting == 0 ||
           (double)waiting <= of->per_us * (double)(allowances[priority] * shed->target_us);
}

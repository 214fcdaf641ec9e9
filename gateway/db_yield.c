// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_yield.h"

#define INTERVAL_US 100000

// Part of an interval in which a batch was in flight: from which on writes are pressed, and until
// when they are.
#define PRESSED_FROM  0.75
#define PRESSED_UNTIL 0.5

#define BUDGET        0.05
#define SHARE_LEAST   0.02
#define SHARE_OF_ALL  0.9 // of its connections, when it harms nobody: there are rests to measure in
#define CREDIT_MAX_US 50000
#define CREDIT_ENOUGH 20000 // ends a rest

// A batch that is not followed by another for so long says nothing about PostgreSQL, and so long a
// rest is enough when some query goes on and on.
#define PERIOD_MAX_US 100000

// A batch that runs for so long waits for a lock, or its connection was lost: no list is to blame.
#define BATCH_MAX_US 500000

// Sales that tell something, of each kind; and when what they tell is too old.
#define SAMPLE_SALES  256
#define SAMPLE_MAX_US 10000000

// What chance does to such samples is no harm.
#define NO_HARM 0.15

void tw_yield_init(struct tw_yield *yield, unsigned connections, unsigned workers, uint64_t now_us)
{
    double most = SHARE_OF_ALL * connections;
    *yield = (struct tw_yield){.budget = BUDGET / workers,
                               .share = most,
                               .share_max = most,
                               .credit_us = CREDIT_MAX_US,
                               .at_us = now_us,
                               .interval_began_us = now_us,
                               .samples_began_us = now_us};
}

static void samples_begin(struct tw_yield *yield, uint64_t now_us)
{
    yield->alone = yield->beside = (struct tw_yield_sample){.n = 0};
    yield->samples_began_us = now_us;
}

static double limited(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

// ---- pressed or not -----------------------------------------------------------------------------

static void be_at_ease(struct tw_yield *yield, uint64_t now_us)
{
    yield->pressed = yield->rests = false;
    yield->credit_us = CREDIT_MAX_US;
    samples_begin(yield, now_us);
}

// How much of the present interval the present batch has taken.
static uint64_t batch_took_us(const struct tw_yield *yield, uint64_t now_us)
{
    uint64_t since_us = yield->batch_sent_us > yield->interval_began_us ? yield->batch_sent_us
                                                                        : yield->interval_began_us;
    bool runs = yield->batch_runs && now_us < yield->batch_sent_us + BATCH_MAX_US;
    return runs && now_us > since_us ? now_us - since_us : 0;
}

static void interval_judge(struct tw_yield *yield, uint64_t now_us)
{
    uint64_t lasted_us = now_us - yield->interval_began_us;
    if (lasted_us < INTERVAL_US)
        return;
    yield->interval_busy_us += batch_took_us(yield, now_us);
    double busy = (double)yield->interval_busy_us / (double)lasted_us;
    if (!yield->pressed && busy >= PRESSED_FROM)
        yield->pressed = true;
    else if (yield->pressed && busy < PRESSED_UNTIL)
        be_at_ease(yield, now_us);
    yield->interval_began_us = now_us;
    yield->interval_busy_us = 0;
}

// ---- the bucket ---------------------------------------------------------------------------------

void tw_yield_in_flight(struct tw_yield *yield, unsigned n, uint64_t now_us)
{
    double lasted_us = now_us > yield->at_us ? (double)(now_us - yield->at_us) : 0;
    yield->area_us += lasted_us * yield->in_flight;
    if (yield->pressed) // what runs for long shall not be paid for as long afterwards
        yield->credit_us = limited(yield->credit_us + lasted_us * (yield->share - yield->in_flight),
                                   -CREDIT_MAX_US, CREDIT_MAX_US);
    yield->at_us = now_us > yield->at_us ? now_us : yield->at_us;
    yield->in_flight = n;
}

bool tw_yield_admits(struct tw_yield *yield, uint64_t now_us)
{
    interval_judge(yield, now_us);
    if (!yield->pressed)
        return true;
    if (!yield->rests && yield->credit_us <= 0) {
        yield->rests = true;
        yield->was_alone = false;
        yield->rests_since_us = now_us;
    }
    bool measured = yield->was_alone || now_us - yield->rests_since_us > PERIOD_MAX_US;
    if (yield->rests && measured && yield->credit_us >= CREDIT_ENOUGH)
        yield->rests = false;
    return !yield->rests;
}

// ---- what it costs ------------------------------------------------------------------------------

static void sample_add(struct tw_yield_sample *sample, double us, double area_us, unsigned n)
{
    sample->us += us;
    sample->area_us += area_us;
    sample->n += n;
}

// What one query in flight adds to the time that a sale takes, as a part of it.
static double harm_of_one(const struct tw_yield *yield)
{
    double alone = yield->alone.us / yield->alone.n, beside = yield->beside.us / yield->beside.n;
    double harm = beside / alone - 1, in_flight = yield->beside.area_us / yield->beside.us;
    return harm < NO_HARM ? 0 : harm / in_flight;
}

// Down at once, and up by steps: sales come first, and chance has a part in what was found.
static void samples_judge(struct tw_yield *yield, uint64_t now_us)
{
    if (yield->alone.n >= SAMPLE_SALES && yield->beside.n >= SAMPLE_SALES) {
        double harm = harm_of_one(yield);
        double most = yield->share_max;
        double found = harm * most > yield->budget ? yield->budget / harm : most;
        double step = found < yield->share ? 1 : 0.25;
        yield->share = limited(yield->share + (found - yield->share) * step, SHARE_LEAST, most);
        samples_begin(yield, now_us);
    } else if (now_us - yield->samples_began_us > SAMPLE_MAX_US) {
        samples_begin(yield, now_us);
    }
}

void tw_yield_batch_sent(struct tw_yield *yield, unsigned n, uint64_t now_us)
{
    yield->batch_sent_us = now_us;
    yield->batch_runs = true;
    yield->batch_n = n;
}

void tw_yield_batch_ended(struct tw_yield *yield, uint64_t now_us)
{
    uint64_t period_us = now_us - yield->batch_ended_us;
    yield->interval_busy_us += batch_took_us(yield, now_us);
    yield->batch_runs = false;
    interval_judge(yield, now_us);
    if (yield->pressed && period_us < PERIOD_MAX_US) {
        bool alone = yield->area_us <= 0;
        sample_add(alone ? &yield->alone : &yield->beside, (double)period_us, yield->area_us,
                   yield->batch_n);
        yield->was_alone |= alone;
        samples_judge(yield, now_us);
    }
    yield->batch_ended_us = now_us;
    yield->area_us = 0;
}

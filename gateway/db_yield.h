// SPDX-License-Identifier: Apache-2.0
// db_yield: how much lane slow may do while writes need all that PostgreSQL has.
//
// Where both share its processors, sales lose them to lists long before their queue stands
// (db_shed.h). Elsewhere, with cores to spare or commits that only wait for a disk, they lose
// nothing, and a fixed share would cost lists for nobody's good. So it is measured: the time from
// batch to batch, for each sale, when queries of lane slow were in flight and when none was. What
// one of them costs sales decides how many may be in flight on average, so that all of them
// together cost a twentieth. A bucket of query time keeps them to that; when it is empty the lane
// rests until it is filled and a batch has run alone, which is the measure for the others. Whoever
// sells as much as is asked for, in whatever time, loses nothing: then the measure says so, too.
// Only while batches follow each other; else nobody rests. Runs in: worker. Pure: time comes in.

#ifndef TW_DB_YIELD_H
#define TW_DB_YIELD_H

#include <stdbool.h>
#include <stdint.h>

struct tw_yield {
    double budget;           // part of the sales that lane slow may cost
    double share, share_max; // its queries in flight, on average
    double credit_us;        // query time in the bucket
    uint64_t at_us;          // the state below is since then
    unsigned in_flight;      // of lane slow
    bool rests, was_alone;   // was_alone: a batch has been since the rest began
    uint64_t rests_since_us;
    bool pressed; // batches follow each other
    uint64_t interval_began_us, interval_busy_us;
    uint64_t batch_sent_us, batch_ended_us; // the last one
    bool batch_runs;
    unsigned batch_n; // its sales
    double area_us;   // query time since the last batch ended
    struct tw_yield_sample {
        double us, area_us;
        unsigned n;
    } alone, beside;
    uint64_t samples_began_us;
};

// `connections`: of lane slow; `workers` share what may be lost.
void tw_yield_init(struct tw_yield *yield, unsigned connections, unsigned workers, uint64_t now_us);

// So many queries of lane slow are in flight now: before each of the calls below, and after one was
// sent.
void tw_yield_in_flight(struct tw_yield *yield, unsigned n, uint64_t now_us);

// Whether lane slow may send. True again some time later, without a call.
bool tw_yield_admits(struct tw_yield *yield, uint64_t now_us);

// A batch of n sales was sent; it has ended. One at a time.
void tw_yield_batch_sent(struct tw_yield *yield, unsigned n, uint64_t now_us);
void tw_yield_batch_ended(struct tw_yield *yield, uint64_t now_us);

#endif

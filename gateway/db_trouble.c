// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_trouble.h"

#include <stdio.h>

#include "gateway/log.h"

#define INTERVAL_US 10000000

static uint32_t hash_of(const char *text) // FNV-1a: only tells causes apart
{
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

// The cause's entry, or the one that was said longest ago.
static unsigned entry_of(const struct tw_db_trouble *trouble, uint32_t hash)
{
    unsigned oldest = 0;
    for (unsigned i = 0; i < TW_DB_TROUBLE_CAUSES; i++) {
        if (trouble->causes[i].hash == hash && trouble->causes[i].said_us != 0)
            return i;
        if (trouble->causes[i].said_us < trouble->causes[oldest].said_us)
            oldest = i;
    }
    return oldest;
}

void tw_db_trouble_add(struct tw_db_trouble *trouble, const char *lane, const char *cause,
                       uint64_t next_try_us)
{
    uint64_t now_us = tw_now_us();
    uint32_t hash = hash_of(cause);
    unsigned i = entry_of(trouble, hash);
    if (trouble->failures++ == 0)
        trouble->since_us = now_us;
    if (trouble->causes[i].hash == hash && trouble->causes[i].said_us != 0 &&
        now_us - trouble->causes[i].said_us < INTERVAL_US) {
        trouble->causes[i].unsaid++;
        return;
    }
    char more[64] = "";
    if (trouble->causes[i].hash == hash && trouble->causes[i].unsaid > 0)
        (void)snprintf(more, sizeof(more), "; %u more times since the line before",
                       trouble->causes[i].unsaid);
    trouble->causes[i].hash = hash;
    trouble->causes[i].said_us = now_us;
    trouble->causes[i].unsaid = 0;
    tw_log(TW_LEVEL_WARN, "db_connection_lost", "%s: %s%s; next try in %d ms", lane, cause, more,
           next_try_us > now_us ? (int)((next_try_us - now_us) / 1000) : 0);
}

void tw_db_trouble_over(struct tw_db_trouble *trouble, const char *lane, const char *server)
{
    if (trouble->failures == 0)
        return;
    tw_log(TW_LEVEL_INFO, "db_connected", "%s: connected to %s after %u failures in %d ms", lane,
           server, trouble->failures, (int)((tw_now_us() - trouble->since_us) / 1000));
    trouble->failures = 0;
}

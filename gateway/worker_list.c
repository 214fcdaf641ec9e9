// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker_list.h"

#include "gateway/process_stats.h"
#include "gateway/shared.h"

static uint64_t since(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

const char *tw_worker_state(const struct tw_worker_seen *worker, uint64_t now_us)
{
    const struct tw_worker_life *life = &worker->life;
    if (worker->is_stuck)
        return "stuck";
    if (life->heartbeat_us == 0)
        return "starting";
    if (since(now_us, life->heartbeat_us) > TW_HEARTBEAT_MAX_US)
        return "stuck";
    if (worker->leaves)
        return "draining";
    if (worker->waits)
        return "waiting";
    return (life->ready & TW_READY_ALL) == TW_READY_ALL ? "serving" : "unready";
}

static void put_ms(struct tw_json *json, struct tw_str key, int64_t ms)
{
    tw_json_key(json, key);
    if (ms < 0)
        tw_json_null(json);
    else
        tw_json_decimal_short(json, ms, 3);
}

static void put_ready(struct tw_json *json, uint32_t ready)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{TW_READY_SERVING, "serving"},
                 {TW_READY_DB_READ, "database-read"},
                 {TW_READY_DB_WRITE, "database-write"},
                 {TW_READY_KEYS, "keys"}};
    tw_json_key(json, TW_STR("ready"));
    tw_json_array(json);
    for (size_t i = 0; i < TW_COUNT(names); i++)
        if (ready & names[i].bit)
            tw_json_str(json, tw_str_of(names[i].name));
    tw_json_array_end(json);
}

static void put_worker(struct tw_json *json, const struct tw_worker_seen *worker, uint64_t now_us)
{
    const struct tw_worker_life *life = &worker->life;
    struct tw_process_stats process = tw_process_read_brief(worker->pid);
    TW_JSON_STR(json, "state", tw_str_of(tw_worker_state(worker, now_us)));
    put_ready(json, life->ready);
    put_ms(json, TW_STR("ageSeconds"), (int64_t)since(now_us, life->started_us) / 1000);
    put_ms(json, TW_STR("heartbeatAgeSeconds"),
           life->heartbeat_us ? (int64_t)since(now_us, life->heartbeat_us) / 1000 : -1);
    TW_JSON_I64(json, "requests", (int64_t)worker->requests);
    TW_JSON_I64(json, "requestsInFlight", worker->in_flight);
    TW_JSON_I64(json, "connections", worker->connections);
    tw_json_key(json, TW_STR("memoryBytes"));
    if (!process.is_known)
        tw_json_null(json);
    else
        tw_json_i64(json, (int64_t)process.resident_bytes);
    put_ms(json, TW_STR("cpuSeconds"), process.is_known ? (int64_t)(process.cpu_us / 1000) : -1);
}

void tw_worker_list_json(struct tw_json *json, struct tw_supervisor *supervisor, unsigned n_workers,
                         uint64_t generation, uint64_t now_us)
{
    for (unsigned i = 0; i < n_workers; i++) {
        struct tw_worker_seen worker;
        if (!tw_supervise_see(supervisor, i, &worker))
            continue;
        tw_json_object(json);
        TW_JSON_I64(json, "worker", i);
        TW_JSON_I64(json, "pid", worker.pid);
        TW_JSON_I64(json, "generation", (int64_t)generation);
        put_worker(json, &worker, now_us);
        tw_json_object_end(json);
    }
}

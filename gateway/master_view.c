// SPDX-License-Identifier: Apache-2.0
//
// What the admin port asks for.
#include "gateway/master.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/admin.h"
#include "gateway/jwks_fetch.h"
#include "gateway/supervise.h"
#include "gateway/tls_files.h"
#include "gateway/worker_list.h"

#define WORKERS_MAX 256 // as many as `workers` allows

struct tw_readiness tw_master_readiness(const struct tw_master *master)
{
    return tw_readiness_of(tw_supervise_lives(master->current->supervisor),
                           master->current->n_workers, master->stage != TW_STAGE_RUNNING,
                           tw_now_us());
}

static struct tw_readiness readiness(void *arg)
{
    return tw_master_readiness(arg);
}

// Of the generation in force: what the kernel says is at most a second old.
static size_t look_at_workers(const struct tw_master *master, uint64_t now_us)
{
    const struct tw_generation *current = master->current;
    size_t n = 0;
    for (unsigned i = 0; i < current->n_workers && i < WORKERS_MAX; i++) {
        struct tw_worker_seen seen;
        if (!tw_supervise_see(current->supervisor, i, &seen))
            continue;
        master->worker_stats[n++] = (struct tw_worker_stats){
            .index = i,
            .started_us = seen.life.started_us,
            .heartbeat_us = seen.life.heartbeat_us,
            .process = tw_process_look(master->processes, i, seen.pid, now_us),
        };
    }
    return n;
}

// What the history is made of: shared memory, and nothing that the kernel is asked for.
static struct tw_metrics_view pages_view(const struct tw_master *master)
{
    return (struct tw_metrics_view){
        .shared = master->household.pages,
        .n_pages = master->n_pages,
        .routes = master->household.routes,
        .now_us = tw_now_us(),
    };
}

static struct tw_metrics_view metrics(void *arg)
{
    const struct tw_master *master = arg;
    const struct tw_config *config = master->current->config;
    uint64_t now_us = tw_now_us();
    struct tw_metrics_view view = {
        .shared = master->household.pages,
        .n_pages = master->n_pages,
        .routes = master->household.routes,
        .n_workers_alive = tw_master_alive(master),
        .worker_restarts = master->restarts + tw_supervise_restarts(master->current->supervisor) +
                           (master->leaving ? tw_supervise_restarts(master->leaving->supervisor)
                                            : 0),
        .start_unix_ms = master->start_unix_ms,
        .now_unix_ms = tw_unix_ms(),
        .now_us = now_us,
        .limits = master->household.limits,
        .policies = config->limits,
        .n_policies = config->n_limits,
        .readiness = tw_master_readiness(master),
        .workers = master->worker_stats,
        .n_workers = look_at_workers(master, now_us),
        .self = tw_process_look(master->processes, WORKERS_MAX, getpid(), now_us),
    };
    view.jwks = tw_jwks_fetch_stats(master->current->jwks, &view.n_jwks);
    view.certificates = tw_tls_files_stats(master->current->tls_files, &view.n_certificates);
    return view;
}

static const char *change_word(const struct tw_master *master)
{
    if (master->stage != TW_STAGE_RUNNING)
        return "stop";
    if (master->heir.pid)
        return "upgrade";
    return master->next || master->settling != TW_SETTLED ? "reload" : "none";
}

static struct tw_operation operation(void *arg)
{
    const struct tw_master *master = arg;
    const struct tw_worker_page *page = tw_master_page(master);
    return (struct tw_operation){
        .pid = getpid(),
        .started_unix_ms = master->start_unix_ms,
        .readiness = tw_master_readiness(master),
        .readiness_since_unix_ms = master->ready_changed_unix_ms,
        .change = change_word(master),
        .generation = master->current->number,
        .n_workers = master->current->n_workers,
        .loaded_unix_ms = 1000 * (int64_t)atomic_load(&page->metrics[TW_METRIC_CONFIG_LOADED]),
        .restart_keys = master->restart_keys,
        .reload = &master->reload,
        .upgrade = &master->upgrade,
    };
}

static void workers(void *arg, struct tw_json *json)
{
    const struct tw_master *master = arg;
    const struct tw_generation *all[] = {master->current, master->next, master->leaving};
    for (size_t i = 0; i < TW_COUNT(all); i++)
        if (all[i])
            tw_worker_list_json(json, all[i]->supervisor, all[i]->n_workers, all[i]->number,
                                tw_now_us());
}

// tw_change_step() does it, after this turn of the loop.
static const char *reload(void *arg)
{
    struct tw_master *master = arg;
    if (master->stage != TW_STAGE_RUNNING)
        return "it is stopping";
    if (master->heir.pid || master->upgrade_wanted)
        return "an upgrade comes first";
    master->reload_wanted = true;
    return NULL;
}

bool tw_master_start_admin(struct tw_master *master, int fd)
{
    master->processes = tw_process_watch_new(WORKERS_MAX + 1);
    master->worker_stats = calloc(WORKERS_MAX, sizeof(master->worker_stats[0]));
    if (master->processes && master->worker_stats) {
        struct tw_metrics_view view = pages_view(master);
        master->history = tw_status_history_new(&view);
    }
    if (!master->history) {
        snprintf(master->error, sizeof(master->error), "cannot open the admin port: out of memory");
        close(fd);
        return false;
    }
    const struct tw_admin_source source = {
        .readiness = readiness,
        .metrics = metrics,
        .operation = operation,
        .workers = workers,
        .reload = reload,
        .history = master->history,
        .arg = master,
    };
    master->admin = tw_admin_start(master->household.base, fd, master->current->config, &source,
                                   master->error, sizeof(master->error));
    return master->admin != NULL;
}

void tw_master_take_sample(struct tw_master *master)
{
    if (!master->admin)
        return;
    struct tw_metrics_view view = pages_view(master);
    tw_status_history_tick(master->history, &view, tw_unix_ms());
}

void tw_master_note(struct tw_outcome *outcome, const char *why)
{
    *outcome = (struct tw_outcome){.at_unix_ms = tw_unix_ms(), .failed = why != NULL};
    if (why)
        snprintf(outcome->why, sizeof(outcome->why), "%.*s", (int)strcspn(why, "\n"), why);
}

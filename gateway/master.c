// SPDX-License-Identifier: Apache-2.0
// master: the process that is started: it prepares, supervises and stops, and serves no client.
//
// Order of a start: shared region, listening sockets, key sets, admin port, workers. Whatever fails
// before the last is one line on standard error and exit code 1. Order of a stop (SIGTERM, SIGINT):
// /readyz turns 503; after shutdown.drain_delay the workers are told to drain and the listening
// sockets close; who still lives 1 s after shutdown.drain_timeout is killed; exit code 0. A SIGINT
// during a stop kills at once. Not for: workers' lives (supervise), pages (admin), keys
// (jwks_fetch, auth_files). Runs in: master, on one libevent loop, which never blocks.

#include "gateway/heritage.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/admin.h"
#include "gateway/auth_files.h"
#include "gateway/cpus.h"
#include "gateway/jwks_fetch.h"
#include "gateway/listen.h"
#include "gateway/log.h"
#include "gateway/supervise.h"
#include "gateway/tls_bundle.h"
#include "gateway/tls_files.h"

#define TICK_MS       500
#define KILL_AFTER_MS 1000 // beyond shutdown.drain_timeout

// A stop goes through these in order.
enum stage { RUNNING, ANNOUNCED, DRAINING, KILLED };

static const int handled_signals[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2};

struct master {
    const struct tw_config *config;
    const struct tw_route_table *routes;
    struct event_base *base;
    struct tw_shared *shared; // one page per worker and one of the master's own
    struct tw_limit_table *limits;
    struct tw_count_table *peer_counts;
    struct tw_count_table *in_progress;
    unsigned n_workers;
    int *listen_fds; // NULL once the workers drain
    struct tw_auth_files *auth_files;
    struct tw_jwks_fetch *jwks;
    struct tw_tls_files *tls_files;
    struct tw_admin *admin;
    struct tw_supervisor *supervisor;
    struct event *signals[TW_COUNT(handled_signals)];
    struct event *tick;
    struct event *stage_timer; // the next step of a stop
    enum stage stage;
    int64_t start_unix_ms;
    bool was_ready; // what the log said last
    char error[512];
};

static struct timeval timeval_ms(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static enum tw_level log_level(const struct tw_config *config)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < TW_COUNT(names); i++)
        if (strcmp(config->log_level, names[i]) == 0)
            return (enum tw_level)i;
    return TW_LEVEL_INFO;
}

static struct tw_readiness readiness(void *arg)
{
    struct master *master = arg;
    return tw_readiness_of(tw_supervise_lives(master->supervisor), master->n_workers,
                           master->stage != RUNNING, tw_now_us());
}

static struct tw_metrics_view metrics(void *arg)
{
    struct master *master = arg;
    struct tw_metrics_view view = {
        .shared = master->shared,
        .n_pages = master->n_workers + 1,
        .routes = master->routes,
        .n_workers_alive = tw_supervise_alive(master->supervisor),
        .worker_restarts = tw_supervise_restarts(master->supervisor),
        .start_unix_ms = master->start_unix_ms,
        .now_us = tw_now_us(),
        .limits = master->limits,
    };
    view.jwks = tw_jwks_fetch_stats(master->jwks, &view.n_jwks);
    view.certificates = tw_tls_files_stats(master->tls_files, &view.n_certificates);
    return view;
}

static void on_unknown_kid(void *arg, size_t issuer)
{
    struct master *master = arg;
    tw_jwks_fetch_unknown_kid(master->jwks, issuer);
}

static void log_readiness(struct master *master)
{
    struct tw_readiness now = readiness(master);
    if (now.ready == master->was_ready)
        return;
    master->was_ready = now.ready;
    tw_log(now.ready || now.draining ? TW_LEVEL_INFO : TW_LEVEL_WARN,
           now.ready ? "ready" : "unready", "%u of %u workers are ready%s%s%s%s", now.n_ready,
           now.n_expected, now.draining ? "; draining" : "",
           now.reasons & TW_UNREADY_DATABASE ? "; the database is missing" : "",
           now.reasons & TW_UNREADY_KEYS ? "; keys are missing" : "",
           now.reasons & TW_UNREADY_WORKERS ? "; workers are missing" : "");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct master *master = arg;
    tw_supervise_tick(master->supervisor);
    tw_tls_files_tick(master->tls_files);
    log_readiness(master);
    if (tw_log_pending())
        tw_log_flush();
    tw_metric_add(tw_shared_worker(master->shared, master->n_workers), TW_METRIC_LOG_LINES_DROPPED,
                  (int64_t)tw_log_take_dropped());
}

static void leave_if_alone(struct master *master)
{
    if (master->stage >= DRAINING && tw_supervise_alive(master->supervisor) == 0)
        (void)event_base_loopbreak(master->base);
}

static void kill_workers(struct master *master, const char *why)
{
    (void)evtimer_del(master->stage_timer);
    if (master->stage < DRAINING)
        tw_supervise_drain(master->supervisor); // so that the killed are not replaced
    master->stage = KILLED;
    tw_log(TW_LEVEL_WARN, "workers_killed", "%s: killing %u workers", why,
           tw_supervise_kill(master->supervisor));
    leave_if_alone(master);
}

static void begin_drain(struct master *master)
{
    uint64_t timeout_ms = master->config->shutdown_drain_timeout_ms;
    struct timeval hard_end = timeval_ms(timeout_ms + KILL_AFTER_MS);
    master->stage = DRAINING;
    tw_log(TW_LEVEL_INFO, "draining", "%u workers finish what they have begun",
           tw_supervise_alive(master->supervisor));
    tw_supervise_drain(master->supervisor);
    // Connections that come now are refused instead of waiting for nobody.
    tw_listen_close(master->listen_fds, master->n_workers * master->config->n_listens);
    master->listen_fds = NULL;
    (void)evtimer_add(master->stage_timer, &hard_end);
    leave_if_alone(master);
}

static void on_stage(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct master *master = arg;
    if (master->stage == ANNOUNCED)
        begin_drain(master);
    else
        kill_workers(master, "shutdown.drain_timeout is over");
}

static void begin_stop(struct master *master, int number)
{
    uint64_t delay_ms = master->config->shutdown_drain_delay_ms;
    struct timeval delay = timeval_ms(delay_ms);
    master->stage = ANNOUNCED;
    tw_log(TW_LEVEL_INFO, "stopping", "stopped by %s; accepting goes on for %u ms",
           number == SIGINT ? "SIGINT" : "SIGTERM", (unsigned)delay_ms);
    log_readiness(master);
    if (delay_ms == 0)
        begin_drain(master);
    else
        (void)evtimer_add(master->stage_timer, &delay);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct master *master = arg;
    if (number == SIGCHLD) {
        tw_supervise_reap(master->supervisor);
        leave_if_alone(master);
    } else if (number != SIGTERM && number != SIGINT) {
        tw_log(TW_LEVEL_WARN, "signal_ignored", "%s is not supported yet: restart instead",
               number == SIGHUP ? "reload" : strsignal((int)number));
    } else if (master->stage == RUNNING) {
        begin_stop(master, (int)number);
    } else if (number == SIGINT && master->stage != KILLED) {
        kill_workers(master, "SIGINT during the stop");
    }
}

// libevent's own complaints become lines of the log.
static void on_libevent_log(int severity, const char *message)
{
    enum tw_level level = severity >= EVENT_LOG_ERR    ? TW_LEVEL_ERROR
                          : severity == EVENT_LOG_WARN ? TW_LEVEL_WARN
                                                       : TW_LEVEL_DEBUG;
    tw_log(level, "libevent", "%s", message);
}

static bool fail(struct master *master, const char *what)
{
    snprintf(master->error, sizeof(master->error), "%s", what);
    return false;
}

static bool add_events(struct master *master)
{
    struct timeval tick = timeval_ms(TICK_MS);
    for (size_t i = 0; i < TW_COUNT(handled_signals); i++) {
        master->signals[i] = evsignal_new(master->base, handled_signals[i], on_signal, master);
        if (!master->signals[i] || evsignal_add(master->signals[i], NULL) != 0)
            return fail(master, "cannot handle signals");
    }
    master->stage_timer = evtimer_new(master->base, on_stage, master);
    master->tick = event_new(master->base, -1, EV_PERSIST, on_tick, master);
    if (!master->stage_timer || !master->tick || event_add(master->tick, &tick) != 0)
        return fail(master, "cannot set timers: out of memory");
    return true;
}

static bool make_supervisor(struct master *master)
{
    struct tw_supervisor_setup setup = {
        .base = master->base,
        .config = master->config,
        .routes = master->routes,
        .shared = master->shared,
        .limits = master->limits,
        .peer_counts = master->peer_counts,
        .in_progress = master->in_progress,
        .n_workers = master->n_workers,
        .listen_fds = master->listen_fds,
        .log_level = log_level(master->config),
        .on_unknown_kid = on_unknown_kid,
        .arg = master,
    };
    master->supervisor = tw_supervise_new(&setup);
    return master->supervisor || fail(master, "cannot start workers: out of memory");
}

static bool start_files(struct master *master)
{
    struct tw_worker_page *page = tw_shared_worker(master->shared, master->n_workers);
    master->auth_files = tw_auth_files_start(master->base, master->config, master->shared, page,
                                             master->error, sizeof(master->error));
    if (!master->auth_files)
        return false;
    master->tls_files = tw_tls_files_start(master->base, master->config, master->shared, page,
                                           master->error, sizeof(master->error));
    if (!master->tls_files)
        return false;
    master->jwks = tw_jwks_fetch_start(master->base, master->config, master->shared, master->error,
                                       sizeof(master->error));
    return master->jwks != NULL;
}

// Everything up to the first fork; false with master->error.
static bool prepare(struct master *master)
{
    const struct tw_admin_source source = {readiness, metrics, master};
    const struct tw_config *config = master->config;
    char *error = master->error;
    master->start_unix_ms = tw_unix_ms();
    master->n_workers = config->workers ? config->workers : tw_cpus_available();
    master->base = event_base_new();
    if (!master->base)
        return fail(master, "cannot start: libevent has no way to wait for events");
    master->shared = tw_shared_new(master->n_workers + 1, tw_slots(config));
    master->limits = tw_limit_table_new(config->rate_limits_entries);
    master->peer_counts = tw_count_table_new(master->n_workers);
    master->in_progress = tw_count_table_new(master->n_workers);
    if (!master->shared || !master->limits || !master->peer_counts || !master->in_progress)
        return fail(master, "cannot start: no shared memory");
    if (!tw_listen_open(config, master->n_workers, &master->listen_fds, error,
                        sizeof(master->error)))
        return false;
    if (!start_files(master) || !make_supervisor(master))
        return false;
    master->admin = tw_admin_start(master->base, config, &source, error, sizeof(master->error));
    return master->admin && add_events(master);
}

// One line that people read and tests parse: URLs in the order of `listen`, then the admin port.
static void log_listening(const struct master *master)
{
    const struct tw_config *config = master->config;
    char line[1024], name[64];
    size_t n = 0;
    for (size_t i = 0; i < config->n_listens && n < sizeof(line); i++) {
        const struct tw_listen *listener = &config->listens[i];
        tw_listen_name(listener->address, tw_listen_port(master->listen_fds[i]), name,
                       sizeof(name));
        int more = snprintf(line + n, sizeof(line) - n, "%s://%s ",
                            listener->n_certificates > 0 ? "https" : "http", name);
        n += more > 0 ? (size_t)more : 0;
    }
    tw_listen_name(config->admin_address, tw_admin_port(master->admin), name, sizeof(name));
    if (n < sizeof(line))
        snprintf(line + n, sizeof(line) - n, "admin http://%s", name);
    tw_log(TW_LEVEL_INFO, "listening", "%s", line);
}

static void dispose(struct master *master)
{
    tw_jwks_fetch_free(master->jwks); // turns the loop once: the rest must still be there
    tw_auth_files_free(master->auth_files);
    tw_tls_files_free(master->tls_files);
    tw_admin_free(master->admin);
    tw_supervise_free(master->supervisor);
    if (master->listen_fds)
        tw_listen_close(master->listen_fds, master->n_workers * master->config->n_listens);
    for (size_t i = 0; i < TW_COUNT(handled_signals); i++)
        if (master->signals[i])
            event_free(master->signals[i]);
    if (master->stage_timer)
        event_free(master->stage_timer);
    if (master->tick)
        event_free(master->tick);
    if (master->base)
        event_base_free(master->base);
    event_set_log_callback(NULL);
    tw_log_flush();
}

// Runs from the first fork to the last death; false with master->error.
static bool run(struct master *master)
{
    log_listening(master);
    if (!tw_supervise_start(master->supervisor)) {
        snprintf(master->error, sizeof(master->error), "cannot start workers: %s", strerror(errno));
        return false;
    }
    if (event_base_dispatch(master->base) != 0)
        return fail(master, "the event loop has failed");
    tw_log(TW_LEVEL_INFO, "stopped", "all workers have left");
    return true;
}

int tw_master_run(const struct tw_config *config, const struct tw_route_table *routes)
{
    struct master master = {.config = config, .routes = routes};
    (void)signal(SIGPIPE, SIG_IGN);
    tw_log_open("master", -1, log_level(config));
    event_set_log_callback(on_libevent_log);
    bool done = prepare(&master) && run(&master);
    if (!done)
        fprintf(stderr, "tillway: %s\n", master.error);
    dispose(&master);
    return done ? 0 : 1;
}

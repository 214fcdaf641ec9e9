// SPDX-License-Identifier: Apache-2.0
// master: the process that is started: it prepares, supervises, changes over and stops, and serves
// no client.
//
// Order of a start: shared region, listening sockets, key sets, admin port, workers. Whatever fails
// before the last is one line on standard error and exit code 1. Order of a stop (SIGTERM, SIGINT):
// /readyz turns 503; after shutdown.drain_delay the workers are told to drain and the listening
// sockets close; who still lives 1 s after shutdown.drain_timeout is killed; exit code 0. A SIGINT
// during a stop kills at once.
//
// Changing over (SIGHUP: other files, SIGUSR2: another binary) is the same in both cases: new
// workers are forked on the same sockets, and wait; when all of them have what the old ones have
// (keys, database), they accept; when all of them do, the old ones drain. Until then nothing has
// happened, and a failure leaves no trace but a line in the log. With SIGUSR2 the new workers'
// master is another process (upgrade.h), which tells this one that it may go.
//
// What a signal asks for is done between two turns of the loop (tw_change_step), as some of it must
// not be done by an event. Not for: workers' lives (supervise), what belongs to one configuration
// (generation), pages (admin). Runs in: master, on one libevent loop, which never blocks.

#include "gateway/master.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/admin.h"
#include "gateway/db_check.h"
#include "gateway/db_shared.h"
#include "gateway/log.h"
#include "gateway/notify.h"
#include "gateway/schedule.h"
#include "gateway/supervise.h"
#include "gateway/tls_files.h"
#include "gateway/trace_export.h"

#define TICK_MS        500
#define KILL_AFTER_MS  1000 // beyond shutdown.drain_timeout
#define STOP_LINGER_MS 1000 // for idle HTTP/1 connections to come with their last request

static const int handled_signals[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2};

static struct timeval timeval_ms(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

struct tw_worker_page *tw_master_page(const struct tw_master *master)
{
    return tw_shared_worker(master->household.pages, 0);
}

// ---- what is told -------------------------------------------------------------------------------

unsigned tw_master_alive(const struct tw_master *master)
{
    const struct tw_generation *all[] = {master->current, master->next, master->leaving};
    unsigned n = 0;
    for (size_t i = 0; i < TW_COUNT(all); i++)
        n += all[i] ? tw_supervise_alive(all[i]->supervisor) : 0;
    return n;
}

static void log_readiness(struct tw_master *master)
{
    if (!master->current || master->handed_over)
        return;
    struct tw_readiness now = tw_master_readiness(master);
    if (now.ready == master->was_ready)
        return;
    master->was_ready = now.ready;
    master->ready_changed_unix_ms = tw_unix_ms();
    tw_log(now.ready || now.draining ? TW_LEVEL_INFO : TW_LEVEL_WARN,
           now.ready ? "ready" : "unready", "%u of %u workers are ready%s%s%s%s", now.n_ready,
           now.n_expected, now.draining ? "; draining" : "",
           now.reasons & TW_UNREADY_DATABASE ? "; the database is missing" : "",
           now.reasons & TW_UNREADY_KEYS ? "; keys are missing" : "",
           now.reasons & TW_UNREADY_WORKERS ? "; workers are missing" : "");
}

// A start asks nobody whether the database knows the zone: workers do, when they connect.
static void log_zone(struct tw_master *master)
{
    char why[512];
    if (!master->current || master->handed_over)
        return;
    bool lacks = tw_supervise_any_has(master->current->supervisor) & TW_LACKS_ZONE;
    if (lacks && !master->lacks_zone) {
        tw_db_check_say_zone(master->current->config, why, sizeof(why));
        tw_log(TW_LEVEL_ERROR, "time_zone_unknown", "%s", why);
    }
    master->lacks_zone = lacks;
}

// One line that people read and tests parse: URLs in the order of `listen`, then the admin port.
void tw_master_log_listening(const struct tw_master *master)
{
    const struct tw_generation *current = master->current;
    const struct tw_config *config = current->config;
    char line[1024], name[64];
    size_t n = 0;
    for (size_t i = 0; i < config->n_listens && n < sizeof(line); i++) {
        const struct tw_listen *listener = &config->listens[i];
        tw_listen_name(listener->address, tw_listen_port(current->sockets.fds[i]), name,
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

// ---- stopping -----------------------------------------------------------------------------------

static void kill_workers(struct tw_master *master, const char *why)
{
    const struct tw_generation *all[] = {master->current, master->next, master->leaving};
    unsigned n = 0;
    (void)evtimer_del(master->stage_timer);
    for (size_t i = 0; i < TW_COUNT(all); i++)
        if (all[i]) {
            if (master->stage < TW_STAGE_DRAINING)
                tw_supervise_drain(all[i]->supervisor, 0); // so that the killed are not replaced
            n += tw_supervise_kill(all[i]->supervisor);
        }
    master->stage = TW_STAGE_KILLED;
    tw_log(TW_LEVEL_WARN, "workers_killed", "%s: killing %u workers", why, n);
}

void tw_master_drain(struct tw_master *master, uint32_t linger_ms)
{
    const struct tw_config *config = master->current->config;
    struct timeval hard_end = timeval_ms(config->shutdown_drain_timeout_ms + KILL_AFTER_MS);
    master->stage = TW_STAGE_DRAINING;
    tw_log(TW_LEVEL_INFO, "draining", "%u workers finish what they have begun",
           tw_master_alive(master));
    tw_supervise_drain(master->current->supervisor, linger_ms);
    if (master->leaving)
        tw_supervise_drain(master->leaving->supervisor, linger_ms);
    // Connections that come now are refused instead of waiting for nobody.
    tw_listen_close(&master->current->sockets);
    if (master->leaving)
        tw_listen_close(&master->leaving->sockets);
    (void)evtimer_add(master->stage_timer, &hard_end);
}

static void on_stage(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tw_master *master = arg;
    if (master->stage == TW_STAGE_ANNOUNCED)
        tw_master_drain(master, STOP_LINGER_MS);
    else
        kill_workers(master, "shutdown.drain_timeout is over");
}

static void begin_stop(struct tw_master *master, int number)
{
    tw_change_end(master);
    if (!master->current) {
        snprintf(master->error, sizeof(master->error), "stopped before it has taken over");
        master->done = true;
        return;
    }
    uint64_t delay_ms = master->current->config->shutdown_drain_delay_ms;
    struct timeval delay = timeval_ms(delay_ms);
    master->stage = TW_STAGE_ANNOUNCED;
    tw_log(TW_LEVEL_INFO, "stopping", "stopped by %s; accepting goes on for %u ms",
           number == SIGINT ? "SIGINT" : "SIGTERM", (unsigned)delay_ms);
    tw_notify("STOPPING=1\nSTATUS=Draining");
    log_readiness(master);
    if (delay_ms == 0)
        tw_master_drain(master, STOP_LINGER_MS);
    else
        (void)evtimer_add(master->stage_timer, &delay);
}

// ---- the loop -----------------------------------------------------------------------------------

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tw_master *master = arg;
    const struct tw_generation *all[] = {master->current, master->next, master->leaving};
    for (size_t i = 0; i < TW_COUNT(all); i++)
        if (all[i]) {
            tw_supervise_tick(all[i]->supervisor);
            tw_tls_files_tick(all[i]->tls_files);
        }
    log_readiness(master);
    log_zone(master);
    tw_master_take_sample(master);
    tw_notify_alive(tw_now_us());
    if (tw_log_pending())
        tw_log_flush();
    tw_metric_add(tw_master_page(master), TW_METRIC_LOG_LINES_DROPPED,
                  (int64_t)tw_log_take_dropped());
}

// tw_change_step() does the rest.
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

// As process 1 of a container we inherit strangers, too.
static void reap(struct tw_master *master)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == master->successor)
            master->successor = 0;
        if (pid == master->heir.pid) {
            master->heir.is_dead = true;
            master->heir.status = status;
        } else if (master->next && tw_supervise_take_death(master->next->supervisor, pid, status)) {
            master->next_has_deaths = true;
        } else if (!(master->current &&
                     tw_supervise_take_death(master->current->supervisor, pid, status)) &&
                   master->leaving) {
            (void)tw_supervise_take_death(master->leaving->supervisor, pid, status);
        }
    }
    if (master->current)
        tw_supervise_refill(master->current->supervisor);
}

static void reopen_logs(struct tw_master *master)
{
    struct tw_generation *all[] = {master->current, master->next, master->leaving};
    bool any_file = false, any = false;
    for (size_t i = 0; i < TW_COUNT(all); i++)
        if (all[i]) {
            any_file |= all[i]->log.fd >= 0;
            any |= tw_generation_reopen_log(all[i]);
        }
    if (any)
        tw_log(TW_LEVEL_INFO, "log_reopened", "the log's file was opened anew");
    else if (!any_file)
        tw_log(TW_LEVEL_INFO, "signal_ignored", "the log is standard output: nothing to reopen");
}

// Whoever has taken over does what is asked for by signals that come here still.
static bool was_sent_on(const struct tw_master *master, int number)
{
    bool is_wish = number == SIGHUP || number == SIGUSR1 || number == SIGUSR2;
    return is_wish && master->successor != 0 && kill(master->successor, number) == 0;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    struct tw_master *master = arg;
    if (number == SIGUSR1)
        reopen_logs(master);
    if (was_sent_on(master, (int)number))
        return;
    if (number == SIGCHLD) {
        reap(master);
    } else if (number == SIGUSR1) {
        master->heir.logs_have_moved = master->heir.pid != 0;
    } else if (number == SIGHUP) {
        master->reload_wanted = true;
    } else if (number == SIGUSR2) {
        master->upgrade_wanted = true;
    } else if (master->stage == TW_STAGE_RUNNING) {
        begin_stop(master, (int)number);
    } else if (number == SIGINT && master->stage != TW_STAGE_KILLED) {
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

// ---- start and end ------------------------------------------------------------------------------

static bool fail(struct tw_master *master, const char *what)
{
    snprintf(master->error, sizeof(master->error), "%s", what);
    return false;
}

static bool add_events(struct tw_master *master)
{
    struct event_base *base = master->household.base;
    struct timeval tick = timeval_ms(TICK_MS);
    for (size_t i = 0; i < TW_COUNT(handled_signals); i++) {
        master->signals[i] = evsignal_new(base, handled_signals[i], on_signal, master);
        if (!master->signals[i] || evsignal_add(master->signals[i], NULL) != 0)
            return fail(master, "cannot handle signals");
    }
    master->stage_timer = evtimer_new(base, on_stage, master);
    master->look = event_new(base, -1, EV_PERSIST, on_look, NULL);
    master->tick = event_new(base, -1, EV_PERSIST, on_tick, master);
    if (!master->stage_timer || !master->look || !master->tick ||
        event_add(master->tick, &tick) != 0)
        return fail(master, "cannot set timers: out of memory");
    return true;
}

static bool furnish(struct tw_master *master, const struct tw_config *config)
{
    struct tw_household *household = &master->household;
    household->routes = master->setup->routes;
    household->base = event_base_new();
    if (!household->base)
        return fail(master, "cannot start: libevent has no way to wait for events");
    household->pages = tw_shared_new(TW_ROWS_MAX, 1);
    household->limits = tw_limit_table_new(config->rate_limits_entries);
    household->peer_counts = tw_count_table_new(TW_ROWS_MAX);
    household->in_progress = tw_count_table_new(TW_ROWS_MAX);
    if (!household->pages || !household->limits || !household->peer_counts ||
        !household->in_progress)
        return fail(master, "cannot start: no shared memory");
    if (master->inherited.control_fd >= 0)
        tw_db_written_elsewhere(tw_shared_db(household->pages), UINT64_MAX);
    return add_events(master);
}

// The admin port's socket: a new one, or what was inherited if it is the one that is asked for.
static bool open_admin(struct tw_master *master, const struct tw_config *config, int *fd)
{
    const struct tw_socket_name *held = &master->inherited.admin;
    *fd = master->inherited.admin_fd;
    if (*fd >= 0 && held->port == config->admin_port &&
        strcmp(held->address, config->admin_address) == 0)
        return true;
    if (*fd >= 0)
        close(*fd);
    *fd = tw_listen_single(config->admin_address, (uint16_t)config->admin_port, "admin.port",
                           master->error, sizeof(master->error));
    return *fd >= 0;
}

// The workers of a start of its own accept at once; an heir's wait until all of them are ready.
static bool begin(struct tw_master *master, struct tw_config *config)
{
    int admin_fd;
    if (!open_admin(master, config, &admin_fd)) {
        tw_config_free(config);
        return false;
    }
    master->inherited.admin_fd = admin_fd;
    if (!tw_change_begin(master, config))
        return false;
    if (master->inherited.control_fd >= 0) {
        master->need = master->inherited.need;
        master->wish = TW_READY_CACHE;
        return true;
    }
    tw_change_at_once(master);
    master->inherited.admin_fd = -1;
    if (!tw_master_start_admin(master, admin_fd))
        return false;
    tw_master_log_listening(master);
    tw_notify("READY=1\nSTATUS=Serving");
    return true;
}

// Runs until the last death; false with master->error.
static bool run(struct tw_master *master)
{
    while (!master->done) {
        if (event_base_loop(master->household.base, EVLOOP_ONCE) != 0)
            return fail(master, "the event loop has failed");
        tw_change_step(master);
        if (master->stage >= TW_STAGE_DRAINING && tw_master_alive(master) == 0)
            master->done = !master->leaving && tw_trace_export_finish(master->current->traces);
    }
    if (master->error[0] != '\0' && master->stage == TW_STAGE_RUNNING)
        return false;
    tw_log(TW_LEVEL_INFO, "stopped", "all workers have left");
    return true;
}

static void dispose(struct tw_master *master)
{
    struct event *events[] = {master->stage_timer, master->look, master->tick};
    tw_change_forget_heir(master);
    tw_admin_free(master->admin);
    tw_generation_free(master->current);
    tw_generation_free(master->next);
    tw_generation_free(master->leaving);
    for (size_t i = 0; i < TW_COUNT(handled_signals); i++)
        if (master->signals[i])
            event_free(master->signals[i]);
    for (size_t i = 0; i < TW_COUNT(events); i++)
        if (events[i])
            event_free(events[i]);
    if (master->household.base)
        event_base_free(master->household.base);
    tw_listen_close(&master->inherited.sockets);
    tw_status_history_free(master->history);
    tw_process_watch_free(master->processes);
    free(master->worker_stats);
    tw_shared_free(master->household.pages);
    event_set_log_callback(NULL);
    tw_log_flush();
}

int tw_master_run(const struct tw_master_setup *setup, struct tw_config *config)
{
    struct tw_master master = {.setup = setup, .heir.fd = -1, .start_unix_ms = tw_unix_ms()};
    master.ready_changed_unix_ms = master.start_unix_ms;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); // a log file at its limit (ulimit -f) costs lines
    (void)tw_upgrade_inherit(&master.inherited);
    const struct tw_log_setup log = tw_generation_log_setup(config);
    tw_log_open("master", -1, &log);
    event_set_log_callback(on_libevent_log);
    tw_schedule_patient();
    bool furnished = furnish(&master, config);
    if (!furnished)
        tw_config_free(config);
    bool done = furnished && begin(&master, config) && run(&master);
    if (!done)
        fprintf(stderr, "tillway: %s\n", master.error);
    dispose(&master);
    return done ? 0 : 1;
}

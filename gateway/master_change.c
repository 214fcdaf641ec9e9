// SPDX-License-Identifier: Apache-2.0
//
// One change at a time: a signal that comes meanwhile is remembered, and two of a kind are one.
#include "gateway/master.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/admin.h"
#include "gateway/db_check.h"
#include "gateway/db_shared.h"
#include "gateway/ipc.h"
#include "gateway/log.h"
#include "gateway/notify.h"
#include "gateway/supervise.h"
#include "gateway/trace_export.h"

#define LOOK_MS       20   // how often a change is looked at
#define KILL_AFTER_MS 1000 // beyond shutdown.drain_timeout
#define SETTLE_MAX_MS 2000 // for workers that were told to accept, or no longer to, to do so
#define WISH_MAX_MS   3000 // for what is only nice to have

// ---- one generation after another -------------------------------------------------

static bool is_changing(const struct tw_master *master)
{
    return master->next || master->leaving || master->settling != TW_SETTLED || master->heir.pid;
}

// Frees it; its workers are dead, or see that they are alone.
static void bury(struct tw_master *master, struct tw_generation **generation)
{
    struct tw_generation *gone = *generation;
    *generation = NULL; // freeing it turns the loop
    master->restarts += tw_supervise_restarts(gone->supervisor);
    if (master->current)
        tw_trace_export_adopt(master->current->traces, gone->traces);
    tw_generation_free(gone);
}

static void look_often(struct tw_master *master)
{
    struct timeval often = {.tv_usec = LOOK_MS * 1000};
    (void)event_add(master->look, &often);
}

bool tw_change_begin(struct tw_master *master, struct tw_config *config)
{
    const struct tw_sockets *held = master->inherited.sockets.fds ? &master->inherited.sockets
                                                                  : NULL;
    struct tw_generation *next = tw_generation_new(&master->household, config, master->current,
                                                   held, true, master->error,
                                                   sizeof(master->error));
    if (!next)
        return false;
    next->number = ++master->n_generations;
    unsigned end = tw_generation_end_row(next);
    master->n_pages = end > master->n_pages ? end : master->n_pages;
    tw_count_table_use(master->household.peer_counts, master->n_pages);
    tw_count_table_use(master->household.in_progress, master->n_pages);
    if (!tw_supervise_start(next->supervisor)) {
        snprintf(master->error, sizeof(master->error), "cannot start workers: %s", strerror(errno));
        tw_generation_free(next);
        return false;
    }
    master->next = next;
    master->next_has_deaths = false;
    master->wish_until_us = 0;
    master->next_until_us = tw_now_us() + next->config->reload_timeout_ms * 1000;
    look_often(master);
    return true;
}

// Everything stays as it was. `why` may have several lines, of which the log gets the first.
static void reload_failed(struct tw_master *master, enum tw_status status, const char *why)
{
    const char *more = strchr(why, '\n');
    int n = more ? (int)(more - why) : (int)strlen(why);
    tw_metric_add(tw_master_page(master), TW_METRIC_RELOADS_FAILED, 1);
    tw_log(TW_LEVEL_ERROR, "reload_failed", "%.*s%s; the configuration stays as it was", n, why,
           more ? " (and more: tillway -t tells)" : "");
    tw_notify("READY=1\nSTATUS=The last reload has failed: see the log");
    tw_master_note(&master->reload, why);
    tw_admin_reload_over(master->admin, status, why);
}

// `next` is killed; without a `current` this process has no purpose.
static void give_up_next(struct tw_master *master, enum tw_status status, const char *why)
{
    (void)tw_supervise_kill(master->next->supervisor);
    tw_supervise_drain(master->next->supervisor, 0); // so that the killed are not replaced
    master->leaving = master->next;
    master->next = NULL;
    master->leaving_until_us = UINT64_MAX;
    if (master->current) {
        reload_failed(master, status, why);
        return;
    }
    snprintf(master->error, sizeof(master->error), "%s", why);
    master->done = true;
}

static void settle(struct tw_master *master, enum tw_settling what)
{
    master->settling = what;
    master->settle_us = tw_now_us() + SETTLE_MAX_MS * 1000;
}

// From here on there is no way back.
static void put_in_force(struct tw_master *master)
{
    struct tw_generation *before = master->current;
    master->leaving = before;
    master->current = master->next;
    master->next = NULL;
    master->leaving_until_us = UINT64_MAX;
    settle(master, TW_SETTLING_NEW);
    tw_supervise_accept(master->current->supervisor);
    if (before) {
        tw_admin_set_config(master->admin, master->current->config);
        tw_log_flush();
        tw_log_open("master", -1, &master->current->log);
    }
}

static void drain_leaving(struct tw_master *master)
{
    uint64_t timeout_ms = master->leaving->config->shutdown_drain_timeout_ms;
    master->leaving_until_us = tw_now_us() + (timeout_ms + KILL_AFTER_MS) * 1000;
    tw_supervise_drain(master->leaving->supervisor, (uint32_t)(timeout_ms / 2));
}

static void note_load(const struct tw_master *master)
{
    tw_metric_set(tw_master_page(master), TW_METRIC_CONFIG_LOADED, tw_unix_ms() / 1000);
}

// Who hears of it may rely on it: no connection from here on gets the configuration before.
static void finish_reload(struct tw_master *master)
{
    const struct tw_generation *leaving = master->leaving;
    tw_metric_add(tw_master_page(master), TW_METRIC_RELOADS_DONE, 1);
    note_load(master);
    tw_log(TW_LEVEL_INFO, "reloaded",
           "%u workers serve by the new configuration; %u finish what they have begun",
           master->current->n_workers, leaving ? tw_supervise_alive(leaving->supervisor) : 0);
    tw_master_log_listening(master);
    tw_notify("READY=1\nSTATUS=Serving");
    tw_master_note(&master->reload, NULL);
    tw_admin_reload_over(master->admin, TW_OK, NULL);
}

// This process is the heir, and its workers accept.
static void finish_inheriting(struct tw_master *master)
{
    int admin_fd = master->inherited.admin_fd;
    master->inherited.admin_fd = -1;
    note_load(master);
    if (!tw_master_start_admin(master, admin_fd)) {
        master->done = true;
        return;
    }
    tw_master_log_listening(master);
    (void)tw_ipc_send(master->inherited.control_fd, TW_IPC_TAKEN_OVER, 0);
    close(master->inherited.control_fd);
    master->inherited.control_fd = -1;
    tw_listen_close(&master->inherited.sockets);
    // The other master's workers begin to drain, and write until they have left.
    uint64_t drain_ms = master->current->config->shutdown_drain_timeout_ms;
    tw_db_written_elsewhere(tw_shared_db(master->household.pages),
                            tw_now_us() + (SETTLE_MAX_MS + drain_ms + KILL_AFTER_MS) * 1000);
    tw_log(TW_LEVEL_INFO, "taken_over", "pid %d has taken over", (int)getpid());
    tw_notify("READY=1\nSTATUS=Serving");
    tw_master_note(&master->upgrade, NULL);
}

// Without their memory new workers would ask PostgreSQL for everything that the old ones know, all
// at once: worth some waiting, but no reason not to change.
static bool wish_is_granted(struct tw_master *master)
{
    if (master->wish_until_us == 0)
        master->wish_until_us = tw_now_us() + WISH_MAX_MS * 1000;
    return tw_supervise_all_have(master->next->supervisor, master->wish) ||
           tw_now_us() >= master->wish_until_us;
}

static void look_at_next(struct tw_master *master)
{
    char why[512];
    if (master->next_has_deaths) {
        give_up_next(master, TW_RELOAD_FAILED, "a new worker died at its start");
    } else if (tw_supervise_any_has(master->next->supervisor) & TW_LACKS_ZONE) {
        tw_db_check_say_zone(master->next->config, why, sizeof(why));
        give_up_next(master, TW_CONFIG_INVALID, why);
    } else if (tw_supervise_all_have(master->next->supervisor, master->need)) {
        if (wish_is_granted(master))
            put_in_force(master);
    } else if (tw_now_us() >= master->next_until_us) {
        uint32_t lack = master->need & ~tw_supervise_any_has(master->next->supervisor);
        snprintf(why, sizeof(why), "new workers were not ready within reload.timeout%s%s",
                 lack & (TW_READY_DB_READ | TW_READY_DB_WRITE) ? "; they lack the database" : "",
                 lack & TW_READY_KEYS ? "; they lack keys" : "");
        give_up_next(master, TW_RELOAD_FAILED, why);
    }
}

static bool has_settled(struct tw_master *master)
{
    if (tw_now_us() >= master->settle_us)
        return true;
    if (master->settling == TW_SETTLING_NEW)
        return tw_supervise_all_have(master->current->supervisor, TW_READY_SERVING);
    return !master->leaving ||
           !(tw_supervise_any_has(master->leaving->supervisor) & TW_READY_SERVING);
}

static void look_at_settling(struct tw_master *master)
{
    if (!has_settled(master))
        return;
    if (master->settling == TW_SETTLING_NEW && master->inherited.control_fd < 0) {
        drain_leaving(master);
        settle(master, TW_SETTLING_OLD);
        return;
    }
    master->settling = TW_SETTLED;
    if (master->inherited.control_fd >= 0)
        finish_inheriting(master);
    else
        finish_reload(master);
}

static void look_at_leaving(struct tw_master *master)
{
    bool has_left = tw_supervise_alive(master->leaving->supervisor) == 0;
    if (has_left && tw_trace_export_finish(master->leaving->traces))
        bury(master, &master->leaving);
    else if (!has_left && tw_now_us() >= master->leaving_until_us)
        (void)tw_supervise_kill(master->leaving->supervisor);
}

static void begin_reload(struct tw_master *master)
{
    char *keys = master->restart_keys;
    const struct tw_config *before = master->current->config;
    master->reload_wanted = false;
    tw_admin_reload_begun(master->admin);
    tw_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading", tw_now_us());
    struct tw_config *config = master->setup->load(master->setup->arg, master->error,
                                                   sizeof(master->error));
    if (!config) {
        reload_failed(master, TW_CONFIG_INVALID, master->error);
        return;
    }
    if (tw_config_restart_keys(before, config, keys, sizeof(master->restart_keys)) > 0)
        tw_log(TW_LEVEL_WARN, "restart_needed", "a restart is needed to change %s", keys);
    if (!tw_config_keep_restart_values(config, before)) {
        tw_config_free(config);
        reload_failed(master, TW_RELOAD_FAILED, "out of memory");
        return;
    }
    uint32_t had = tw_supervise_any_has(master->current->supervisor);
    master->need = had & TW_READY_ALL & ~TW_READY_SERVING;
    if (had & TW_LACKS_ZONE) // the database is there, and will judge the next one
        master->need |= TW_READY_DB_WRITE;
    master->wish = had & TW_READY_CACHE;
    if (!tw_change_begin(master, config))
        reload_failed(master, TW_RELOAD_FAILED, master->error);
}

// ---- one binary after another -----------------------------------------------------

static void on_heir_says(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct tw_master *master = arg;
    struct tw_ipc_message message;
    enum tw_ipc_read got = tw_ipc_read(fd, &message);
    if (got == TW_IPC_READ_CLOSED)
        (void)event_del(master->heir.event); // SIGCHLD tells the rest
    if (got == TW_IPC_READ_MESSAGE && message.kind == TW_IPC_TAKEN_OVER)
        master->heir.has_taken_over = true;
}

void tw_change_forget_heir(struct tw_master *master)
{
    if (master->heir.event)
        event_free(master->heir.event);
    if (master->heir.fd >= 0)
        close(master->heir.fd);
    master->heir = (struct tw_heir){.fd = -1};
}

static void upgrade_failed(struct tw_master *master, const char *why)
{
    tw_metric_add(tw_master_page(master), TW_METRIC_UPGRADES_FAILED, 1);
    tw_log(TW_LEVEL_ERROR, "upgrade_failed", "%s; this one goes on", why);
    tw_notify("READY=1\nSTATUS=The last upgrade has failed: see the log");
    tw_master_note(&master->upgrade, why);
    tw_change_forget_heir(master);
}

static bool start_heir(struct tw_master *master)
{
    int ipc[2];
    struct tw_heir *heir = &master->heir;
    const struct tw_config *config = master->current->config;
    if (!tw_ipc_pair(ipc))
        return false;
    struct tw_inheritance give = {
        .control_fd = ipc[1],
        .need = tw_supervise_any_has(master->current->supervisor) & TW_READY_ALL &
                ~TW_READY_SERVING,
        .admin_fd = tw_admin_fd(master->admin),
        .admin = {.port = (uint16_t)config->admin_port},
        .sockets = master->current->sockets,
    };
    snprintf(give.admin.address, sizeof(give.admin.address), "%s", config->admin_address);
    heir->fd = ipc[0];
    heir->event = event_new(master->household.base, ipc[0], EV_READ | EV_PERSIST, on_heir_says,
                            master);
    pid_t pid = heir->event && event_add(heir->event, NULL) == 0
                    ? tw_upgrade_start(master->setup->argv, &give)
                    : (errno = ENOMEM, -1);
    int error = errno;
    close(ipc[1]);
    heir->pid = pid > 0 ? pid : 0;
    errno = error;
    return pid > 0;
}

static void begin_upgrade(struct tw_master *master)
{
    char why[128];
    master->upgrade_wanted = false;
    tw_admin_reload_refused(master->admin, "an upgrade comes first");
    if (getpid() == 1) {
        upgrade_failed(master, "process 1 cannot be replaced: replace the container");
        return;
    }
    tw_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Upgrading", tw_now_us());
    if (!start_heir(master)) {
        snprintf(why, sizeof(why), "cannot start the new binary: %s", strerror(errno));
        upgrade_failed(master, why);
        return;
    }
    master->heir.until_us = tw_now_us() + master->current->config->reload_timeout_ms * 1000;
    tw_log(TW_LEVEL_INFO, "upgrading", "%s begins as pid %d", master->setup->argv[0],
           (int)master->heir.pid);
    look_often(master);
}

// What came while it was starting: it may have read its files and opened its log before, and a
// signal would have killed it.
static void send_on_wishes(const struct tw_master *master, pid_t pid)
{
    if (master->reload_wanted)
        (void)kill(pid, SIGHUP);
    if (master->upgrade_wanted)
        (void)kill(pid, SIGUSR2);
    if (master->heir.logs_have_moved)
        (void)kill(pid, SIGUSR1);
}

static void hand_over(struct tw_master *master)
{
    pid_t pid = master->heir.pid;
    master->handed_over = true;
    master->successor = pid;
    send_on_wishes(master, pid);
    tw_log(TW_LEVEL_INFO, "upgraded", "pid %d has taken over; this one leaves", (int)pid);
    tw_notify("READY=1\nMAINPID=%d\nSTATUS=Serving", (int)pid);
    tw_change_forget_heir(master);
    tw_admin_free(master->admin);
    master->admin = NULL;
    tw_master_drain(master, (uint32_t)(master->current->config->shutdown_drain_timeout_ms / 2));
}

static void look_at_heir(struct tw_master *master)
{
    struct tw_heir *heir = &master->heir;
    char why[128];
    if (heir->has_taken_over) {
        hand_over(master);
    } else if (heir->is_dead) {
        int status = heir->status;
        const char *late = heir->is_late ? ": it was not ready within reload.timeout" : "";
        if (WIFSIGNALED(status))
            snprintf(why, sizeof(why), "the new binary was killed by signal %d%s", WTERMSIG(status),
                     late);
        else
            snprintf(why, sizeof(why), "the new binary exited with code %d", WEXITSTATUS(status));
        upgrade_failed(master, why);
    } else if (tw_now_us() >= heir->until_us && !heir->is_late) {
        heir->is_late = true;
        (void)kill(heir->pid, SIGKILL); // its workers see that, and have no clients
    }
}

// ---- all of it ----------------------------------------------------------------------------------

void tw_change_at_once(struct tw_master *master)
{
    put_in_force(master);
    master->settling = TW_SETTLED;
    note_load(master);
}

void tw_change_step(struct tw_master *master)
{
    bool running = master->stage == TW_STAGE_RUNNING;
    if (master->heir.pid)
        look_at_heir(master);
    if (master->next && running)
        look_at_next(master);
    if (master->settling != TW_SETTLED && running)
        look_at_settling(master);
    if (master->leaving)
        look_at_leaving(master);
    if (master->stage != TW_STAGE_RUNNING || !master->current || is_changing(master))
        return;
    (void)event_del(master->look);
    if (master->upgrade_wanted)
        begin_upgrade(master);
    else if (master->reload_wanted)
        begin_reload(master);
}

void tw_change_end(struct tw_master *master)
{
    tw_admin_reload_over(master->admin, TW_CHANGE_IN_PROGRESS, "it is stopping");
    tw_admin_reload_refused(master->admin, "it is stopping");
    if (master->heir.pid)
        (void)kill(master->heir.pid, SIGKILL);
    tw_change_forget_heir(master);
    if (master->next) {
        tw_supervise_drain(master->next->supervisor, 0);
        (void)tw_supervise_kill(master->next->supervisor);
    }
}

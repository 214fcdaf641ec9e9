// SPDX-License-Identifier: Apache-2.0
#include "gateway/supervise.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/become_worker.h"
#include "gateway/ipc.h"
#include "gateway/log.h"
#include "gateway/trace_export.h"

#define PAUSE_FIRST_MS   1000u
#define PAUSE_LONGEST_MS 10000u
#define ABORT_GRACE_US   2000000u
#define LATE_TICK_US     2000000u
#define IPC_BATCH        64 // messages of one worker handled in one turn of the loop

struct slot {
    struct tw_supervisor *owner;
    unsigned index;
    pid_t pid;  // 0: nobody lives here
    int ipc_fd; // -1 with nobody
    struct event *ipc_event;
    uint64_t aborted_us;      // when the watchdog sent SIGABRT; 0: not
    bool waits;               // it has not been told to accept
    bool drain_owed;          // the drain message is still to be sent
    uint64_t requests_before; // of its predecessors in this row
    bool log_owed;            // the log's new file, too
};

struct tw_supervisor {
    struct tw_supervisor_setup setup;
    struct slot *slots;
    struct tw_worker_life *lives;
    unsigned n_alive;
    uint64_t restarts;
    bool draining;
    uint32_t linger_ms;     // told with it
    uint64_t watch_from_us; // heartbeats are not expected to be younger than this
    uint64_t last_tick_us;

    struct event *pause_timer;            // pending: the dead wait for it
    unsigned pause_ms;                    // of the current or last pause; 0: at peace
    uint64_t resumed_us;                  // when the last pause ended
    uint64_t deaths_us[TW_RESPAWN_BURST]; // ring of the last deaths
    unsigned n_deaths;
};

static struct tw_worker_page *page_of(const struct tw_supervisor *supervisor, unsigned index)
{
    return tw_shared_worker(supervisor->setup.shared, supervisor->setup.first_row + index);
}

// Requests that ended, whatever became of them.
static uint64_t count_requests(const struct tw_worker_page *page)
{
    uint64_t sum = 0;
    for (size_t row = 0; row < TW_STATS_ROUTES_MAX; row++)
        for (size_t i = 0; i < TW_COUNT(page->routes[row].by_class); i++)
            sum += atomic_load_explicit(&page->routes[row].by_class[i], memory_order_relaxed);
    return sum;
}

static int64_t gauge(const struct tw_worker_page *page, enum tw_metric metric)
{
    return (int64_t)atomic_load_explicit(&page->metrics[metric], memory_order_relaxed);
}

// Forgets what the worker said of its present; counters go on where they stopped.
static void clear_page(struct tw_worker_page *page)
{
    enum { COUNTER, GAUGE };
    static const int kinds[TW_METRIC_COUNT] = {
#define METRIC(name, kind, prometheus_name, labels, help) [TW_METRIC_##name] = kind,
#include "gateway/metrics.def"
#undef METRIC
    };
    atomic_store(&page->heartbeat_us, 0);
    atomic_store(&page->ready, 0);
    for (unsigned i = 0; i < TW_METRIC_COUNT; i++)
        if (kinds[i] == GAUGE)
            tw_metric_set(page, (enum tw_metric)i, 0);
}

static void slot_clear(struct slot *slot)
{
    if (slot->ipc_event)
        event_free(slot->ipc_event);
    if (slot->ipc_fd >= 0)
        close(slot->ipc_fd);
    slot->ipc_event = NULL;
    slot->ipc_fd = -1;
    slot->pid = 0;
    slot->aborted_us = 0;
    slot->drain_owed = false;
    slot->log_owed = false;
    slot->owner->lives[slot->index] = (struct tw_worker_life){0};
    const struct tw_supervisor_setup *setup = &slot->owner->setup;
    clear_page(page_of(slot->owner, slot->index));
    tw_count_table_clear(setup->peer_counts, setup->first_row + slot->index);
    tw_count_table_clear(setup->in_progress, setup->first_row + slot->index);
}

static void on_ipc(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct slot *slot = arg;
    const struct tw_supervisor_setup *setup = &slot->owner->setup;
    for (int i = 0; i < IPC_BATCH; i++) {
        struct tw_ipc_message message;
        enum tw_ipc_read got = tw_ipc_read(fd, &message);
        if (got == TW_IPC_READ_CLOSED)
            (void)event_del(slot->ipc_event); // SIGCHLD tells the rest
        if (got != TW_IPC_READ_MESSAGE)
            return;
        if (message.kind == TW_IPC_UNKNOWN_KID && message.argument < setup->config->n_issuers)
            setup->on_unknown_kid(setup->arg, message.argument);
    }
}

// The sockets of its rows: the one of its own index, and those that nobody else would serve.
static int *sockets_of(const struct slot *slot, size_t *n)
{
    const struct tw_supervisor_setup *setup = &slot->owner->setup;
    const struct tw_sockets *sockets = setup->sockets;
    int *fds = malloc(sockets->n_rows * sockets->n_listens * sizeof(fds[0]));
    *n = 0;
    if (!fds)
        abort();
    for (unsigned row = slot->index; row < sockets->n_rows; row += setup->n_workers)
        for (size_t i = 0; i < sockets->n_listens; i++)
            fds[(*n)++] = sockets->fds[row * sockets->n_listens + i];
    return fds;
}

// The child of spawn(): never returns.
static _Noreturn void run_child(const struct slot *slot, int ipc_fd, const sigset_t *mask)
{
    const struct tw_supervisor_setup *setup = &slot->owner->setup;
    struct tw_heritage heritage = {
        .config = setup->config,
        .routes = setup->routes,
        .shared = setup->shared,
        .limits = setup->limits,
        .peer_counts = setup->peer_counts,
        .in_progress = setup->in_progress,
        .worker_index = slot->index,
        .n_workers = setup->n_workers,
        .row = setup->first_row + slot->index,
        .account = setup->account,
        .waits = setup->waits,
        .ipc_fd = ipc_fd,
        .log_fd = setup->log->fd,
        .trace_ring = tw_trace_export_ring(setup->traces, slot->index),
    };
    heritage.listen_fds = sockets_of(slot, &heritage.n_listen_fds);
    tw_become_worker(&heritage, setup->log, mask);
}

// Forks with all signals blocked, so that none reaches the child before it has its own handlers.
static pid_t fork_worker(const struct slot *slot, int child_ipc_fd)
{
    sigset_t all, before;
    sigfillset(&all);
    fflush(NULL); // or the child would write it once more at its exit
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        run_child(slot, child_ipc_fd, &before);
    int error = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

// False with errno, and the slot stays empty.
static bool spawn(struct slot *slot)
{
    struct tw_supervisor *supervisor = slot->owner;
    int ipc[2];
    if (!tw_ipc_pair(ipc))
        return false;
    slot->requests_before = count_requests(page_of(supervisor, slot->index));
    slot->ipc_fd = ipc[0];
    slot->ipc_event = event_new(supervisor->setup.base, ipc[0], EV_READ | EV_PERSIST, on_ipc, slot);
    pid_t pid = slot->ipc_event && event_add(slot->ipc_event, NULL) == 0 ? fork_worker(slot, ipc[1])
                                                                         : (errno = ENOMEM, -1);
    int error = errno;
    close(ipc[1]);
    if (pid < 0) {
        slot_clear(slot);
        errno = error;
        return false;
    }
    slot->pid = pid;
    slot->waits = supervisor->setup.waits;
    supervisor->lives[slot->index] = (struct tw_worker_life){.alive = true,
                                                             .started_us = tw_now_us()};
    supervisor->n_alive++;
    tw_log(TW_LEVEL_INFO, "worker_started", "worker %u started with pid %d", slot->index, (int)pid);
    return true;
}

static void begin_pause(struct tw_supervisor *supervisor, unsigned ms, const char *why)
{
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    supervisor->pause_ms = ms;
    if (evtimer_add(supervisor->pause_timer, &delay) == 0)
        tw_log(TW_LEVEL_ERROR, "worker_backoff", "%s: no new workers for %u ms", why, ms);
}

// Counts a death; begins a pause when there were too many of them lately.
static void count_death(struct tw_supervisor *supervisor)
{
    uint64_t now = tw_now_us();
    uint64_t *oldest = &supervisor->deaths_us[supervisor->n_deaths % TW_RESPAWN_BURST];
    *oldest = now;
    supervisor->n_deaths++;
    if (evtimer_pending(supervisor->pause_timer, NULL))
        return;
    if (supervisor->pause_ms > 0 && now - supervisor->resumed_us < TW_RESPAWN_WINDOW_US) {
        unsigned next = supervisor->pause_ms * 2;
        begin_pause(supervisor, next < PAUSE_LONGEST_MS ? next : PAUSE_LONGEST_MS,
                    "workers still die");
        return;
    }
    supervisor->pause_ms = 0;
    uint64_t first = supervisor->deaths_us[supervisor->n_deaths % TW_RESPAWN_BURST];
    if (supervisor->n_deaths >= TW_RESPAWN_BURST && now - first < TW_RESPAWN_WINDOW_US)
        begin_pause(supervisor, PAUSE_FIRST_MS, "5 workers died in 10 s");
}

void tw_supervise_refill(struct tw_supervisor *supervisor)
{
    if (supervisor->draining || evtimer_pending(supervisor->pause_timer, NULL))
        return;
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++) {
        struct slot *slot = &supervisor->slots[i];
        if (slot->pid != 0)
            continue;
        if (!spawn(slot)) {
            tw_log(TW_LEVEL_ERROR, "worker_fork_failed", "cannot start worker %u: %s", i,
                   strerror(errno));
            begin_pause(supervisor, PAUSE_FIRST_MS, "a worker could not be started");
            return;
        }
        supervisor->restarts++;
    }
}

static void on_pause_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tw_supervisor *supervisor = arg;
    supervisor->resumed_us = tw_now_us();
    tw_supervise_refill(supervisor);
}

struct tw_supervisor *tw_supervise_new(const struct tw_supervisor_setup *setup)
{
    struct tw_supervisor *supervisor = calloc(1, sizeof(*supervisor));
    if (!supervisor)
        return NULL;
    supervisor->setup = *setup;
    supervisor->last_tick_us = tw_now_us();
    supervisor->slots = calloc(setup->n_workers, sizeof(supervisor->slots[0]));
    supervisor->lives = calloc(setup->n_workers, sizeof(supervisor->lives[0]));
    supervisor->pause_timer = evtimer_new(setup->base, on_pause_end, supervisor);
    if (!supervisor->slots || !supervisor->lives || !supervisor->pause_timer) {
        tw_supervise_free(supervisor);
        return NULL;
    }
    for (unsigned i = 0; i < setup->n_workers; i++)
        supervisor->slots[i] = (struct slot){.owner = supervisor, .index = i, .ipc_fd = -1};
    return supervisor;
}

void tw_supervise_free(struct tw_supervisor *supervisor)
{
    if (!supervisor)
        return;
    for (unsigned i = 0; supervisor->slots && i < supervisor->setup.n_workers; i++)
        if (supervisor->slots[i].owner)
            slot_clear(&supervisor->slots[i]);
    if (supervisor->pause_timer)
        event_free(supervisor->pause_timer);
    free(supervisor->lives);
    free(supervisor->slots);
    free(supervisor);
}

bool tw_supervise_start(struct tw_supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (!spawn(&supervisor->slots[i])) {
            int error = errno;
            (void)tw_supervise_kill(supervisor);
            for (unsigned j = 0; j < i; j++)
                (void)waitpid(supervisor->slots[j].pid, NULL, 0);
            errno = error;
            return false;
        }
    return true;
}

static void log_death(const struct slot *slot, int status, bool expected)
{
    enum tw_level level = expected ? TW_LEVEL_INFO : TW_LEVEL_ERROR;
    if (WIFSIGNALED(status))
        tw_log(level, "worker_exited", "worker %u pid %d was killed by signal %d (%s)%s",
               slot->index, (int)slot->pid, WTERMSIG(status), strsignal(WTERMSIG(status)),
               WCOREDUMP(status) ? ", core dumped" : "");
    else
        tw_log(level, "worker_exited", "worker %u pid %d exited with code %d", slot->index,
               (int)slot->pid, WEXITSTATUS(status));
}

static struct slot *slot_of_pid(struct tw_supervisor *supervisor, pid_t pid)
{
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (supervisor->slots[i].pid == pid)
            return &supervisor->slots[i];
    return NULL;
}

bool tw_supervise_take_death(struct tw_supervisor *supervisor, pid_t pid, int status)
{
    struct slot *slot = slot_of_pid(supervisor, pid);
    if (!slot)
        return false;
    bool expected = supervisor->draining && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    log_death(slot, status, expected);
    slot_clear(slot);
    supervisor->n_alive--;
    if (!supervisor->draining)
        count_death(supervisor);
    return true;
}

// Reads the worker's page; remembers whether it has ever been ready.
static void look_at(struct tw_supervisor *supervisor, unsigned index)
{
    struct tw_worker_life *life = &supervisor->lives[index];
    const struct tw_worker_page *page = page_of(supervisor, index);
    if (!life->alive)
        return;
    life->heartbeat_us = atomic_load(&page->heartbeat_us);
    life->ready = atomic_load(&page->ready);
    if (life->heartbeat_us != 0 && (life->ready & TW_READY_ALL) == TW_READY_ALL)
        life->was_ready = true;
}

// When the last sign of life came: the heartbeat, the start, or the end of a time when nobody ran.
static uint64_t last_sign_us(const struct tw_supervisor *supervisor, unsigned index)
{
    const struct tw_worker_life *life = &supervisor->lives[index];
    uint64_t sign = life->heartbeat_us > life->started_us ? life->heartbeat_us : life->started_us;
    return sign > supervisor->watch_from_us ? sign : supervisor->watch_from_us;
}

static void watch(struct slot *slot, uint64_t now)
{
    struct tw_supervisor *supervisor = slot->owner;
    if (slot->aborted_us != 0) {
        if (now - slot->aborted_us >= ABORT_GRACE_US)
            (void)kill(slot->pid, SIGKILL);
        return;
    }
    uint64_t sign = last_sign_us(supervisor, slot->index);
    if (now <= sign || now - sign <= TW_HEARTBEAT_MAX_US)
        return;
    tw_log(TW_LEVEL_ERROR, "worker_stuck", "worker %u pid %d has not turned for %u ms: aborting it",
           slot->index, (int)slot->pid, (unsigned)((now - sign) / 1000));
    slot->aborted_us = now;
    (void)kill(slot->pid, SIGABRT);
}

// What cannot be sent now is sent again by the next tick.
static void tell(struct slot *slot)
{
    const struct tw_supervisor *supervisor = slot->owner;
    if (slot->waits && !supervisor->setup.waits)
        slot->waits = !tw_ipc_send(slot->ipc_fd, TW_IPC_ACCEPT, 0);
    if (slot->log_owed)
        slot->log_owed = !tw_ipc_send_fd(slot->ipc_fd, TW_IPC_LOG_FILE, supervisor->setup.log->fd);
    if (slot->drain_owed)
        slot->drain_owed = !tw_ipc_send(slot->ipc_fd, TW_IPC_DRAIN, supervisor->linger_ms);
}

void tw_supervise_tick(struct tw_supervisor *supervisor)
{
    uint64_t now = tw_now_us();
    // A stopped process group or a paused machine: the workers could not beat either.
    if (now - supervisor->last_tick_us > LATE_TICK_US)
        supervisor->watch_from_us = now;
    supervisor->last_tick_us = now;
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++) {
        struct slot *slot = &supervisor->slots[i];
        if (slot->pid == 0)
            continue;
        look_at(supervisor, i);
        watch(slot, now);
        tell(slot);
    }
}

void tw_supervise_accept(struct tw_supervisor *supervisor)
{
    supervisor->setup.waits = false;
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (supervisor->slots[i].pid != 0)
            tell(&supervisor->slots[i]);
}

void tw_supervise_change_log_file(struct tw_supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (supervisor->slots[i].pid != 0) {
            supervisor->slots[i].log_owed = true;
            tell(&supervisor->slots[i]);
        }
}

void tw_supervise_drain(struct tw_supervisor *supervisor, uint32_t linger_ms)
{
    supervisor->draining = true;
    supervisor->linger_ms = linger_ms;
    (void)evtimer_del(supervisor->pause_timer);
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (supervisor->slots[i].pid != 0) {
            supervisor->slots[i].drain_owed = true;
            tell(&supervisor->slots[i]);
        }
}

unsigned tw_supervise_kill(struct tw_supervisor *supervisor)
{
    unsigned n = 0;
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (supervisor->slots[i].pid != 0) {
            (void)kill(supervisor->slots[i].pid, SIGKILL);
            n++;
        }
    return n;
}

unsigned tw_supervise_alive(const struct tw_supervisor *supervisor)
{
    return supervisor->n_alive;
}

uint64_t tw_supervise_restarts(const struct tw_supervisor *supervisor)
{
    return supervisor->restarts;
}

const struct tw_worker_life *tw_supervise_lives(struct tw_supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        look_at(supervisor, i);
    return supervisor->lives;
}

bool tw_supervise_all_have(struct tw_supervisor *supervisor, uint32_t bits)
{
    const struct tw_worker_life *lives = tw_supervise_lives(supervisor);
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        if (!lives[i].alive || lives[i].heartbeat_us == 0 || (lives[i].ready & bits) != bits)
            return false;
    return true;
}

uint32_t tw_supervise_any_has(struct tw_supervisor *supervisor)
{
    const struct tw_worker_life *lives = tw_supervise_lives(supervisor);
    uint32_t bits = 0;
    for (unsigned i = 0; i < supervisor->setup.n_workers; i++)
        bits |= lives[i].alive ? lives[i].ready : 0;
    return bits;
}

bool tw_supervise_see(struct tw_supervisor *supervisor, unsigned index, struct tw_worker_seen *out)
{
    const struct slot *slot = &supervisor->slots[index];
    const struct tw_worker_page *page = page_of(supervisor, index);
    if (slot->pid == 0)
        return false;
    look_at(supervisor, index);
    *out = (struct tw_worker_seen){
        .pid = slot->pid,
        .life = supervisor->lives[index],
        .waits = slot->waits,
        .leaves = supervisor->draining,
        .is_stuck = slot->aborted_us != 0,
        .requests = count_requests(page) - slot->requests_before,
        .in_flight = gauge(page, TW_METRIC_REQUESTS_IN_FLIGHT),
        .connections = gauge(page, TW_METRIC_CONNECTIONS_OPEN),
    };
    return true;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gateway/accept.h"
#include "gateway/gzip.h"
#include "gateway/ipc.h"
#include "gateway/log.h"

#define TICK_MS 50

// How often connections that have grown old are looked for.
#define LOOK_FOR_OLD_US 1000000

// While draining, a connection that never sent a request is given this long to send it.
#define UNUSED_CONNECTION_GRACE_US 1000000

// Without its master a worker leaves within this time (FAULTS P3).
#define ORPHAN_DRAIN_MS       10000
#define ORPHAN_LINGER_IDLE_MS 1000

// ---- what others see of it
// ------------------------------------------------------------------------

// Takes over what the library has counted (deps/h2o/patches/011 to 015).
static void count_refusals(struct tw_worker *worker)
{
    static const enum tw_metric metrics[H2O_HTTP2_REFUSAL_MAX] = {
        [H2O_HTTP2_REFUSAL_RESETS] = TW_METRIC_GUARD_H2_RESETS,
        [H2O_HTTP2_REFUSAL_HEADERS] = TW_METRIC_GUARD_H2_HEADERS,
        [H2O_HTTP2_REFUSAL_CONTROL_FRAMES] = TW_METRIC_GUARD_H2_CONTROL_FRAMES,
        [H2O_HTTP2_REFUSAL_HEAD_TIMEOUT] = TW_METRIC_GUARD_TIMEOUT_HEAD,
        [H2O_HTTP2_REFUSAL_BODY_TIMEOUT] = TW_METRIC_GUARD_TIMEOUT_BODY,
        [H2O_HTTP2_REFUSAL_SEND_TIMEOUT] = TW_METRIC_GUARD_TIMEOUT_SEND,
    };
    for (size_t i = 0; i < TW_COUNT(metrics); i++) {
        tw_metric_add(worker->page, metrics[i], (int64_t)worker->ctx.http2.events.refusals[i]);
        worker->ctx.http2.events.refusals[i] = 0;
    }
}

static void publish(struct tw_worker *worker)
{
    count_refusals(worker);
    unsigned ready = tw_db_ready(worker->db) | (tw_worker_keys_any(worker) ? TW_READY_KEYS : 0) |
                     (worker->accepting ? TW_READY_SERVING : 0) |
                     (tw_cached_reads_are_warm(worker->cached) ? TW_READY_CACHE : 0);
    atomic_store_explicit(&worker->page->ready, ready, memory_order_relaxed);
    tw_cached_reads_tick(worker->cached);
    tw_stock_watch_tick(&worker->stock_watch);
    tw_metric_add(worker->page, TW_METRIC_LOG_LINES_DROPPED, (int64_t)tw_log_take_dropped());
}

// ---- draining -----------------------------------------------------------------------------------

// Waits for nothing and nothing is on its way: neither in the library's buffer nor in the kernel's.
static bool is_idle(const struct tw_conn *conn)
{
    int unread = 0;
    return conn->requests_in_flight == 0 && conn->sock->input->size == 0 &&
           ioctl(h2o_socket_get_fd(conn->sock), FIONREAD, &unread) == 0 && unread == 0;
}

// A connection tells its protocol by its first request, which may still be arriving; the library
// knows as soon as it has seen the preface.
static void mark_http2_connections(struct tw_worker *worker)
{
    h2o_linklist_t *all = &worker->ctx.http2._conns;
    for (h2o_linklist_t *link = all->next; link != all; link = link->next) {
        h2o_http2_conn_t *http2 = H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, _conns, link);
        struct tw_conn *conn = http2->sock->on_close.data;
        conn->is_http2 = true;
    }
}

// An idle HTTP/1 connection lingers until its timeout: end of file makes the library close it.
// HTTP/2 connections have had their GOAWAY and leave by themselves.
void tw_worker_close_idle(struct tw_worker *worker, size_t most)
{
    uint64_t now_us = tw_now_us();
    size_t n = 0;
    mark_http2_connections(worker);
    for (h2o_linklist_t *link = worker->conns.next; link != &worker->conns && n < most;
         link = link->next) {
        struct tw_conn *conn = H2O_STRUCT_FROM_MEMBER(struct tw_conn, link, link);
        bool used_or_old = conn->requests > 0 ||
                           now_us - conn->accepted_us > UNUSED_CONNECTION_GRACE_US;
        if (conn->is_http2 || !used_or_old || !is_idle(conn))
            continue;
        shutdown(h2o_socket_get_fd(conn->sock), SHUT_RD);
        n++;
    }
}

// HTTP/1 connections that have grown old end with their next answer (reply_head.c); HTTP/2 ones get
// a GOAWAY, and another one a second later, when what was on its way has come (RFC 9113 §6.8).
static void end_old_http2(struct tw_worker *worker)
{
    h2o_linklist_t *all = &worker->ctx.http2._conns;
    for (h2o_linklist_t *link = all->next; link != all; link = link->next) {
        h2o_http2_conn_t *http2 = H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, _conns, link);
        const struct tw_conn *conn = http2->sock->on_close.data;
        if (tw_conn_is_old(conn, tw_now_us()))
            h2o_http2_conn_shutdown_gracefully(http2);
    }
}

// An idle HTTP/1 connection is not closed at once, because its client may be sending at this moment
// and would find it reset: it has `linger_ms` to come with one more request, whose answer tells it
// to close. What is idle after that has been silent for so long.
static void begin_drain(struct tw_worker *worker, uint64_t within_ms, uint64_t linger_ms,
                        const char *why)
{
    if (worker->draining)
        return;
    tw_log(TW_LEVEL_INFO, "worker_draining", "%s", why);
    worker->draining = true;
    tw_stock_watch_stop(&worker->stock_watch);
    worker->drain_until_us = tw_now_us() + within_ms * 1000;
    worker->close_idle_us = tw_now_us() + linger_ms * 1000;
    tw_accept_stop(worker);
    h2o_context_request_shutdown(&worker->ctx);
    publish(worker);
}

static bool has_drained(const struct tw_worker *worker)
{
    if (!worker->draining)
        return false;
    bool empty = worker->conns.next == &worker->conns;
    return (empty && tw_db_unfinished(worker->db) == 0) || tw_now_us() >= worker->drain_until_us;
}

// The log's file was renamed; what waits still goes there.
static void change_log_file(struct tw_worker *worker, int fd)
{
    tw_log_use(fd);
    if (worker->log_fd >= 0)
        close(worker->log_fd);
    worker->log_fd = fd;
}

static void obey(struct tw_worker *worker, const struct tw_ipc_message *message, int passed_fd)
{
    if (passed_fd >= 0)
        change_log_file(worker, passed_fd);
    if (message->kind == TW_IPC_DRAIN)
        begin_drain(worker, worker->config->shutdown_drain_timeout_ms, message->argument,
                    "asked by the master");
    if (message->kind == TW_IPC_ACCEPT && !worker->draining) {
        tw_accept_start(worker);
        publish(worker);
    }
}

static void on_master_says(h2o_socket_t *sock, const char *err)
{
    struct tw_worker *worker = sock->data;
    struct tw_ipc_message message;
    enum tw_ipc_read read = TW_IPC_READ_CLOSED;
    int passed_fd;
    while (!err && (read = tw_ipc_read_fd(worker->heritage->ipc_fd, &message, &passed_fd)) ==
                       TW_IPC_READ_MESSAGE)
        obey(worker, &message, passed_fd);
    if (read == TW_IPC_READ_CLOSED) {
        h2o_socket_read_stop(sock);
        begin_drain(worker, ORPHAN_DRAIN_MS, ORPHAN_LINGER_IDLE_MS, "the master is gone");
    }
}

// ---- the loop -----------------------------------------------------------------------------------

// A step of the wall clock is known within a tick.
static void see_clocks(struct tw_worker *worker)
{
    uint64_t now_us = tw_now_us();
    worker->unix_ahead_us = (int64_t)(tw_unix_us() - now_us);
    atomic_store_explicit(&worker->page->heartbeat_us, now_us, memory_order_relaxed);
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct tw_worker *worker = H2O_STRUCT_FROM_MEMBER(struct tw_worker, tick, entry);
    see_clocks(worker);
    tw_worker_keys_update(worker);
    publish(worker);
    tw_log_flush();
    if (worker->draining) {
        tw_db_release_idle(worker->db);
        tw_cached_reads_release(worker->cached);
    }
    if (worker->draining && tw_now_us() >= worker->close_idle_us)
        tw_worker_close_idle(worker, SIZE_MAX);
    if (worker->accepting)
        tw_accept_tick(worker);
    if (tw_now_us() >= worker->look_for_old_us) {
        worker->look_for_old_us = tw_now_us() + LOOK_FOR_OLD_US;
        end_old_http2(worker);
    }
    h2o_timeout_link(worker->ctx.loop, &worker->tick_timeout, &worker->tick);
}

static void loop(struct tw_worker *worker)
{
    while (!has_drained(worker)) {
        (void)h2o_evloop_run(worker->ctx.loop, TICK_MS);
        tw_db_flush(worker->db); // one sync per connection for all that this turn brought
    }
}

// Who may use which route, and how many bad tokens an address may send.
static bool access_init(struct tw_worker *worker)
{
    const struct tw_config *config = worker->config;
    char err[256]; // main has said it already
    worker->access = tw_access_new(worker->heritage->routes, config, err, sizeof(err));
    worker->rate_limits = tw_rate_limits_new(worker->heritage->routes, config,
                                             worker->heritage->limits, err, sizeof(err));
    worker->nobody = tw_principal_new(&(struct tw_claims){0}, 0);
    return worker->access && worker->rate_limits && worker->nobody &&
           (config->auth_failures_rate == 0 ||
            tw_limit_rule_make(config->auth_failures_rate, 1000000, config->auth_failures_burst,
                               &worker->failure_rule));
}

static bool fleet_init(struct tw_worker *worker)
{
    const struct tw_config *config = worker->config;
    if (config->fleet_redis[0])
        worker->fleet = tw_fleet_new(&worker->ctx, config, worker->heritage->limits, worker->page);
    return worker->fleet || !config->fleet_redis[0];
}

// What needs the database.
static bool db_init(struct tw_worker *worker)
{
    const struct tw_heritage *heritage = worker->heritage;
    worker->db = tw_db_new(&worker->ctx, worker->config, heritage->worker_index,
                           heritage->n_workers, worker->page, tw_shared_db(heritage->shared));
    bool watches = heritage->worker_index == 0; // one for all
    worker->stock_watch = (struct tw_stock_watch){
        .db = worker->db,
        .stats = tw_shared_sales(heritage->shared),
        .every_us = watches ? worker->config->metrics_low_stock_interval_ms * 1000 : 0};
    if (!worker->db || worker->config->cache_size_bytes == 0)
        return worker->db != NULL;
    worker->cached = tw_cached_reads_new(&worker->ctx, worker->config, worker->db, worker->page);
    return worker->cached != NULL;
}

static bool h2o_init(struct tw_worker *worker)
{
    h2o_globalconf_t *conf = &worker->globalconf;
    const struct tw_config *config = worker->config;
    h2o_config_init(conf);
    conf->server_name = config->http_server_header ? h2o_iovec_init(H2O_STRLIT("tillway"))
                                                   : h2o_iovec_init(NULL, 0);
    conf->max_request_entity_size = config->http_body_max_bytes;
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX; // no files in /tmp, which seccomp refuses
    conf->handshake_timeout = config->tls_handshake_timeout_ms;
    conf->http1.req_timeout = config->http_request_timeout_ms;
    conf->http1.idle_timeout = config->http_idle_timeout_ms;
    conf->http1.max_head_size = config->http_head_max_bytes;
    conf->http2.idle_timeout = config->http_idle_timeout_ms;
    conf->http2.max_header_list_size = (uint32_t)config->http_head_max_bytes;
    conf->http2.request_timeout = config->http_request_timeout_ms;
    conf->http2.send_timeout = config->http_send_timeout_ms; // of windows; of TCP: see accept.c
    conf->http2.graceful_shutdown_timeout = config->shutdown_drain_timeout_ms; // default: for ever
    conf->http2.max_concurrent_requests_per_connection = 256;
    bool installed = tw_request_install(
        worker, h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535));
    h2o_context_init(&worker->ctx, h2o_evloop_create(), conf);
    h2o_timeout_init(worker->ctx.loop, &worker->tick_timeout, TICK_MS);
    return installed;
}

static void dispose(struct tw_worker *worker)
{
    // Connections that outlived the drain end with the process; so does what the library caches.
    tw_cached_reads_free(worker->cached);
    tw_db_free(worker->db);
    tw_worker_keys_dispose(worker);
    tw_gzip_free(worker->gzip);
    tw_principal_unref(worker->nobody);
    tw_fleet_free(worker->fleet);
    tw_rate_limits_free(worker->rate_limits);
    free(worker->access);
}

int tw_worker_run(const struct tw_heritage *heritage)
{
    static struct tw_worker self; // reachable until the end, as h2o points into it
    struct tw_worker *worker = &self;
    worker->heritage = heritage;
    worker->config = heritage->config;
    worker->page = tw_shared_worker(heritage->shared, heritage->row);
    worker->log_fd = heritage->log_fd;
    worker->trace_ring = heritage->trace_ring;
    worker->traces = worker->trace_ring || worker->config->http_server_timing;
    h2o_linklist_init_anchor(&worker->conns);
    tw_request_log_init(&worker->request_log, worker->config);
    see_clocks(worker);
    signal(SIGPIPE, SIG_IGN);
    bool installed = h2o_init(worker);
    if (!installed || !db_init(worker) || !tw_worker_keys_init(worker) || !access_init(worker) ||
        !fleet_init(worker) || !tw_accept_prepare(worker)) {
        tw_log(TW_LEVEL_ERROR, "worker_failed", "the worker cannot start");
        return 1;
    }
    worker->ipc = h2o_evloop_socket_create(worker->ctx.loop, heritage->ipc_fd,
                                           H2O_SOCKET_FLAG_DONT_READ);
    worker->ipc->data = worker;
    h2o_socket_read_start(worker->ipc, on_master_says);
    worker->tick.cb = on_tick;
    h2o_timeout_link(worker->ctx.loop, &worker->tick_timeout, &worker->tick);
    tw_worker_keys_update(worker);
    if (!heritage->waits)
        tw_accept_start(worker);

    loop(worker);

    tw_log(TW_LEVEL_INFO, "worker_leaving", "drained");
    dispose(worker);
    tw_log_flush();
    return 0;
}

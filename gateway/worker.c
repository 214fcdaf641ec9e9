// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "gateway/client_cert.h"
#include "gateway/ipc.h"
#include "gateway/log.h"
#include "gateway/tls.h"

#define TICK_MS 50

// Connections taken at once before others get their turn.
#define ACCEPT_BATCH 32

// While draining, a connection that never sent a request is given this long to send it.
#define UNUSED_CONNECTION_GRACE_US 1000000

// Without its master a worker leaves within this time (FAULTS P3).
#define ORPHAN_DRAIN_MS 10000

struct tw_listener {
    struct tw_worker *worker;
    h2o_accept_ctx_t accept_ctx;
    h2o_socket_t *sock;
    bool paused; // out of file descriptors: tried again by the tick
};

// ---- connections --------------------------------------------------------------------------------

static void on_conn_close(void *p)
{
    struct tw_conn *conn = p;
    conn->magic = 0;
    h2o_linklist_unlink(&conn->link);
    tw_metric_add(conn->worker->page, TW_METRIC_CONNECTIONS_OPEN, -1);
    tw_principal_unref(conn->certificate);
    free(conn);
}

static void set_peer(struct tw_conn *conn)
{
    struct sockaddr_storage address;
    const void *bytes = NULL;
    socklen_t n = h2o_socket_getpeername(conn->sock, (struct sockaddr *)&address);
    int family = n > 0 ? address.ss_family : AF_UNSPEC;
    if (family == AF_INET)
        bytes = &((struct sockaddr_in *)&address)->sin_addr;
    else if (family == AF_INET6)
        bytes = &((struct sockaddr_in6 *)&address)->sin6_addr;
    if (!bytes)
        return;
    memcpy(conn->peer_bytes, bytes, family == AF_INET ? 4 : 16);
    conn->peer_key_n = family == AF_INET ? 4 : 8;
    conn->peer = tw_str_of(inet_ntop(family, bytes, conn->peer_text, sizeof(conn->peer_text)));
}

static void accept_one(struct tw_listener *listener, h2o_socket_t *sock)
{
    struct tw_worker *worker = listener->worker;
    struct tw_conn *conn = calloc(1, sizeof(*conn));
    if (!conn) {
        h2o_socket_close(sock);
        return;
    }
    conn->magic = TW_CONN_MAGIC;
    conn->worker = worker;
    conn->sock = sock;
    conn->accepted_us = tw_now_us();
    set_peer(conn);
    h2o_linklist_insert(&worker->conns, &conn->link);
    sock->on_close.cb = on_conn_close;
    sock->on_close.data = conn;
    tw_metric_add(worker->page, TW_METRIC_CONNECTIONS_ACCEPTED, 1);
    tw_metric_add(worker->page, TW_METRIC_CONNECTIONS_OPEN, 1);
    h2o_accept(&listener->accept_ctx, sock);
}

// Takes up to `most` connections; false when none was left.
static bool accept_some(struct tw_listener *listener, unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener->sock);
        if (!sock) {
            if (errno == EMFILE || errno == ENFILE) {
                tw_log(TW_LEVEL_ERROR, "accept_paused", "no file descriptors left");
                h2o_socket_read_stop(listener->sock); // level-triggered: it would spin
                listener->paused = true;
            }
            return false;
        }
        accept_one(listener, sock);
    }
    return true;
}

static void on_acceptable(h2o_socket_t *sock, const char *err)
{
    if (!err)
        (void)accept_some(sock->data, ACCEPT_BATCH);
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
static void close_idle_connections(struct tw_worker *worker)
{
    uint64_t now_us = tw_now_us();
    mark_http2_connections(worker);
    for (h2o_linklist_t *link = worker->conns.next; link != &worker->conns; link = link->next) {
        struct tw_conn *conn = H2O_STRUCT_FROM_MEMBER(struct tw_conn, link, link);
        bool used_or_old = conn->requests > 0 ||
                           now_us - conn->accepted_us > UNUSED_CONNECTION_GRACE_US;
        if (!conn->is_http2 && used_or_old && is_idle(conn))
            shutdown(h2o_socket_get_fd(conn->sock), SHUT_RD);
    }
}

static void begin_drain(struct tw_worker *worker, uint64_t within_ms, const char *why)
{
    if (worker->draining)
        return;
    tw_log(TW_LEVEL_INFO, "worker_draining", "%s", why);
    worker->draining = true;
    worker->drain_until_us = tw_now_us() + within_ms * 1000;
    for (size_t i = 0; i < worker->config->n_listens; i++) {
        while (accept_some(&worker->listeners[i], ACCEPT_BATCH))
            ; // what is in the backlog was promised an answer
        h2o_socket_read_stop(worker->listeners[i].sock);
        worker->listeners[i].paused = false;
    }
    h2o_context_request_shutdown(&worker->ctx);
    close_idle_connections(worker);
}

static bool has_drained(const struct tw_worker *worker)
{
    if (!worker->draining)
        return false;
    bool empty = worker->conns.next == &worker->conns;
    return (empty && tw_db_unfinished(worker->db) == 0) || tw_now_us() >= worker->drain_until_us;
}

static void on_master_says(h2o_socket_t *sock, const char *err)
{
    struct tw_worker *worker = sock->data;
    struct tw_ipc_message message;
    enum tw_ipc_read read = TW_IPC_READ_CLOSED;
    while (!err && (read = tw_ipc_read(worker->heritage->ipc_fd, &message)) == TW_IPC_READ_MESSAGE)
        if (message.kind == TW_IPC_DRAIN)
            begin_drain(worker, worker->config->shutdown_drain_timeout_ms, "asked by the master");
    if (read == TW_IPC_READ_CLOSED) {
        h2o_socket_read_stop(sock);
        begin_drain(worker, ORPHAN_DRAIN_MS, "the master is gone");
    }
}

// ---- the loop -----------------------------------------------------------------------------------

static void publish(struct tw_worker *worker)
{
    unsigned ready = tw_db_ready(worker->db) | (tw_worker_keys_any(worker) ? TW_READY_KEYS : 0) |
                     (worker->draining ? 0 : TW_READY_SERVING);
    atomic_store_explicit(&worker->page->ready, ready, memory_order_relaxed);
    tw_metric_add(worker->page, TW_METRIC_LOG_LINES_DROPPED, (int64_t)tw_log_take_dropped());
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct tw_worker *worker = H2O_STRUCT_FROM_MEMBER(struct tw_worker, tick, entry);
    tw_worker_keys_update(worker);
    publish(worker);
    tw_log_flush();
    for (size_t i = 0; i < worker->config->n_listens; i++) {
        if (worker->listeners[i].paused) {
            worker->listeners[i].paused = false;
            h2o_socket_read_start(worker->listeners[i].sock, on_acceptable);
        }
    }
    if (worker->draining)
        close_idle_connections(worker);
    h2o_timeout_link(worker->ctx.loop, &worker->tick_timeout, &worker->tick);
}

static void loop(struct tw_worker *worker)
{
    while (!has_drained(worker)) {
        (void)h2o_evloop_run(worker->ctx.loop, TICK_MS);
        tw_db_flush(worker->db); // one sync per connection for all that this turn brought
        atomic_store_explicit(&worker->page->heartbeat_us, tw_now_us(), memory_order_relaxed);
    }
}

static bool listeners_init(struct tw_worker *worker)
{
    const struct tw_config *config = worker->config;
    worker->listeners = calloc(config->n_listens, sizeof(worker->listeners[0]));
    if (!worker->listeners)
        return false;
    for (size_t i = 0; i < config->n_listens; i++) {
        struct tw_listener *listener = &worker->listeners[i];
        const struct tw_listen *listen = &config->listens[i];
        char err[512];
        listener->worker = worker;
        listener->accept_ctx = (h2o_accept_ctx_t){.ctx = &worker->ctx,
                                                  .hosts = worker->globalconf.hosts};
        if (listen->tls_certificate) {
            listener->accept_ctx.ssl_ctx = tw_tls_new(listen, err, sizeof(err));
            if (!listener->accept_ctx.ssl_ctx) {
                tw_log(TW_LEVEL_ERROR, "tls_failed", "%s", err);
                return false;
            }
            if (listen->tls_client_ca)
                tw_client_cert_watch(listener->accept_ctx.ssl_ctx);
        }
        listener->sock = h2o_evloop_socket_create(worker->ctx.loop, worker->heritage->listen_fds[i],
                                                  H2O_SOCKET_FLAG_DONT_READ);
        listener->sock->data = listener;
        h2o_socket_read_start(listener->sock, on_acceptable);
    }
    return true;
}

// Who may use which route, and how many bad tokens an address may send.
static bool access_init(struct tw_worker *worker)
{
    const struct tw_config *config = worker->config;
    char err[256]; // main has said it already
    worker->access = tw_access_new(worker->heritage->routes, config, err, sizeof(err));
    worker->nobody = tw_principal_new(&(struct tw_claims){0}, 0);
    return worker->access && worker->nobody &&
           (config->auth_failures_rate == 0 ||
            tw_limit_rule_make(config->auth_failures_rate, 1000000, config->auth_failures_burst,
                               &worker->failure_rule));
}

static void h2o_init(struct tw_worker *worker)
{
    h2o_globalconf_t *conf = &worker->globalconf;
    const struct tw_config *config = worker->config;
    h2o_config_init(conf);
    conf->server_name = h2o_iovec_init(H2O_STRLIT("tillway"));
    conf->max_request_entity_size = config->http_body_max_bytes;
    conf->http1.req_timeout = config->http_request_timeout_ms;
    conf->http2.idle_timeout = config->http_request_timeout_ms;
    conf->http2.graceful_shutdown_timeout = config->shutdown_drain_timeout_ms; // default: for ever
    conf->http2.max_concurrent_requests_per_connection = 256;
    tw_request_install(
        worker, h2o_config_register_host(conf, h2o_iovec_init(H2O_STRLIT("default")), 65535));
    h2o_context_init(&worker->ctx, h2o_evloop_create(), conf);
    h2o_timeout_init(worker->ctx.loop, &worker->tick_timeout, TICK_MS);
}

static void dispose(struct tw_worker *worker)
{
    // Connections that outlived the drain end with the process; so does what the library caches.
    tw_db_free(worker->db);
    tw_worker_keys_dispose(worker);
    tw_principal_unref(worker->nobody);
    free(worker->access);
}

int tw_worker_run(const struct tw_heritage *heritage)
{
    static struct tw_worker self; // reachable until the end, as h2o points into it
    struct tw_worker *worker = &self;
    worker->heritage = heritage;
    worker->config = heritage->config;
    worker->page = tw_shared_worker(heritage->shared, heritage->worker_index);
    h2o_linklist_init_anchor(&worker->conns);
    signal(SIGPIPE, SIG_IGN);
    h2o_init(worker);
    worker->db = tw_db_new(&worker->ctx, worker->config, heritage->worker_index,
                           heritage->n_workers, worker->page);
    if (!worker->db || !tw_worker_keys_init(worker) || !access_init(worker) ||
        !listeners_init(worker)) {
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

    loop(worker);

    tw_log(TW_LEVEL_INFO, "worker_leaving", "drained");
    dispose(worker);
    tw_log_flush();
    return 0;
}

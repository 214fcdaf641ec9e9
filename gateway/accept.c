// SPDX-License-Identifier: Apache-2.0
#include "gateway/accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/client_address.h"
#include "gateway/log.h"
#include "gateway/proxy_header.h"
#include "gateway/tls_listener.h"

// Connections taken at once before others get their turn.
#define ACCEPT_BATCH 32

// Idle connections that give way when there is no room.
#define IDLE_CLOSED_AT_ONCE 32

struct tw_listener {
    struct tw_worker *worker;
    const struct tw_listen *listen;
    h2o_accept_ctx_t accept_ctx;
    struct tw_tls_listener *tls; // NULL: plain HTTP
    h2o_socket_t *sock;
    bool paused; // no room: tried again by the tick
};

// A connection whose PROXY header is still to come. `watcher` waits for bytes without reading them:
// what follows the header belongs to the library.
struct tw_pending_proxy {
    h2o_linklist_t link; // on worker->pending_proxies
    struct tw_listener *listener;
    struct tw_conn *conn;
    h2o_socket_t *watcher;
    size_t n;
    char bytes[TW_PROXY_HEADER_MAX_BYTES];
};

// ---- the life of a connection -------------------------------------------------------------------

static void end_pending(struct tw_conn *conn)
{
    if (!conn->pending_proxy)
        return;
    h2o_linklist_unlink(&conn->pending_proxy->link);
    h2o_socket_close(conn->pending_proxy->watcher);
    free(conn->pending_proxy);
    conn->pending_proxy = NULL;
}

static void on_conn_close(void *p)
{
    struct tw_conn *conn = p;
    struct tw_worker *worker = conn->worker;
    conn->magic = 0;
    h2o_linklist_unlink(&conn->link);
    end_pending(conn);
    tw_tls_end(conn);
    worker->n_conns--;
    if (conn->is_counted)
        tw_count_table_remove(worker->heritage->peer_counts, worker->heritage->row,
                              tw_address_key(&conn->client));
    tw_metric_add(worker->page, TW_METRIC_CONNECTIONS_OPEN, -1);
    tw_principal_unref(conn->certificate);
    free(conn);
}

static struct tw_address address_of(h2o_socket_t *sock)
{
    struct sockaddr_storage address;
    socklen_t n = h2o_socket_getpeername(sock, (struct sockaddr *)&address);
    if (n > 0 && address.ss_family == AF_INET)
        return tw_address_of(&((struct sockaddr_in *)&address)->sin_addr, 4);
    if (n > 0 && address.ss_family == AF_INET6)
        return tw_address_of(&((struct sockaddr_in6 *)&address)->sin6_addr, 16);
    return (struct tw_address){.n = 0};
}

static void set_client(struct tw_conn *conn, struct tw_address client)
{
    const struct tw_config *config = conn->worker->config;
    conn->client = client;
    conn->client_is_proxy = tw_is_trusted(config->trusted_proxies, config->n_trusted_proxies,
                                          &client);
}

// False when the client has too many.
static bool count(struct tw_conn *conn)
{
    const struct tw_heritage *heritage = conn->worker->heritage;
    unsigned most = conn->worker->config->http_max_connections_per_peer;
    if (conn->client_is_proxy || most == 0)
        return true;
    conn->is_counted = true;
    return tw_count_table_add(heritage->peer_counts, heritage->row,
                              tw_address_key(&conn->client)) <= most;
}

static void refuse(struct tw_conn *conn, enum tw_metric reason)
{
    tw_metric_add(conn->worker->page, reason, 1);
    h2o_socket_close(conn->sock);
}

static void hand_over(struct tw_listener *listener, struct tw_conn *conn)
{
    if (!count(conn)) {
        refuse(conn, TW_METRIC_CONNECTIONS_REFUSED_PEER);
        return;
    }
    if (listener->tls)
        tw_tls_begin(conn);
    h2o_accept(&listener->accept_ctx, conn->sock);
}

// ---- the PROXY header ---------------------------------------------------------------------------

// Takes bytes that have been looked at out of the kernel's buffer.
static bool take(struct tw_pending_proxy *pending, size_t n)
{
    int fd = h2o_socket_get_fd(pending->conn->sock);
    ssize_t got = recv(fd, pending->bytes + pending->n, n, 0);
    if (got > 0)
        pending->n += (size_t)got;
    return got == (ssize_t)n;
}

// TW_PROXY_MORE: come back when there is more to read.
static enum tw_proxy_read read_proxy_header(struct tw_pending_proxy *pending,
                                            struct tw_proxy_header *header)
{
    int fd = h2o_socket_get_fd(pending->conn->sock);
    ssize_t got = recv(fd, pending->bytes + pending->n, sizeof(pending->bytes) - pending->n,
                       MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return TW_PROXY_MORE;
    if (got <= 0)
        return TW_PROXY_INVALID;
    struct tw_str all = {pending->bytes, pending->n + (size_t)got};
    enum tw_proxy_read verdict = tw_proxy_header_parse(all, header);
    size_t take_n = verdict == TW_PROXY_DONE ? header->n_bytes - pending->n : (size_t)got;
    if (verdict == TW_PROXY_INVALID || !take(pending, take_n))
        return TW_PROXY_INVALID;
    return verdict;
}

static void on_proxy_bytes(h2o_socket_t *watcher, const char *err)
{
    struct tw_pending_proxy *pending = watcher->data;
    struct tw_listener *listener = pending->listener;
    struct tw_conn *conn = pending->conn;
    struct tw_proxy_header header;
    enum tw_proxy_read verdict = err ? TW_PROXY_INVALID : read_proxy_header(pending, &header);
    if (verdict == TW_PROXY_MORE)
        return;
    end_pending(conn);
    if (verdict == TW_PROXY_INVALID) {
        refuse(conn, TW_METRIC_CONNECTIONS_REFUSED_PROXY);
        return;
    }
    if (header.source.n > 0)
        set_client(conn, header.source);
    hand_over(listener, conn);
}

static void await_proxy_header(struct tw_listener *listener, struct tw_conn *conn)
{
    int fd = dup(h2o_socket_get_fd(conn->sock));
    struct tw_pending_proxy *pending = fd >= 0 ? malloc(sizeof(*pending)) : NULL;
    if (!conn->client_is_proxy || !pending) {
        if (fd >= 0)
            close(fd);
        free(pending);
        refuse(conn, TW_METRIC_CONNECTIONS_REFUSED_PROXY);
        return;
    }
    pending->listener = listener;
    pending->conn = conn;
    pending->n = 0;
    memset(&pending->link, 0, sizeof(pending->link));
    h2o_linklist_insert(&conn->worker->pending_proxies, &pending->link);
    pending->watcher = h2o_evloop_socket_create(conn->worker->ctx.loop, fd,
                                                H2O_SOCKET_FLAG_DONT_READ);
    pending->watcher->data = pending;
    conn->pending_proxy = pending;
    h2o_socket_read_start(pending->watcher, on_proxy_bytes);
}

// They stand in the order in which they came.
static void end_slow_headers(struct tw_worker *worker)
{
    uint64_t now_us = tw_now_us(), most_us = worker->config->http_request_timeout_ms * 1000;
    while (!h2o_linklist_is_empty(&worker->pending_proxies)) {
        struct tw_pending_proxy *first = H2O_STRUCT_FROM_MEMBER(struct tw_pending_proxy, link,
                                                                worker->pending_proxies.next);
        if (now_us - first->conn->accepted_us < most_us)
            return;
        refuse(first->conn, TW_METRIC_CONNECTIONS_REFUSED_PROXY);
    }
}

// ---- accepting ----------------------------------------------------------------------------------

// A client that leaves its TCP window closed, or acknowledges nothing, for so long: the kernel ends
// the connection, on HTTP/1 and on HTTP/2, over TLS or not, and also when all of the answer is with
// the kernel already. It alone knows what has been read. (tcp(7))
static void set_send_timeout(struct tw_conn *conn)
{
    unsigned most_ms = (unsigned)conn->worker->config->http_send_timeout_ms;
    (void)setsockopt(h2o_socket_get_fd(conn->sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &most_ms,
                     sizeof(most_ms));
}

// Those that a deployment or an outage has made come together spread when they end.
static uint64_t old_at_us(const struct tw_conn *conn)
{
    uint64_t most_us = conn->worker->config->http_connection_max_age_ms * 1000;
    return most_us == 0 ? UINT64_MAX : conn->accepted_us + tw_spread_us(most_us, conn->accepted_us);
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
    conn->old_at_us = old_at_us(conn);
    conn->peer = address_of(sock);
    conn->peer_name = tw_address_format(&conn->peer, conn->peer_text);
    set_client(conn, conn->peer);
    set_send_timeout(conn);
    h2o_linklist_insert(&worker->conns, &conn->link);
    worker->n_conns++;
    sock->on_close.cb = on_conn_close;
    sock->on_close.data = conn;
    tw_metric_add(worker->page, TW_METRIC_CONNECTIONS_ACCEPTED, 1);
    tw_metric_add(worker->page, TW_METRIC_CONNECTIONS_OPEN, 1);
    if (listener->listen->proxy_protocol)
        await_proxy_header(listener, conn);
    else
        hand_over(listener, conn);
}

// The listening socket is level-triggered: whoever does not accept must not look at it either.
static void pause_accepting(struct tw_listener *listener, const char *why)
{
    if (!listener->worker->accept_is_short) // once, not at every tick
        tw_log(TW_LEVEL_ERROR, "accept_paused", "%s", why);
    listener->worker->accept_is_short = true;
    listener->paused = true;
    h2o_socket_read_stop(listener->sock);
    tw_worker_close_idle(listener->worker, IDLE_CLOSED_AT_ONCE);
}

// Takes up to `most` connections; false when none was left, or no room.
static bool accept_some(struct tw_listener *listener, unsigned most)
{
    struct tw_worker *worker = listener->worker;
    for (unsigned i = 0; i < most; i++) {
        if (worker->n_conns >= worker->max_conns) {
            pause_accepting(listener, "as many connections as http.max_connections allows");
            return false;
        }
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener->sock);
        if (!sock) {
            if (errno == EMFILE || errno == ENFILE)
                pause_accepting(listener, "no file descriptors left");
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

static bool prepare_listener(struct tw_listener *listener, size_t index, int fd)
{
    struct tw_worker *worker = listener->worker;
    listener->accept_ctx = (h2o_accept_ctx_t){.ctx = &worker->ctx,
                                              .hosts = worker->globalconf.hosts};
    if (listener->listen->n_certificates > 0) {
        listener->tls = tw_tls_listener_new(worker, index);
        if (!listener->tls)
            return false;
        listener->accept_ctx.ssl_ctx = tw_tls_listener_entry(listener->tls);
    }
    listener->sock = h2o_evloop_socket_create(worker->ctx.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->sock->data = listener;
    return true;
}

bool tw_accept_prepare(struct tw_worker *worker)
{
    const struct tw_config *config = worker->config;
    unsigned n = worker->heritage->n_workers;
    h2o_linklist_init_anchor(&worker->pending_proxies);
    worker->max_conns = (config->http_max_connections + n - 1) / n;
    worker->max_handshakes = (config->tls_max_handshakes + n - 1) / n;
    worker->n_listeners = worker->heritage->n_listen_fds;
    worker->listeners = calloc(worker->n_listeners, sizeof(worker->listeners[0]));
    for (size_t i = 0; worker->listeners && i < worker->n_listeners; i++) {
        size_t of = i % config->n_listens;
        worker->listeners[i].worker = worker;
        worker->listeners[i].listen = &config->listens[of];
        if (!prepare_listener(&worker->listeners[i], of, worker->heritage->listen_fds[i]))
            return false;
    }
    return worker->listeners != NULL;
}

void tw_accept_start(struct tw_worker *worker)
{
    if (worker->accepting)
        return;
    worker->accepting = true;
    for (size_t i = 0; i < worker->n_listeners; i++)
        h2o_socket_read_start(worker->listeners[i].sock, on_acceptable);
}

void tw_accept_stop(struct tw_worker *worker)
{
    for (size_t i = 0; i < worker->n_listeners; i++) {
        struct tw_listener *listener = &worker->listeners[i];
        while (worker->accepting && accept_some(listener, ACCEPT_BATCH))
            ;
        h2o_socket_close(listener->sock);
        listener->sock = NULL;
    }
    worker->accepting = false;
}

void tw_accept_tick(struct tw_worker *worker)
{
    bool was_short = worker->accept_is_short, is_short = false;
    end_slow_headers(worker);
    for (size_t i = 0; i < worker->n_listeners; i++) {
        struct tw_listener *listener = &worker->listeners[i];
        if (listener->tls)
            tw_tls_listener_update(listener->tls);
        if (!listener->paused)
            continue;
        listener->paused = false;
        h2o_socket_read_start(listener->sock, on_acceptable);
        (void)accept_some(listener, ACCEPT_BATCH);
        is_short |= listener->paused;
    }
    worker->accept_is_short = is_short;
    if (was_short && !is_short)
        tw_log(TW_LEVEL_INFO, "accept_resumed", "there is room again");
}

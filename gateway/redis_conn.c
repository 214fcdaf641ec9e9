// SPDX-License-Identifier: Apache-2.0
#include "gateway/redis_conn.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/uuid.h"

#define BACKOFF_MIN_US  100000
#define BACKOFF_MAX_US  2000000
#define REPLY_MAX_BYTES ((size_t)4 << 20) // of one that is not complete yet
#define READ_BYTES      16384

enum state { DOWN, RESOLVING, CONNECTING, SECURING, GREETING, READY };

struct awaited {
    tw_redis_answered *answered;
    void *arg;
};

struct tw_redis_conn {
    const struct tw_redis_shared *shared;
    const struct tw_redis_greeting *greeting;
    tw_redis_changed *changed;
    void *owner;
    struct tw_redis_host host;
    enum state state;
    h2o_hostinfo_getaddr_req_t *lookup;
    unsigned tries; // since it was READY: chooses among several addresses
    h2o_socket_t *sock;
    int fd;   // belongs to sock
    SSL *ssl; // NULL: plain
    redisReader *reader;
    char *out; // [out_begin, out_end) is still to be sent
    size_t out_begin, out_end, out_size;
    struct awaited *awaited; // [awaited_begin, awaited_end)
    size_t awaited_begin, awaited_end, awaited_size;
    uint64_t since_us; // the state's, or of the last answer, or when the first was asked for
    uint64_t retry_at_us, backoff_us;
};

// ---- TLS ----------------------------------------------------------------------------------------

static const char *tls_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "unknown reason";
}

SSL_CTX *tw_redis_tls_new(const char *ca_file, char *err, size_t err_size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool done = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
                (ca_file[0] ? SSL_CTX_load_verify_locations(ctx, ca_file, NULL)
                            : SSL_CTX_set_default_verify_paths(ctx)) == 1;
    if (!done) {
        (void)snprintf(err, err_size, "fleet.ca_file: %s: %s", ca_file, tls_reason());
        SSL_CTX_free(ctx);
        ctx = NULL;
    } else {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION); // so that a write never waits to read
        SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    ERR_clear_error();
    return ctx;
}

// The certificate must be for the very name or address that was asked for.
static bool tls_begin(struct tw_redis_conn *conn)
{
    conn->ssl = SSL_new(conn->shared->tls);
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return false;
    SSL_set_connect_state(conn->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(conn->ssl), conn->host.name) == 1)
        return true;
    ERR_clear_error();
    return SSL_set1_host(conn->ssl, conn->host.name) == 1 &&
           SSL_set_tlsext_host_name(conn->ssl, conn->host.name) == 1;
}

static const char *tls_fault(const SSL *ssl)
{
    long verdict = SSL_get_verify_result(ssl);
    return verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : tls_reason();
}

// ---- the socket's bytes: n > 0, 0: not now, -1: lost --------------------------------------------

static ssize_t tls_result(struct tw_redis_conn *conn, int n)
{
    int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, n);
    ERR_clear_error(); // the queue is h2o's as well
    return n > 0 ? n : error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t plain_result(ssize_t n)
{
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    return n > 0 ? n : -1;
}

static ssize_t wire_read(struct tw_redis_conn *conn, char *bytes, size_t n)
{
    if (conn->ssl)
        return tls_result(conn, SSL_read(conn->ssl, bytes, (int)n));
    return plain_result(recv(conn->fd, bytes, n, 0));
}

static ssize_t wire_write(struct tw_redis_conn *conn, const char *bytes, size_t n)
{
    if (conn->ssl)
        return tls_result(conn, SSL_write(conn->ssl, bytes, n > READ_BYTES ? READ_BYTES : (int)n));
    return plain_result(send(conn->fd, bytes, n, MSG_NOSIGNAL));
}

// ---- lost ---------------------------------------------------------------------------------------

static void set_state(struct tw_redis_conn *conn, enum state state)
{
    conn->state = state;
    conn->since_us = tw_now_us();
}

// Half of a pause is jitter, so that the workers of a fleet do not come back at once.
static void plan_retry(struct tw_redis_conn *conn)
{
    uint32_t random;
    tw_random(&random, sizeof(random));
    uint64_t half_us = conn->backoff_us / 2;
    conn->retry_at_us = tw_now_us() + half_us + random * half_us / UINT32_MAX;
    conn->backoff_us = conn->backoff_us * 2 < BACKOFF_MAX_US ? conn->backoff_us * 2
                                                             : BACKOFF_MAX_US;
}

static void close_wire(struct tw_redis_conn *conn)
{
    if (conn->lookup)
        h2o_hostinfo_getaddr_cancel(conn->lookup);
    SSL_free(conn->ssl);
    if (conn->sock)
        h2o_socket_close(conn->sock);
    if (conn->reader)
        redisReaderFree(conn->reader);
    conn->lookup = NULL;
    conn->ssl = NULL;
    conn->sock = NULL;
    conn->reader = NULL;
    conn->out_begin = conn->out_end = 0;
}

// Each that is told may send nothing: the connection is DOWN.
static void tell_the_waiting(struct tw_redis_conn *conn)
{
    while (conn->awaited_begin < conn->awaited_end) {
        struct awaited awaited = conn->awaited[conn->awaited_begin++];
        awaited.answered(awaited.arg, conn, NULL);
    }
    conn->awaited_begin = conn->awaited_end = 0;
}

void tw_redis_conn_lose(struct tw_redis_conn *conn, const char *why)
{
    char text[160]; // `why` may stand in what is freed
    if (conn->state == DOWN)
        return;
    (void)snprintf(text, sizeof(text), "%s", why);
    close_wire(conn);
    set_state(conn, DOWN);
    conn->tries++;
    plan_retry(conn);
    tell_the_waiting(conn);
    conn->changed(conn->owner, conn, text);
}

// ---- sending ------------------------------------------------------------------------------------

static void *grow(void *array, size_t *size, size_t needed, size_t item_bytes)
{
    size_t wanted = *size ? *size : 64;
    while (wanted < needed)
        wanted *= 2;
    void *bigger = wanted > *size ? realloc(array, wanted * item_bytes) : array;
    if (bigger)
        *size = wanted;
    return bigger;
}

static bool append_bytes(struct tw_redis_conn *conn, const char *bytes, size_t n)
{
    char *out = grow(conn->out, &conn->out_size, conn->out_end + n, 1);
    if (!out)
        return false;
    conn->out = out;
    memcpy(out + conn->out_end, bytes, n);
    conn->out_end += n;
    return true;
}

static bool append_awaited(struct tw_redis_conn *conn, struct awaited awaited)
{
    struct awaited *array = grow(conn->awaited, &conn->awaited_size, conn->awaited_end + 1,
                                 sizeof(conn->awaited[0]));
    if (!array)
        return false;
    conn->awaited = array;
    if (conn->awaited_begin == conn->awaited_end)
        conn->since_us = tw_now_us();
    array[conn->awaited_end++] = awaited;
    return true;
}

static bool append_command(struct tw_redis_conn *conn, int argc, const char **argv,
                           const size_t *lengths, struct awaited awaited)
{
    char *text = NULL;
    int n = redisFormatCommandArgv(&text, argc, argv, lengths);
    size_t before = conn->out_end;
    bool done = n > 0 && append_bytes(conn, text, (size_t)n) && append_awaited(conn, awaited);
    if (!done)
        conn->out_end = before;
    free(text);
    return done;
}

bool tw_redis_conn_send(struct tw_redis_conn *conn, int argc, const char **argv,
                        const size_t *lengths, tw_redis_answered *answered, void *arg)
{
    return conn->state == READY &&
           append_command(conn, argc, argv, lengths, (struct awaited){answered, arg});
}

static void on_writable(h2o_socket_t *sock, const char *err);

static void want_write(struct tw_redis_conn *conn)
{
    if (!h2o_socket_is_writing(conn->sock))
        h2o_socket_notify_write(conn->sock, on_writable);
}

void tw_redis_conn_flush(struct tw_redis_conn *conn)
{
    if (conn->state < GREETING)
        return;
    while (conn->out_begin < conn->out_end) {
        ssize_t n = wire_write(conn, conn->out + conn->out_begin, conn->out_end - conn->out_begin);
        if (n < 0) {
            tw_redis_conn_lose(conn, "cannot send");
            return;
        }
        if (n == 0) {
            want_write(conn);
            return;
        }
        conn->out_begin += (size_t)n;
    }
    conn->out_begin = conn->out_end = 0;
}

// ---- answers ------------------------------------------------------------------------------------

// False when there is none or the connection is gone.
static bool take_answer(struct tw_redis_conn *conn)
{
    void *reply = NULL;
    if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
        tw_redis_conn_lose(conn, conn->reader->errstr);
        return false;
    }
    if (!reply)
        return false;
    if (conn->awaited_begin == conn->awaited_end) {
        tw_redis_conn_lose(conn, "an answer to no question");
    } else {
        struct awaited awaited = conn->awaited[conn->awaited_begin++];
        conn->since_us = tw_now_us();
        awaited.answered(awaited.arg, conn, reply);
        if (conn->awaited_begin == conn->awaited_end)
            conn->awaited_begin = conn->awaited_end = 0;
    }
    freeReplyObject(reply);
    return conn->state != DOWN;
}

static void read_answers(struct tw_redis_conn *conn)
{
    char bytes[READ_BYTES];
    ssize_t n = 1;
    while (conn->state >= GREETING && (n = wire_read(conn, bytes, sizeof(bytes))) > 0) {
        if (redisReaderFeed(conn->reader, bytes, (size_t)n) != REDIS_OK ||
            conn->reader->len - conn->reader->pos > REPLY_MAX_BYTES) {
            tw_redis_conn_lose(conn, "an answer is too long");
            return;
        }
        while (take_answer(conn))
            ;
    }
    if (n < 0)
        tw_redis_conn_lose(conn, "connection closed");
}

// ---- greeting -----------------------------------------------------------------------------------

// What Redis says of a refusal names no secret. The last answer makes the connection READY.
static void on_greeted(void *arg, struct tw_redis_conn *conn, const redisReply *reply)
{
    char why[160];
    (void)arg;
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        (void)snprintf(why, sizeof(why), "refused: %s", reply->str);
        tw_redis_conn_lose(conn, why);
    } else if (conn->awaited_begin == conn->awaited_end) {
        set_state(conn, READY);
        conn->backoff_us = BACKOFF_MIN_US;
        conn->tries = 0;
        conn->changed(conn->owner, conn, NULL);
    }
}

static bool greet_with(struct tw_redis_conn *conn, int argc, const char **argv)
{
    return append_command(conn, argc, argv, NULL, (struct awaited){on_greeted, NULL});
}

static bool append_greeting(struct tw_redis_conn *conn)
{
    const struct tw_redis_greeting *is = conn->greeting;
    char number[16];
    bool done = true;
    (void)snprintf(number, sizeof(number), "%u", is->database);
    if (is->user[0])
        done = greet_with(conn, 3, (const char *[]){"AUTH", is->user, is->password});
    else if (is->password[0])
        done = greet_with(conn, 2, (const char *[]){"AUTH", is->password});
    if (done && is->database > 0)
        done = greet_with(conn, 2, (const char *[]){"SELECT", number});
    if (done && is->script)
        return greet_with(conn, 3, (const char *[]){"SCRIPT", "LOAD", is->script});
    return done && greet_with(conn, 1, (const char *[]){"PING"});
}

static void greet(struct tw_redis_conn *conn)
{
    conn->reader = redisReaderCreate();
    conn->state = GREETING; // the time counts on
    if (!conn->reader || !append_greeting(conn)) {
        tw_redis_conn_lose(conn, "out of memory");
        return;
    }
    tw_redis_conn_flush(conn);
}

// ---- connecting ---------------------------------------------------------------------------------

static void secure(struct tw_redis_conn *conn)
{
    char why[160];
    ERR_clear_error();
    int n = SSL_do_handshake(conn->ssl);
    int error = SSL_get_error(conn->ssl, n);
    if (n != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        (void)snprintf(why, sizeof(why), "TLS: %s", tls_fault(conn->ssl));
        tw_redis_conn_lose(conn, why);
    } else if (n == 1) {
        greet(conn);
    } else if (error == SSL_ERROR_WANT_WRITE) {
        want_write(conn);
    }
    ERR_clear_error();
}

static void connected(struct tw_redis_conn *conn)
{
    int error = 0;
    socklen_t n = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0) {
        tw_redis_conn_lose(conn, strerror(error));
    } else if (!conn->shared->tls) {
        greet(conn);
    } else if (tls_begin(conn)) {
        conn->state = SECURING;
        secure(conn);
    } else {
        tw_redis_conn_lose(conn, "out of memory");
    }
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct tw_redis_conn *conn = sock->data;
    (void)err; // reading says it, too
    if (conn->state == SECURING)
        secure(conn);
    if (conn->state >= GREETING)
        read_answers(conn);
    if (conn->state >= GREETING)
        tw_redis_conn_flush(conn);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct tw_redis_conn *conn = sock->data;
    (void)err;
    if (conn->state == CONNECTING) {
        h2o_socket_read_start(sock, on_readable);
        connected(conn);
    } else if (conn->state == SECURING) {
        secure(conn);
    } else {
        tw_redis_conn_flush(conn);
    }
}

static void connect_to(struct tw_redis_conn *conn, const struct sockaddr *address, socklen_t n)
{
    int on = 1;
    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd >= 0)
        conn->sock = h2o_evloop_socket_create(conn->shared->loop, conn->fd,
                                              H2O_SOCKET_FLAG_DONT_READ);
    set_state(conn, CONNECTING);
    if (conn->fd < 0 || (connect(conn->fd, address, n) != 0 && errno != EINPROGRESS)) {
        tw_redis_conn_lose(conn, strerror(errno));
        return;
    }
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    conn->sock->data = conn;
    h2o_socket_notify_write(conn->sock, on_writable);
}

static void on_resolved(h2o_hostinfo_getaddr_req_t *req, const char *error, struct addrinfo *found,
                        void *arg)
{
    struct tw_redis_conn *conn = arg;
    unsigned n = 0;
    (void)req;
    conn->lookup = NULL;
    for (struct addrinfo *at = found; at; at = at->ai_next)
        n++;
    if (error || n == 0) {
        tw_redis_conn_lose(conn, error ? error : "the name has no address");
        return;
    }
    for (n = conn->tries % n; n > 0; n--) // another one at each try
        found = found->ai_next;
    connect_to(conn, found->ai_addr, found->ai_addrlen);
}

static bool connect_numeric(struct tw_redis_conn *conn)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(conn->host.port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(conn->host.port)};
    if (inet_pton(AF_INET, conn->host.name, &v4.sin_addr) == 1)
        connect_to(conn, (struct sockaddr *)&v4, sizeof(v4));
    else if (inet_pton(AF_INET6, conn->host.name, &v6.sin6_addr) == 1)
        connect_to(conn, (struct sockaddr *)&v6, sizeof(v6));
    else
        return false;
    return true;
}

static void begin(struct tw_redis_conn *conn)
{
    char port[8];
    if (connect_numeric(conn))
        return;
    (void)snprintf(port, sizeof(port), "%u", conn->host.port);
    set_state(conn, RESOLVING);
    conn->lookup = h2o_hostinfo_getaddr(conn->shared->receiver,
                                        h2o_iovec_init(conn->host.name, strlen(conn->host.name)),
                                        h2o_iovec_init(port, strlen(port)), AF_UNSPEC, SOCK_STREAM,
                                        IPPROTO_TCP, AI_ADDRCONFIG, on_resolved, conn);
}

// ---- public -------------------------------------------------------------------------------------

struct tw_redis_conn *tw_redis_conn_new(const struct tw_redis_shared *shared,
                                        const struct tw_redis_greeting *greeting,
                                        tw_redis_changed *changed, void *owner)
{
    struct tw_redis_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    conn->shared = shared;
    conn->greeting = greeting;
    conn->changed = changed;
    conn->owner = owner;
    conn->backoff_us = BACKOFF_MIN_US;
    return conn;
}

void tw_redis_conn_free(struct tw_redis_conn *conn)
{
    if (!conn)
        return;
    close_wire(conn);
    conn->state = DOWN;
    tell_the_waiting(conn);
    free(conn->out);
    free(conn->awaited);
    free(conn);
}

void tw_redis_conn_address(struct tw_redis_conn *conn, const struct tw_redis_host *host)
{
    conn->host = *host;
}

const struct tw_redis_host *tw_redis_conn_host(const struct tw_redis_conn *conn)
{
    return &conn->host;
}

void tw_redis_conn_hurry(struct tw_redis_conn *conn)
{
    conn->retry_at_us = 0;
    conn->backoff_us = BACKOFF_MIN_US;
}

bool tw_redis_conn_ready(const struct tw_redis_conn *conn)
{
    return conn->state == READY;
}

void tw_redis_conn_tick(struct tw_redis_conn *conn, uint64_t now_us)
{
    bool waits = conn->state == READY ? conn->awaited_begin < conn->awaited_end
                                      : conn->state > RESOLVING; // a lookup has its own limits
    if (conn->state == DOWN && now_us >= conn->retry_at_us)
        begin(conn);
    else if (waits && now_us > conn->since_us + conn->shared->timeout_us)
        tw_redis_conn_lose(conn,
                           conn->state == READY ? "no answer in time" : "no connection in time");
}

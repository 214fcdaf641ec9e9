// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_listen.h"

#include <assert.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/db_conn.h"
#include "gateway/db_connect.h"
#include "gateway/db_resolve.h"
#include "gateway/db_shared.h"
#include "gateway/db_statement.h"
#include "gateway/h2o_include.h"
#include "gateway/log.h"
#include "gateway/uuid.h"

#define TICK_MS       50
#define PING_US       1000000 // between an answer and the next ping
#define ANSWER_MAX_US 1000000 // for the answer to a statement
#define ANSWER_MAX    "1000ms"

enum state {
    DOWN,
    CONNECTING,
    CHECKING,    // catalogue_ping is under way: before anything that would stay with a pooler
    SETTING_UP,  // session_setup is
    SUBSCRIBING, // catalogue_listen is
    TRYING,      // catalogue_ping is, once more
    HEARING,
};

struct tw_db_listener {
    h2o_loop_t *loop;
    const struct tw_config *config;
    const char *url;
    struct tw_db *db;
    const struct tw_db_listen_events *events;
    void *owner;
    struct tw_db_resolver *resolver, *own_resolver; // own: for cache.listen_url, else NULL
    enum state state;
    PGconn *pg;         // NULL when DOWN
    h2o_socket_t *sock; // on a dup of PQsocket; NULL when DOWN
    uint64_t socket_id; // of libpq's socket, which `sock` is for
    bool is_asking;     // a statement has no answer yet
    uint64_t limit_us;  // CONNECTING or is_asking: when to give up
    uint64_t next_us;   // DOWN: the next try; HEARING: the next ping
    uint64_t backoff_ms;
    char told[256]; // why it does not hear, as it was logged; empty while it does
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
};

// ---- the end of a connection --------------------------------------------------------------------

static void close_pg(struct tw_db_listener *listener)
{
    if (listener->sock)
        h2o_socket_close(listener->sock);
    if (listener->pg)
        PQfinish(listener->pg);
    listener->sock = NULL;
    listener->pg = NULL;
    listener->socket_id = 0;
    listener->is_asking = false;
}

// Half of the pause is jitter, so that all workers do not come back at once.
static void plan_retry(struct tw_db_listener *listener)
{
    uint32_t random;
    tw_random(&random, sizeof(random));
    uint64_t half_us = listener->backoff_ms * 1000 / 2;
    listener->next_us = tw_now_us() + half_us + (uint64_t)random * half_us / UINT32_MAX;
    listener->backoff_ms *= 2;
    if (listener->backoff_ms > listener->config->db_backoff_max_ms)
        listener->backoff_ms = listener->config->db_backoff_max_ms;
}

// One line for each reason, not for each try. Of libpq's text the first line: more may quote the
// connection string.
static void log_failure(struct tw_db_listener *listener, const char *why)
{
    const char *text = listener->pg ? PQerrorMessage(listener->pg) : "";
    int n = (int)strcspn(text, "\n");
    char told[sizeof(listener->told)];
    (void)snprintf(told, sizeof(told), "%s%s%.*s", why, n > 0 ? ": " : "", n, text);
    if (strcmp(told, listener->told) == 0)
        return;
    memcpy(listener->told, told, sizeof(told));
    tw_log(TW_LEVEL_WARN, "catalogue_unheard",
           "%s; products are read from the database until changes are heard", told);
}

static void fail(struct tw_db_listener *listener, const char *why)
{
    bool was_hearing = listener->state == HEARING;
    plan_retry(listener);
    log_failure(listener, why);
    close_pg(listener);
    listener->state = DOWN;
    if (was_hearing)
        listener->events->on_hearing(listener->owner, false);
}

// ---- statements, one after the other ------------------------------------------------------------

static void on_writable(h2o_socket_t *sock, const char *err);

static bool flush(struct tw_db_listener *listener)
{
    int left = PQflush(listener->pg);
    if (left > 0 && !h2o_socket_is_writing(listener->sock))
        h2o_socket_notify_write(listener->sock, on_writable);
    return left >= 0;
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct tw_db_listener *listener = sock->data;
    if (err || !flush(listener))
        fail(listener, "cannot send");
}

static void ask(struct tw_db_listener *listener, enum state state, enum tw_stmt stmt)
{
    static const char *const setup_values[] = {ANSWER_MAX, ANSWER_MAX, "false", "on", "auto"};
    const struct tw_statement *statement = &tw_statements[stmt];
    assert(statement->n_params == 0 || statement->n_params == TW_COUNT(setup_values));
    listener->state = state;
    listener->is_asking = true;
    listener->limit_us = tw_now_us() + ANSWER_MAX_US;
    if (!PQsendQueryParams(listener->pg, statement->sql, statement->n_params, NULL,
                           statement->n_params > 0 ? setup_values : NULL, NULL, NULL, 0) ||
        !flush(listener))
        fail(listener, "cannot send");
}

static void answered(struct tw_db_listener *listener)
{
    listener->is_asking = false;
    switch (listener->state) {
    case CHECKING:
        ask(listener, SETTING_UP, TW_STMT_SESSION_SETUP);
        break;
    case SETTING_UP:
        ask(listener, SUBSCRIBING, TW_STMT_CATALOGUE_LISTEN);
        break;
    case SUBSCRIBING:
        ask(listener, TRYING, TW_STMT_CATALOGUE_PING);
        break;
    case TRYING:
        listener->state = HEARING;
        listener->backoff_ms = listener->config->db_backoff_min_ms;
        listener->told[0] = '\0';
        tw_log(TW_LEVEL_INFO, "catalogue_heard", "products are answered from memory");
        listener->events->on_hearing(listener->owner, true);
        // fallthrough
    default:
        listener->next_us = tw_now_us() + PING_US;
    }
}

// NULL: the answer is good.
static const char *fault_of(const struct tw_db_listener *listener, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK)
        return NULL;
    if (status != PGRES_TUPLES_OK)
        return "the server refuses";
    if (listener->state == SETTING_UP)
        return NULL;
    if (PQgetvalue(result, 0, 0)[0] != 'f')
        return "the server is a standby";
    if (strtol(PQgetvalue(result, 0, 1), NULL, 10) != PQbackendPID(listener->pg))
        return "a connection pooler stands before the server (give cache.listen_url a way past it)";
    return NULL;
}

static void take_messages(struct tw_db_listener *listener)
{
    PGnotify *message;
    while ((message = PQnotifies(listener->pg)) != NULL) {
        if (listener->state == HEARING)
            listener->events->on_message(listener->owner, tw_str_of(message->extra));
        PQfreemem(message);
    }
}

// False when the connection is of no more use, and has been closed.
static bool take_results(struct tw_db_listener *listener)
{
    while (listener->is_asking && !PQisBusy(listener->pg)) {
        PGresult *result = PQgetResult(listener->pg);
        const char *fault = result ? fault_of(listener, result) : NULL;
        PQclear(result);
        if (fault) {
            fail(listener, fault);
            return false;
        }
        if (!result)
            answered(listener);
        if (listener->state == DOWN)
            return false;
    }
    return true;
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct tw_db_listener *listener = sock->data;
    if (err || !PQconsumeInput(listener->pg)) {
        fail(listener, "the connection is lost");
        return;
    }
    if (take_results(listener))
        take_messages(listener);
}

// ---- connecting ---------------------------------------------------------------------------------

static void on_connect_event(h2o_socket_t *sock, const char *err);

// libpq may change its socket while it tries several addresses: watch the current one.
static bool watch_socket(struct tw_db_listener *listener)
{
    uint64_t id = tw_db_socket_id(listener->pg);
    if (listener->sock && listener->socket_id == id)
        return true;
    if (listener->sock)
        h2o_socket_close(listener->sock);
    listener->sock = NULL;
    listener->socket_id = id;
    int fd = id != 0 ? fcntl(PQsocket(listener->pg), F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    listener->sock = h2o_evloop_socket_create(listener->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->sock->data = listener;
    return true;
}

static void connected(struct tw_db_listener *listener)
{
    if (PQsetnonblocking(listener->pg, 1) != 0) {
        fail(listener, "cannot send");
        return;
    }
    h2o_socket_read_start(listener->sock, on_readable);
    ask(listener, CHECKING, TW_STMT_CATALOGUE_PING);
}

static void poll_connect(struct tw_db_listener *listener)
{
    PostgresPollingStatusType status = PQconnectPoll(listener->pg);
    if (status == PGRES_POLLING_FAILED || !watch_socket(listener)) {
        fail(listener, "cannot connect");
    } else if (status == PGRES_POLLING_OK) {
        connected(listener);
    } else if (status == PGRES_POLLING_READING) {
        h2o_socket_read_start(listener->sock, on_connect_event);
    } else {
        h2o_socket_read_stop(listener->sock);
        if (!h2o_socket_is_writing(listener->sock))
            h2o_socket_notify_write(listener->sock, on_connect_event);
    }
}

static void on_connect_event(h2o_socket_t *sock, const char *err)
{
    struct tw_db_listener *listener = sock->data;
    (void)err; // libpq sees it itself
    if (listener->state == CONNECTING)
        poll_connect(listener);
}

static void drop_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message; // notices are for people at a prompt
}

static PGconn *dial(const struct tw_db_listener *listener, const struct tw_db_addresses *addresses,
                    const char **why)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "tillway worker %u listen",
                   tw_db_worker_index(listener->db));
    const struct tw_db_login login = {
        .url = listener->url,
        .password_file = listener->config->db_password_file,
        .application = name,
        .server_kind = "primary", // a standby tells of nothing
        .host = addresses->host,
        .hostaddr = addresses->hostaddr,
        .port = addresses->port,
    };
    return tw_db_connect_start(&login, why);
}

static void start(struct tw_db_listener *listener)
{
    struct tw_db_addresses addresses;
    const char *why = "";
    enum tw_resolved resolved = tw_db_resolve(listener->resolver, &addresses, &why);
    if (resolved == TW_RESOLVED_PENDING)
        return;
    if (resolved == TW_RESOLVED_FAILED) {
        fail(listener, why);
        return;
    }
    uint64_t now_us = tw_now_us();
    uint64_t wait_us = tw_db_connect_wait_us(tw_db_shared(listener->db),
                                             listener->config->db_connect_rate, now_us);
    if (wait_us > 0) {
        listener->next_us = now_us + wait_us;
        return;
    }
    listener->state = CONNECTING;
    listener->limit_us = now_us + listener->config->db_connect_timeout_ms * 1000;
    listener->pg = dial(listener, &addresses, &why);
    if (!listener->pg || PQstatus(listener->pg) == CONNECTION_BAD || !watch_socket(listener)) {
        fail(listener, listener->pg ? "cannot connect" : why);
        return;
    }
    PQsetNoticeProcessor(listener->pg, drop_notice, NULL);
    // libpq: behave as if PQconnectPoll had said WRITING.
    h2o_socket_notify_write(listener->sock, on_connect_event);
}

// ---- time ---------------------------------------------------------------------------------------

// Another address may answer: this one is tried last for a while.
static void pass_by(struct tw_db_listener *listener)
{
    const char *hostaddr = PQhostaddr(listener->pg), *port = PQport(listener->pg);
    tw_db_resolver_silent(listener->resolver, hostaddr ? hostaddr : "", port ? port : "");
    fail(listener, "the server does not answer");
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct tw_db_listener *listener = H2O_STRUCT_FROM_MEMBER(struct tw_db_listener, tick, entry);
    uint64_t now_us = tw_now_us();
    if (listener->state == DOWN) {
        if (now_us >= listener->next_us)
            start(listener);
    } else if (listener->is_asking || listener->state == CONNECTING) {
        if (now_us >= listener->limit_us)
            pass_by(listener);
    } else if (now_us >= listener->next_us) {
        ask(listener, HEARING, TW_STMT_CATALOGUE_PING);
    }
    h2o_timeout_link(listener->loop, &listener->tick_timeout, &listener->tick);
}

struct tw_db_listener *tw_db_listener_new(struct st_h2o_context_t *ctx, struct tw_db *db,
                                          const struct tw_db_listen_events *events, void *owner)
{
    struct tw_db_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return NULL;
    listener->loop = ctx->loop;
    listener->db = db;
    listener->config = tw_db_config(db);
    listener->events = events;
    listener->owner = owner;
    listener->socket_id = 0;
    listener->backoff_ms = listener->config->db_backoff_min_ms;
    listener->url = listener->config->cache_listen_url;
    if (listener->url[0])
        listener->own_resolver = tw_db_resolver_new(&ctx->receivers.hostinfo_getaddr,
                                                    listener->url);
    else
        listener->url = listener->config->db_url;
    if (listener->config->cache_listen_url[0] && !listener->own_resolver) {
        free(listener);
        return NULL;
    }
    listener->resolver = listener->own_resolver ? listener->own_resolver
                                                : tw_db_primary_resolver(db);
    h2o_timeout_init(listener->loop, &listener->tick_timeout, TICK_MS);
    listener->tick.cb = on_tick;
    h2o_timeout_link(listener->loop, &listener->tick_timeout, &listener->tick);
    return listener;
}

void tw_db_listener_free(struct tw_db_listener *listener)
{
    if (!listener)
        return;
    h2o_timeout_unlink(&listener->tick);
    h2o_timeout_dispose(listener->loop, &listener->tick_timeout);
    close_pg(listener);
    tw_db_resolver_free(listener->own_resolver);
    free(listener);
}

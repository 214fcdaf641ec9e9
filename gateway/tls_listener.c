// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls_listener.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "gateway/client_cert.h"
#include "gateway/log.h"
#include "gateway/tls.h"
#include "gateway/tls_tickets.h"

struct tw_tls_listener {
    struct tw_worker *worker;
    const struct tw_listen *listen;
    size_t index;
    SSL_CTX *entry;
    struct tw_tls *tls;
    struct tw_ticket_ring ring;
    uint64_t tls_generation, ring_generation; // of the documents they come from
};

// ---- documents ----------------------------------------------------------------------------------

typedef bool take_document(struct tw_tls_listener *listener, struct tw_str text);

// Takes over the slot's document if it is another one than `*generation`; its copy is wiped.
static void take_if_new(struct tw_tls_listener *listener, size_t slot, uint64_t *generation,
                        take_document *take)
{
    const struct tw_shared *shared = listener->worker->heritage->shared;
    size_t n;
    if (tw_shared_document_generation(shared, slot) == *generation)
        return;
    char *buffer = mmap(NULL, TW_DOCUMENT_MAX_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return; // the next tick tries again
    (void)madvise(buffer, TW_DOCUMENT_MAX_BYTES, MADV_DONTDUMP);
    if (tw_shared_document_read(shared, slot, buffer, &n, generation)) {
        (void)take(listener, (struct tw_str){buffer, n});
        OPENSSL_cleanse(buffer, n);
    }
    (void)munmap(buffer, TW_DOCUMENT_MAX_BYTES);
}

static bool take_files(struct tw_tls_listener *listener, struct tw_str text)
{
    struct tw_worker *worker = listener->worker;
    struct tw_tls_bundle bundle;
    char err[512] = "a damaged document";
    struct tw_tls *tls = tw_tls_bundle_parse(listener->listen, text, &bundle)
                             ? tw_tls_new(listener->listen, listener->index, &bundle, err,
                                          sizeof(err))
                             : NULL;
    tw_metric_add(worker->page, tls ? TW_METRIC_TLS_FILES_LOADED : TW_METRIC_TLS_FILES_REFUSED, 1);
    if (!tls) {
        tw_log(TW_LEVEL_ERROR, "tls_failed", "listen[%zu]: %s", listener->index, err);
        return false;
    }
    tw_tls_free(listener->tls); // handshakes and connections keep what they use
    listener->tls = tls;
    return true;
}

static bool take_ring(struct tw_tls_listener *listener, struct tw_str text)
{
    char err[256];
    if (tw_ticket_ring_parse(text, &listener->ring, err, sizeof(err)))
        return true;
    tw_log(TW_LEVEL_ERROR, "ticket_keys_refused", "%s", err);
    return false;
}

static void update_ring(struct tw_tls_listener *listener)
{
    take_if_new(listener, tw_ticket_slot(listener->worker->config), &listener->ring_generation,
                take_ring);
}

void tw_tls_listener_update(struct tw_tls_listener *listener)
{
    update_ring(listener);
    take_if_new(listener, tw_tls_slot(listener->worker->config, listener->index),
                &listener->tls_generation, take_files);
}

// ---- callbacks of a handshake -------------------------------------------------------------------

// The host name in the hello (RFC 6066 §3); empty without one. OpenSSL refuses what is malformed.
static struct tw_str asked_name(SSL *ssl)
{
    const unsigned char *p;
    size_t n;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5 ||
        p[2] != TLSEXT_NAMETYPE_host_name)
        return (struct tw_str){NULL, 0};
    size_t name_n = (size_t)p[3] << 8 | p[4];
    if (name_n > n - 5)
        return (struct tw_str){NULL, 0};
    return (struct tw_str){(const char *)p + 5, name_n};
}

static void count_done(struct tw_conn *conn, SSL *ssl)
{
    static const enum tw_metric metrics[2][2] = {
        {TW_METRIC_TLS_12_FULL, TW_METRIC_TLS_12_RESUMED},
        {TW_METRIC_TLS_13_FULL, TW_METRIC_TLS_13_RESUMED},
    };
    bool is_13 = SSL_version(ssl) == TLS1_3_VERSION, is_resumed = SSL_session_reused(ssl) == 1;
    tw_metric_add(conn->worker->page, metrics[is_13][is_resumed], 1);
}

static void end_pending(struct tw_conn *conn)
{
    conn->tls_pending = false;
    conn->worker->n_handshakes--;
    tw_metric_add(conn->worker->page, TW_METRIC_TLS_PENDING, -1);
}

static void on_info(const SSL *ssl, int where, int value)
{
    bool is_alert = (where & SSL_CB_WRITE_ALERT) == SSL_CB_WRITE_ALERT &&
                    value >> 8 == SSL3_AL_FATAL;
    bool is_done = (where & SSL_CB_HANDSHAKE_DONE) != 0;
    struct tw_conn *conn = is_alert || is_done ? tw_client_cert_conn(ssl) : NULL;
    if (is_alert && conn)
        conn->tls_refused = true;
    if (!is_done)
        return;
    if (conn && conn->tls_pending) {
        end_pending(conn);
        count_done(conn, (SSL *)(uintptr_t)ssl);
    }
    tw_client_cert_keep(conn, ssl);
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    struct tw_tls_listener *listener = arg;
    SSL_set_info_callback(ssl, on_info); // it is the context's that is left now
    if (SSL_set_app_data(ssl, listener) == 1 && tw_tls_choose(listener->tls, ssl, asked_name(ssl)))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

// Tells the client whether its name was known; the choice has been made.
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tw_tls_listener *listener = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    return name && tw_tls_knows(listener->tls, tw_str_of(name)) ? SSL_TLSEXT_ERR_OK
                                                                : SSL_TLSEXT_ERR_NOACK;
}

// The ring must be the newest one now: the ticket may come from a worker that knows it already.
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tw_tls_listener *listener = SSL_get_app_data(ssl);
    if (!listener)
        return 0;
    update_ring(listener);
    int done = tw_ticket_seal(&listener->ring, name, iv, cipher, mac, sealing != 0);
    if (done == 0 && !sealing)
        tw_metric_add(listener->worker->page, TW_METRIC_TLS_TICKETS_UNKNOWN, 1);
    return done;
}

static void install(struct tw_tls_listener *listener)
{
    SSL_CTX *entry = listener->entry;
    uint64_t lifetime_ms = listener->worker->config->tls_ticket_rotation_ms * TW_TICKET_KEYS_OWN;
    SSL_CTX_set_client_hello_cb(entry, on_hello, listener);
    SSL_CTX_set_tlsext_servername_callback(entry, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(entry, listener);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(entry, on_ticket);
    SSL_CTX_set_timeout(entry, (long)(lifetime_ms / 1000));
    SSL_CTX_set_info_callback(entry, on_info);
    if (listener->listen->tls_client_ca)
        SSL_CTX_set_verify(entry, SSL_CTX_get_verify_mode(entry), tw_client_cert_verified);
}

// ---- life ---------------------------------------------------------------------------------------

struct tw_tls_listener *tw_tls_listener_new(struct tw_worker *worker, size_t index)
{
    char err[256] = "out of memory";
    struct tw_tls_listener *listener = calloc(1, sizeof(*listener));
    if (listener) {
        listener->worker = worker;
        listener->listen = &worker->config->listens[index];
        listener->index = index;
        listener->entry = tw_tls_entry_new(listener->listen, err, sizeof(err));
    }
    if (!listener || !listener->entry) {
        tw_log(TW_LEVEL_ERROR, "tls_failed", "listen[%zu]: %s", index, err);
        free(listener);
        return NULL;
    }
    install(listener);
    tw_tls_listener_update(listener);
    if (listener->tls)
        return listener;
    tw_log(TW_LEVEL_ERROR, "tls_failed", "listen[%zu]: nothing has been published for it", index);
    return NULL;
}

SSL_CTX *tw_tls_listener_entry(const struct tw_tls_listener *listener)
{
    return listener->entry;
}

// The library's list of handshakes by age is its timer's; what that would do later is done now.
static void make_room(struct tw_worker *worker)
{
    h2o_linklist_t *by_age = &worker->ctx.handshake_timeout._entries;
    worker->tls_evicting = true;
    while (worker->n_handshakes >= worker->max_handshakes && !h2o_linklist_is_empty(by_age)) {
        h2o_timeout_entry_t *oldest = H2O_STRUCT_FROM_MEMBER(h2o_timeout_entry_t, _link,
                                                             by_age->next);
        oldest->cb(oldest);
    }
    worker->tls_evicting = false;
}

void tw_tls_begin(struct tw_conn *conn)
{
    struct tw_worker *worker = conn->worker;
    make_room(worker);
    conn->tls_pending = true;
    conn->tls_began_ms = h2o_now(worker->ctx.loop);
    worker->n_handshakes++;
    tw_metric_add(worker->page, TW_METRIC_TLS_PENDING, 1);
}

void tw_tls_end(struct tw_conn *conn)
{
    struct tw_worker *worker = conn->worker;
    if (!conn->tls_pending)
        return;
    end_pending(conn);
    // The library's timer goes by the same clock, which stands still within a turn of the loop.
    uint64_t lasted_ms = h2o_now(worker->ctx.loop) - conn->tls_began_ms;
    enum tw_metric reason = conn->tls_refused      ? TW_METRIC_TLS_FAILED_REFUSED
                            : worker->tls_evicting ? TW_METRIC_TLS_FAILED_EVICTED
                            : lasted_ms >= worker->config->tls_handshake_timeout_ms
                                ? TW_METRIC_TLS_FAILED_TIMEOUT
                                : TW_METRIC_TLS_FAILED_CLOSED;
    tw_metric_add(worker->page, reason, 1);
}

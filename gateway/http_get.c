// SPDX-License-Identifier: Apache-2.0
#include "gateway/http_get.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX_BYTES 16384

struct tw_http_get {
    struct event_base *base;
    struct evhttp_connection *connection;
    struct bufferevent *stream; // belongs to connection
    SSL *ssl;                   // belongs to stream; NULL for http
    struct event *finish;       // deadline, and the way out of evhttp's callbacks
    struct evhttp_uri *uri;
    char host[256]; // without brackets
    size_t max_bytes;
    bool is_post;
    int code;
    tw_http_get_done *done;
    void *arg;

    bool over;  // the outcome below is final
    int broken; // enum evhttp_request_error, -1: not reported
    char error[256];
    char *body;
    size_t body_n;
    uint64_t fresh_s;
};

static void fail(struct tw_http_get *get, const char *fmt, ...) TW_PRINTF(2, 3);

// The first failure counts.
static void fail(struct tw_http_get *get, const char *fmt, ...)
{
    va_list args;
    if (get->error[0] != '\0')
        return;
    va_start(args, fmt);
    vsnprintf(get->error, sizeof(get->error), fmt, args);
    va_end(args);
}

// Ends the request in the next turn of the loop, outside of evhttp's own calls.
static void finish_soon(struct tw_http_get *get)
{
    get->over = true;
    event_active(get->finish, EV_TIMEOUT, 0);
}

static bool is_secure(const struct tw_http_get *get)
{
    const char *scheme = evhttp_uri_get_scheme(get->uri);
    return scheme && tw_str_ieq(tw_str_of(scheme), TW_STR("https"));
}

static int port_of(const struct tw_http_get *get)
{
    int port = evhttp_uri_get_port(get->uri);
    return port > 0 ? port : is_secure(get) ? 443 : 80;
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

// The first message of OpenSSL's queue, which is emptied.
static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    return reason ? reason : "TLS failure";
}

static SSL_CTX *new_tls_context(const char *ca_file)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_default_verify_paths(context) == 1 &&
        (*ca_file == '\0' || SSL_CTX_load_verify_file(context, ca_file) == 1))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

// Chain and name are verified in the handshake; SNI is for names only (RFC 6066 section 3).
static bool bind_to_host(SSL *ssl, char *host)
{
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

// The TLS or plain stream to come; false with get->error.
static bool open_stream(struct tw_http_get *get, const char *ca_file)
{
    const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    if (!is_secure(get)) {
        get->stream = bufferevent_socket_new(get->base, -1, options);
        return get->stream != NULL;
    }
    ERR_clear_error();
    SSL_CTX *context = new_tls_context(ca_file); // anew each time: certificates on disk change
    SSL *ssl = context ? SSL_new(context) : NULL;
    SSL_CTX_free(context);
    if (ssl && bind_to_host(ssl, get->host))
        get->stream = bufferevent_openssl_socket_new(get->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                     options);
    if (get->stream) {
        get->ssl = ssl;
        return true;
    }
    fail(get, "cannot prepare TLS: %s", openssl_reason());
    SSL_free(ssl);
    return false;
}

static const char *broken_name(int broken)
{
    switch (broken) {
    case EVREQ_HTTP_TIMEOUT:
        return "timed out";
    case EVREQ_HTTP_EOF:
        return "the connection was closed too early";
    case EVREQ_HTTP_INVALID_HEADER:
        return "the answer is not HTTP";
    case EVREQ_HTTP_DATA_TOO_LONG:
        return "the answer is too large";
    default:
        return "the connection failed";
    }
}

// Why there is no answer, from the most telling source to the least.
static void explain(struct tw_http_get *get)
{
    int dns = bufferevent_socket_get_dns_error(get->stream);
    long verify = get->ssl ? SSL_get_verify_result(get->ssl) : X509_V_OK;
    unsigned long tls = get->ssl ? bufferevent_get_openssl_error(get->stream) : 0;
    if (dns != 0)
        fail(get, "cannot resolve %s: %s", get->host, evutil_gai_strerror(dns));
    else if (verify != X509_V_OK)
        fail(get, "certificate refused: %s", X509_verify_cert_error_string(verify));
    else if (tls != 0 && ERR_reason_error_string(tls))
        fail(get, "TLS: %s", ERR_reason_error_string(tls));
    else if (get->broken < 0) // libevent has lost the errno by now
        fail(get, "cannot connect to %s port %d", get->host, port_of(get));
    else
        fail(get, "%s", broken_name(get->broken));
}

static void on_broken(enum evhttp_request_error error, void *arg)
{
    struct tw_http_get *get = arg;
    get->broken = (int)error;
}

static uint64_t fresh_s_of(struct evhttp_request *req)
{
    struct tw_freshness freshness = {.max_age_s = TW_FRESHNESS_UNKNOWN};
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(req);
    for (const struct evkeyval *header = headers->tqh_first; header;
         header = header->next.tqe_next) {
        struct tw_str name = tw_str_of(header->key), value = tw_str_of(header->value);
        if (tw_str_ieq(name, TW_STR("cache-control")))
            tw_freshness_cache_control(&freshness, value);
        else if (tw_str_ieq(name, TW_STR("age")))
            tw_freshness_age(&freshness, value);
    }
    return tw_freshness_left_s(&freshness);
}

static void take_body(struct tw_http_get *get, struct evhttp_request *req)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    size_t n = evbuffer_get_length(body);
    if (n > get->max_bytes) {
        fail(get, "the answer is too large");
        return;
    }
    get->body = malloc(n ? n : 1);
    if (!get->body || evbuffer_remove(body, get->body, n) != (int)n) {
        fail(get, "out of memory");
        return;
    }
    get->body_n = n;
    get->fresh_s = fresh_s_of(req);
}

// evhttp's: `req` is NULL or without a status when the connection broke.
static void on_response(struct evhttp_request *req, void *arg)
{
    struct tw_http_get *get = arg;
    int code = req ? evhttp_request_get_response_code(req) : 0;
    if (get->over)
        return;
    get->code = code;
    if (code == 0 || get->broken >= 0)
        explain(get);
    else if (get->is_post ? code < 200 || code > 299 : code != HTTP_OK)
        fail(get, "answered %d", code);
    else
        take_body(get, req);
    finish_soon(get);
}

static void free_get(struct tw_http_get *get)
{
    if (get->connection)
        evhttp_connection_free(get->connection); // and the stream with it
    else if (get->stream)
        bufferevent_free(get->stream);
    if (get->finish)
        event_free(get->finish);
    if (get->uri)
        evhttp_uri_free(get->uri);
    free(get->body);
    free(get);
}

static void on_finish(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tw_http_get *get = arg;
    if (!get->over)
        fail(get, "timed out");
    struct tw_http_get_answer answer = {
        .error = get->error[0] != '\0' ? get->error : NULL,
        .code = get->code,
        .body = {get->body, get->body_n},
        .fresh_s = get->fresh_s,
    };
    get->over = true;
    get->done(get->arg, &answer);
    free_get(get);
}

// Splits the URI; false with get->error.
static bool take_uri(struct tw_http_get *get, const char *uri)
{
    get->uri = evhttp_uri_parse(uri);
    const char *host = get->uri ? evhttp_uri_get_host(get->uri) : NULL;
    size_t n = host ? strlen(host) : 0;
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    if (n == 0 || n >= sizeof(get->host)) {
        fail(get, "not a URI");
        return false;
    }
    snprintf(get->host, sizeof(get->host), "%.*s", (int)(brackets ? n - 2 : n),
             brackets ? host + 1 : host);
    return true;
}

static bool open_connection(struct tw_http_get *get, struct evdns_base *dns,
                            const struct tw_http_get_request *request)
{
    if (is_address(get->host))
        dns = NULL;
    else if (!dns) { // libevent would ask the blocking resolver
        fail(get, "cannot resolve %s: no name server is known", get->host);
        return false;
    }
    if (!open_stream(get, request->ca_file))
        return false;
    get->connection = evhttp_connection_base_bufferevent_new(get->base, dns, get->stream, get->host,
                                                             (uint16_t)port_of(get));
    if (!get->connection)
        return false;
    struct timeval idle = {.tv_sec = (time_t)(request->timeout_ms / 1000 + 1)};
    evhttp_connection_set_timeout_tv(get->connection, &idle);
    evhttp_connection_set_max_headers_size(get->connection, HEADERS_MAX_BYTES);
    evhttp_connection_set_max_body_size(get->connection, (ev_ssize_t)get->max_bytes);
    return true;
}

static bool add_headers(const struct tw_http_get *get, struct evkeyvalq *headers)
{
    char host[300];
    const char *name = evhttp_uri_get_host(get->uri); // with its brackets
    bool usual = port_of(get) == (is_secure(get) ? 443 : 80);
    snprintf(host, sizeof(host), usual ? "%s" : "%s:%d", name, port_of(get));
    return evhttp_add_header(headers, "Host", host) == 0 &&
           evhttp_add_header(headers, "Accept", "application/json") == 0 &&
           evhttp_add_header(headers, "User-Agent", "tillway") == 0 &&
           evhttp_add_header(headers, "Connection", "close") == 0;
}

// The header and the body that not every request has.
static bool add_more(struct evhttp_request *req, const struct tw_http_get_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    if (request->header_name &&
        evhttp_add_header(headers, request->header_name, request->header_value) != 0)
        return false;
    return !request->post.p ||
           (evhttp_add_header(headers, "Content-Type", "application/json") == 0 &&
            evbuffer_add(evhttp_request_get_output_buffer(req), request->post.p, request->post.n) ==
                0);
}

static bool send_request(struct tw_http_get *get, const struct tw_http_get_request *request)
{
    char target[4096];
    const char *path = evhttp_uri_get_path(get->uri), *query = evhttp_uri_get_query(get->uri);
    int n = snprintf(target, sizeof(target), "%s%s%s", path && *path ? path : "/", query ? "?" : "",
                     query ? query : "");
    struct evhttp_request *req = evhttp_request_new(on_response, get);
    if (!req)
        return false;
    evhttp_request_set_error_cb(req, on_broken);
    if (n < 0 || (size_t)n >= sizeof(target) ||
        !add_headers(get, evhttp_request_get_output_headers(req)) || !add_more(req, request)) {
        evhttp_request_free(req);
        return false;
    }
    return evhttp_make_request(get->connection, req,
                               get->is_post ? EVHTTP_REQ_POST : EVHTTP_REQ_GET, target) == 0;
}

struct tw_http_get *tw_http_get_start(struct event_base *base, struct evdns_base *dns,
                                      const struct tw_http_get_request *request,
                                      tw_http_get_done *done, void *arg)
{
    struct tw_http_get *get = calloc(1, sizeof(*get));
    if (!get)
        return NULL;
    get->base = base;
    get->max_bytes = request->max_bytes;
    get->is_post = request->post.p != NULL;
    get->done = done;
    get->arg = arg;
    get->broken = -1;
    get->fresh_s = TW_FRESHNESS_UNKNOWN;
    get->finish = evtimer_new(base, on_finish, get);
    struct timeval deadline = {.tv_sec = (time_t)(request->timeout_ms / 1000),
                               .tv_usec = (suseconds_t)(request->timeout_ms % 1000) * 1000};
    if (!get->finish || evtimer_add(get->finish, &deadline) != 0) {
        free_get(get);
        return NULL;
    }
    if (!take_uri(get, request->uri) || !open_connection(get, dns, request) ||
        !send_request(get, request)) {
        fail(get, "cannot be requested");
        finish_soon(get);
    }
    return get;
}

void tw_http_get_cancel(struct tw_http_get *get)
{
    if (get)
        free_get(get);
}

bool tw_http_get_check_ca(const char *ca_file, char *err, size_t err_size)
{
    ERR_clear_error();
    SSL_CTX *context = new_tls_context(ca_file);
    if (!context)
        snprintf(err, err_size, "cannot use the certificates in \"%s\": %s", ca_file,
                 openssl_reason());
    SSL_CTX_free(context);
    return context != NULL;
}

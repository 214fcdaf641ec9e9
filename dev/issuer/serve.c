// SPDX-License-Identifier: Apache-2.0
// serve: see serve.h. Requests first, then the socket and its life.

#include "dev/issuer/serve.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dev/issuer/store.h"

struct server {
    const char *dir;
    const char *pool;
    struct event_base *base;
    char issuer[STORE_ISSUER_BYTES];
};

// Sends `body` (taken over; NULL means 500) and writes one log line.
static void answer(struct evhttp_request *req, int status, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct evbuffer *out = evbuffer_new();
    if (!text)
        status = HTTP_INTERNAL;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
    if (out && text)
        evbuffer_add(out, text, strlen(text));
    fprintf(stderr, "%lld %s %d\n", (long long)time(NULL), evhttp_request_get_uri(req), status);
    evhttp_send_reply(req, status, NULL, out);
    if (out)
        evbuffer_free(out);
    free(text);
    json_decref(body);
}

static void serve_jwks(struct server *server, struct evhttp_request *req)
{
    json_t *keys = store_read(server->dir);
    answer(req, HTTP_OK, keys ? store_jwks(keys) : NULL);
    json_decref(keys);
}

static void serve_discovery(struct server *server, struct evhttp_request *req)
{
    char jwks_uri[320];
    snprintf(jwks_uri, sizeof(jwks_uri), "%s/.well-known/jwks.json", server->issuer);
    answer(req, HTTP_OK,
           json_pack("{s:s, s:s, s:[s], s:[s, s], s:[s]}", "issuer", server->issuer, "jwks_uri",
                     jwks_uri, "subject_types_supported", "public",
                     "id_token_signing_alg_values_supported", "RS256", "ES256",
                     "response_types_supported", "code"));
}

static void serve_rotate(struct server *server, struct evhttp_request *req)
{
    struct evkeyvalq query;
    const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
    if (evhttp_parse_query_str(text ? text : "", &query) != 0) {
        answer(req, HTTP_BADREQUEST, json_pack("{s:s}", "message", "bad query"));
        return;
    }
    const char *drop = evhttp_find_header(&query, "drop"), *alg = evhttp_find_header(&query, "alg");
    if (alg && strcmp(alg, "RS256") != 0 && strcmp(alg, "ES256") != 0) {
        answer(req, HTTP_BADREQUEST, json_pack("{s:s}", "message", "alg is RS256 or ES256"));
    } else {
        int lock = store_lock(server->dir);
        bool ok = lock >= 0 && store_add(server->dir, alg, drop && strcmp(drop, "1") == 0, true);
        json_t *keys = ok ? store_read(server->dir) : NULL;
        answer(req, HTTP_OK, keys ? json_pack("{s:s}", "kid", text_of(keys, "current")) : NULL);
        json_decref(keys);
        if (lock >= 0)
            close(lock);
    }
    evhttp_clear_headers(&query);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    static const struct {
        enum evhttp_cmd_type method;
        const char *path;
        void (*serve)(struct server *, struct evhttp_request *);
    } routes[] = {
        {EVHTTP_REQ_GET, "/.well-known/jwks.json", serve_jwks},
        {EVHTTP_REQ_GET, "/.well-known/openid-configuration", serve_discovery},
        {EVHTTP_REQ_POST, "/rotate", serve_rotate},
    };
    struct server *server = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    size_t pool_n = strlen(server->pool);
    int status = HTTP_NOTFOUND;
    if (path && path[0] == '/' && strncmp(path + 1, server->pool, pool_n) == 0) {
        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
            if (strcmp(path + 1 + pool_n, routes[i].path) != 0)
                continue;
            if (evhttp_request_get_command(req) == routes[i].method) {
                routes[i].serve(server, req);
                return;
            }
            status = HTTP_BADMETHOD;
        }
    }
    answer(req, status, json_pack("{s:s}", "message", "no such thing here"));
}

static void on_signal(evutil_socket_t number, short events, void *base)
{
    (void)number;
    (void)events;
    event_base_loopbreak(base);
}

// The port the kernel gave, for --port 0.
static uint16_t bound_port(evutil_socket_t fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        die("getsockname: %s", strerror(errno));
    return address.ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port)
               : ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

// Says where it serves: one line of JSON on stdout, and the URL in DIR/issuer for `token`.
static void announce(struct server *server, const char *address, uint16_t port)
{
    const char *format = strchr(address, ':') ? "http://[%s]:%u/%s" : "http://%s:%u/%s";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(server->issuer, sizeof(server->issuer), format, address, (unsigned)port, server->pool);
#pragma GCC diagnostic pop
    if (!store_set_issuer(server->dir, server->issuer))
        die("cannot write into %s", server->dir);
    printf("{\"listening\":%u,\"issuer\":\"%s\"}\n", (unsigned)port, server->issuer);
    fflush(stdout);
}

void serve(const struct serve_place *place)
{
    struct server server = {.dir = place->dir, .pool = place->pool};
    json_decref(store_read_or_die(place->dir));
    server.base = event_base_new();
    struct evhttp *http = server.base ? evhttp_new(server.base) : NULL;
    struct event *stop[2] = {NULL};
    for (int i = 0; http && i < 2; i++) {
        stop[i] = evsignal_new(server.base, i ? SIGINT : SIGTERM, on_signal, server.base);
        if (!stop[i] || evsignal_add(stop[i], NULL) != 0)
            die("cannot watch signals");
    }
    if (!http)
        die("no event loop");
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_max_headers_size(http, 16384);
    evhttp_set_max_body_size(http, 4096);
    evhttp_set_timeout(http, 10);
    evhttp_set_gencb(http, on_request, &server);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, place->address,
                                                                       place->port);
    if (!bound)
        die("cannot listen on %s port %u: %s", place->address, (unsigned)place->port,
            strerror(errno));
    announce(&server, place->address, bound_port(evhttp_bound_socket_get_fd(bound)));
    event_base_dispatch(server.base);
    evhttp_free(http);
    event_free(stop[0]);
    event_free(stop[1]);
    event_base_free(server.base);
}

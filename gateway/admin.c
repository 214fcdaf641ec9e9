// SPDX-License-Identifier: Apache-2.0
#include "gateway/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/admin_pages.h"
#include "gateway/listen.h"
#include "gateway/log.h"

#define HEADERS_MAX_BYTES 8192
#define BODY_MAX_BYTES    1024
#define TIMEOUT_S         5

// The one of this process: evhttp keeps its listener's argument for itself.
static struct tw_admin *the_admin;

// Whoever embeds, guesses or frames it gets nothing: the pages are for this port alone.
static bool add_common_headers(struct evkeyvalq *headers)
{
    static const struct {
        const char *name, *value;
    } common[] = {{"Cache-Control", "no-store"},
                  {"X-Content-Type-Options", "nosniff"},
                  {"X-Frame-Options", "DENY"},
                  {"Cross-Origin-Resource-Policy", "same-origin"},
                  {"Referrer-Policy", "no-referrer"}};
    for (size_t i = 0; i < TW_COUNT(common); i++)
        if (evhttp_add_header(headers, common[i].name, common[i].value) != 0)
            return false;
    return true;
}

// libevent writes 16 KiB at a time otherwise, and looks for events between: a scrape was ten
// writes, and the scraper woke, and took somebody's processor, at each of them.
static void write_at_once(struct evhttp_request *req, size_t n)
{
    struct bufferevent *io = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
    (void)bufferevent_set_max_single_write(io, HEADERS_MAX_BYTES + n);
}

void tw_admin_send(struct evhttp_request *req, int code, const char *type, struct tw_str body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evbuffer_new();
    char length[24];
    snprintf(length, sizeof(length), "%zu", body.n);
    bool head_only = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    if (!out || evhttp_add_header(headers, "Content-Type", type) != 0 ||
        evhttp_add_header(headers, "Content-Length", length) != 0 || !add_common_headers(headers) ||
        (!head_only && evbuffer_add(out, body.p, body.n) != 0))
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    else {
        write_at_once(req, body.n);
        evhttp_send_reply(req, code, NULL, out);
    }
    if (out)
        evbuffer_free(out);
}

struct tw_json tw_admin_open_problem(enum tw_status status, const char *detail)
{
    const struct tw_status_info *info = tw_status_info(status);
    struct tw_json json = tw_json_heap();
    tw_json_object(&json);
    TW_JSON_STR(&json, "type", TW_STR("about:blank"));
    TW_JSON_STR(&json, "title", tw_str_of(info->title));
    TW_JSON_I64(&json, "status", info->http);
    TW_JSON_STR(&json, "code", tw_str_of(info->code));
    if (detail) {
        tw_json_key(&json, TW_STR("detail"));
        tw_json_str_untrusted(&json, tw_str_of(detail));
    }
    return json;
}

void tw_admin_send_opened(struct evhttp_request *req, int code, const char *type,
                          struct tw_json *json)
{
    tw_json_object_end(json);
    if (json->failed)
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    else
        tw_admin_send(req, code, type, (struct tw_str){json->p, json->n});
    free(json->p);
    *json = tw_json_heap();
}

void tw_admin_send_problem(struct evhttp_request *req, enum tw_status status, const char *detail)
{
    struct tw_json json = tw_admin_open_problem(status, detail);
    tw_admin_send_opened(req, tw_status_info(status)->http, "application/problem+json", &json);
}

static bool is_allowed(const struct tw_admin_page *page, enum evhttp_cmd_type method)
{
    return method == page->method || (method == EVHTTP_REQ_HEAD && page->method == EVHTTP_REQ_GET);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const struct tw_admin_page *page = path ? tw_admin_page(path) : NULL;
    tw_admin_connection_asks(arg, req);
    if (!tw_admin_host_is_ours(req)) {
        tw_admin_send_problem(req, TW_MISDIRECTED, "ask by an address, or as localhost");
    } else if (!page) {
        tw_admin_send_problem(req, TW_NOT_FOUND, NULL);
    } else if (is_allowed(page, evhttp_request_get_command(req))) {
        page->answer(req, arg);
    } else {
        (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Allow",
                                page->method == EVHTTP_REQ_GET ? "GET, HEAD" : "POST");
        tw_admin_send_problem(req, TW_METHOD_NOT_ALLOWED, NULL);
    }
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(arg);
}

// Without descriptors accept() fails again and again: rest a second instead of spinning. `arg` is
// evhttp's.
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    const struct timeval rest = {.tv_sec = 1};
    int error = errno;
    tw_log(TW_LEVEL_ERROR, "admin_accept_failed", "the admin port rests for 1 s: %s",
           strerror(error));
    if (event_add(the_admin->rest, &rest) == 0)
        (void)evconnlistener_disable(listener);
}

static void set_limits(struct evhttp *http)
{
    // Every method, so that the answer to the unexpected ones is ours.
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                         EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                         EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_max_headers_size(http, HEADERS_MAX_BYTES);
    evhttp_set_max_body_size(http, BODY_MAX_BYTES);
    evhttp_set_timeout(http, TIMEOUT_S);
    evhttp_set_default_content_type(http, NULL);
}

// Hands the listening socket `fd` to evhttp; false when memory is refused, and `fd` stays ours.
static bool serve(struct tw_admin *admin, struct event_base *base, int fd)
{
    admin->http = evhttp_new(base);
    if (!admin->http)
        return false;
    // Accepted sockets have it from this one. Else the end of a long answer waits for the client's
    // delayed acknowledgement: a scrape took 44 ms.
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    set_limits(admin->http);
    evhttp_set_gencb(admin->http, on_request, admin);
    if (!tw_admin_connections_start(admin, base))
        return false;
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(admin->http, fd);
    if (!bound)
        return false;
    admin->is_bound = true;
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(bound);
    admin->rest = evtimer_new(base, on_rested, listener);
    evconnlistener_set_error_cb(listener, on_accept_error);
    return admin->rest != NULL;
}

struct tw_admin *tw_admin_start(struct event_base *base, int fd, const struct tw_config *config,
                                const struct tw_admin_source *source, char *err, size_t err_size)
{
    struct tw_admin *admin = calloc(1, sizeof(*admin));
    if (admin) {
        admin->config = config;
        admin->source = *source;
        admin->fd = fd;
        admin->port = tw_listen_port(fd);
        the_admin = admin;
        if (serve(admin, base, fd))
            return admin;
    }
    snprintf(err, err_size, "cannot open the admin port: out of memory");
    bool is_taken = admin && admin->is_bound;
    tw_admin_free(admin);
    if (!is_taken)
        close(fd);
    return NULL;
}

void tw_admin_set_config(struct tw_admin *admin, const struct tw_config *config)
{
    admin->config = config;
}

int tw_admin_fd(const struct tw_admin *admin)
{
    return admin->fd;
}

uint16_t tw_admin_port(const struct tw_admin *admin)
{
    return admin->port;
}

void tw_admin_free(struct tw_admin *admin)
{
    if (!admin)
        return;
    if (admin->rest)
        event_free(admin->rest);
    tw_admin_connections_end(admin);
    if (admin->http)
        evhttp_free(admin->http);
    tw_lines_free(admin->lines);
    free(admin->metrics.p);
    free(admin);
}

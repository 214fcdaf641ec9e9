// SPDX-License-Identifier: Apache-2.0
#include "gateway/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/json_out.h"
#include "gateway/listen.h"
#include "gateway/log.h"

#define HEADERS_MAX_BYTES 8192
#define BODY_MAX_BYTES    1024
#define TIMEOUT_S         5

struct tw_admin {
    struct evhttp *http;
    struct event *rest; // pending: the port accepts nothing until then
    int fd;
    bool is_bound; // evhttp closes fd
    uint16_t port;
    const struct tw_config *config;
    struct tw_admin_source source;
};

// The one of this process: evhttp keeps its listener's argument for itself.
static struct tw_admin *the_admin;

static void send_body(struct evhttp_request *req, int code, const char *type, const char *body,
                      size_t n)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evbuffer_new();
    char length[24];
    snprintf(length, sizeof(length), "%zu", n);
    bool head_only = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    if (!out || evhttp_add_header(headers, "Content-Type", type) != 0 ||
        evhttp_add_header(headers, "Content-Length", length) != 0 ||
        evhttp_add_header(headers, "Cache-Control", "no-store") != 0 ||
        (!head_only && evbuffer_add(out, body, n) != 0))
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    else
        evhttp_send_reply(req, code, NULL, out);
    if (out)
        evbuffer_free(out);
}

static void send_problem(struct evhttp_request *req, enum tw_status status)
{
    const struct tw_status_info *info = tw_status_info(status);
    char buffer[512];
    struct tw_json json = tw_json_fixed(buffer, sizeof(buffer));
    tw_json_object(&json);
    TW_JSON_STR(&json, "type", TW_STR("about:blank"));
    TW_JSON_STR(&json, "title", tw_str_of(info->title));
    TW_JSON_I64(&json, "status", info->http);
    TW_JSON_STR(&json, "code", tw_str_of(info->code));
    tw_json_object_end(&json);
    send_body(req, info->http, "application/problem+json", json.p, json.n);
}

// Sends what `print` writes.
static void send_printed(struct evhttp_request *req, const char *type,
                         void (*print)(const struct tw_admin *admin, FILE *out),
                         const struct tw_admin *admin)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (out)
        print(admin, out);
    if (out && fclose(out) == 0)
        send_body(req, HTTP_OK, type, text, n);
    else
        send_problem(req, TW_INTERNAL);
    free(text);
}

static void get_livez(struct evhttp_request *req, const struct tw_admin *admin)
{
    (void)admin;
    send_body(req, HTTP_OK, "text/plain; charset=utf-8", "ok\n", 3);
}

static void put_reasons(struct tw_json *json, unsigned reasons)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{TW_UNREADY_DATABASE, "database"},
                 {TW_UNREADY_KEYS, "keys"},
                 {TW_UNREADY_WORKERS, "workers"}};
    tw_json_key(json, TW_STR("reasons"));
    tw_json_array(json);
    for (size_t i = 0; i < TW_COUNT(names); i++)
        if (reasons & names[i].bit)
            tw_json_str(json, tw_str_of(names[i].name));
    tw_json_array_end(json);
}

static void get_readyz(struct evhttp_request *req, const struct tw_admin *admin)
{
    struct tw_readiness now = admin->source.readiness(admin->source.arg);
    const char *status = now.draining ? "draining" : now.ready ? "ready" : "unready";
    char buffer[512];
    struct tw_json json = tw_json_fixed(buffer, sizeof(buffer));
    tw_json_object(&json);
    TW_JSON_STR(&json, "status", tw_str_of(status));
    tw_json_key(&json, TW_STR("workers"));
    tw_json_object(&json);
    TW_JSON_I64(&json, "ready", now.n_ready);
    TW_JSON_I64(&json, "expected", now.n_expected);
    tw_json_object_end(&json);
    put_reasons(&json, now.reasons);
    tw_json_object_end(&json);
    send_body(req, now.ready ? HTTP_OK : HTTP_SERVUNAVAIL, "application/json", json.p, json.n);
}

static void print_metrics(const struct tw_admin *admin, FILE *out)
{
    struct tw_metrics_view view = admin->source.metrics(admin->source.arg);
    tw_metrics_text(&view, out);
}

static void get_metrics(struct evhttp_request *req, const struct tw_admin *admin)
{
    send_printed(req, TW_METRICS_CONTENT_TYPE, print_metrics, admin);
}

static void print_config(const struct tw_admin *admin, FILE *out)
{
    tw_config_print(admin->config, out);
}

static void get_config(struct evhttp_request *req, const struct tw_admin *admin)
{
    send_printed(req, "text/plain; charset=utf-8", print_config, admin); // YAML, to be looked at
}

static const struct {
    const char *path;
    void (*get)(struct evhttp_request *req, const struct tw_admin *admin);
} pages[] = {
    {"/livez", get_livez},
    {"/readyz", get_readyz},
    {"/metrics", get_metrics},
    {"/config", get_config},
};

static void on_request(struct evhttp_request *req, void *arg)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    enum evhttp_cmd_type method = evhttp_request_get_command(req);
    for (size_t i = 0; path && i < TW_COUNT(pages); i++) {
        if (strcmp(path, pages[i].path) != 0)
            continue;
        if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD) {
            pages[i].get(req, arg);
            return;
        }
        (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
        send_problem(req, TW_METHOD_NOT_ALLOWED);
        return;
    }
    send_problem(req, TW_NOT_FOUND);
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
    set_limits(admin->http);
    evhttp_set_gencb(admin->http, on_request, admin);
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
    if (admin->http)
        evhttp_free(admin->http);
    free(admin);
}

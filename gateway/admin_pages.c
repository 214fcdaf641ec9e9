// SPDX-License-Identifier: Apache-2.0
#include "gateway/admin_pages.h"

#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/status_page.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"

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
        tw_admin_send(req, HTTP_OK, type, (struct tw_str){text, n});
    else
        tw_admin_send_problem(req, TW_INTERNAL, NULL);
    free(text);
}

static void get_livez(struct evhttp_request *req, struct tw_admin *admin)
{
    (void)admin;
    tw_admin_send(req, HTTP_OK, TEXT, TW_STR("ok\n"));
}

static void get_readyz(struct evhttp_request *req, struct tw_admin *admin)
{
    struct tw_readiness now = admin->source.readiness(admin->source.arg);
    struct tw_json json = tw_json_heap();
    tw_json_object(&json);
    TW_JSON_STR(&json, "status", tw_str_of(tw_readiness_word(&now)));
    tw_json_key(&json, TW_STR("workers"));
    tw_json_object(&json);
    TW_JSON_I64(&json, "ready", now.n_ready);
    TW_JSON_I64(&json, "expected", now.n_expected);
    tw_json_object_end(&json);
    tw_readiness_reasons_json(&json, now.reasons);
    tw_admin_send_opened(req, now.ready ? HTTP_OK : HTTP_SERVUNAVAIL, JSON, &json);
}

static void get_metrics(struct evhttp_request *req, struct tw_admin *admin)
{
    struct tw_metrics_view view = admin->source.metrics(admin->source.arg);
    struct tw_text *text = &admin->metrics;
    text->n = 0;
    text->failed = false;
    if (!admin->lines)
        admin->lines = tw_metrics_lines(view.shared, view.routes);
    if (admin->lines)
        tw_metrics_text(&view, admin->lines, text);
    if (!admin->lines || text->failed)
        tw_admin_send_problem(req, TW_INTERNAL, NULL);
    else
        tw_admin_send(req, HTTP_OK, TW_METRICS_CONTENT_TYPE, (struct tw_str){text->p, text->n});
}

static void print_config(const struct tw_admin *admin, FILE *out)
{
    tw_config_print(admin->config, out);
}

static void get_config(struct evhttp_request *req, struct tw_admin *admin)
{
    send_printed(req, TEXT, print_config, admin); // YAML, to be looked at
}

static void put_workers(struct tw_json *json, const struct tw_admin *admin)
{
    tw_json_key(json, TW_STR("workers"));
    tw_json_array(json);
    admin->source.workers(admin->source.arg, json);
    tw_json_array_end(json);
}

static void get_workers(struct evhttp_request *req, struct tw_admin *admin)
{
    struct tw_json json = tw_json_heap();
    tw_json_object(&json);
    put_workers(&json, admin);
    tw_admin_send_opened(req, HTTP_OK, JSON, &json);
}

// ---- the status page ----------------------------------------------------------------------------

static void get_status_page(struct evhttp_request *req, struct tw_admin *admin)
{
    (void)admin;
    (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Security-Policy",
                            tw_status_page_policy);
    tw_admin_send(req, HTTP_OK, "text/html; charset=utf-8",
                  (struct tw_str){tw_status_page, tw_status_page_bytes});
}

// ?after=N of the request; 0 without it. False when it is something else.
static bool read_after(struct evhttp_request *req, uint64_t *after)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
    struct evkeyvalq pairs = {0};
    int64_t number = 0;
    *after = 0;
    if (!query || *query == '\0')
        return true;
    if (evhttp_parse_query_str(query, &pairs) != 0)
        return false;
    const char *value = evhttp_find_header(&pairs, "after");
    bool good = value && tw_str_to_i64(tw_str_of(value), 0, INT64_MAX - 1, &number);
    evhttp_clear_headers(&pairs);
    *after = (uint64_t)number;
    return good;
}

static void get_status_json(struct evhttp_request *req, struct tw_admin *admin)
{
    const struct tw_admin_source *source = &admin->source;
    struct tw_json json = tw_json_heap();
    uint64_t after;
    if (!read_after(req, &after)) {
        tw_admin_send_problem(req, TW_INVALID_PARAMETER, "after is the number of a sample");
        return;
    }
    struct tw_operation operation = source->operation(source->arg);
    struct tw_metrics_view view = source->metrics(source->arg);
    tw_json_object(&json);
    tw_status_json(&json, &operation, &view, source->history, after);
    put_workers(&json, admin);
    tw_admin_send_opened(req, HTTP_OK, JSON, &json);
}

// ---- the table ----------------------------------------------------------------------------------

const struct tw_admin_page *tw_admin_page(const char *path)
{
    static const struct tw_admin_page pages[] = {
        {"/livez", EVHTTP_REQ_GET, get_livez},
        {"/readyz", EVHTTP_REQ_GET, get_readyz},
        {"/metrics", EVHTTP_REQ_GET, get_metrics},
        {"/config", EVHTTP_REQ_GET, get_config},
        {"/workers", EVHTTP_REQ_GET, get_workers},
        {"/", EVHTTP_REQ_GET, get_status_page},
        {"/status.json", EVHTTP_REQ_GET, get_status_json},
        {"/reload", EVHTTP_REQ_POST, tw_admin_post_reload},
    };
    for (size_t i = 0; i < TW_COUNT(pages); i++)
        if (strcmp(path, pages[i].path) == 0)
            return &pages[i];
    return NULL;
}

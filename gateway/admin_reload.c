// SPDX-License-Identifier: Apache-2.0
//
// POST /reload is SIGHUP with an answer: it comes when the outcome is known. Who asks while a
// reload is under way waits for the next one, because the files may have changed since they were
// read.
//
// No browser may: a page of any site can send a POST to a loopback address, and a name that is made
// to point there passes for the same origin. Browsers say Origin or Sec-Fetch-Site with every POST,
// other programs do not; so whoever says one of them is refused.

#include "gateway/admin_pages.h"

#include <ctype.h>
#include <stdlib.h>

static bool is_browser(struct evhttp_request *req)
{
    static const char *const said[] = {"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"};
    for (size_t i = 0; i < TW_COUNT(said); i++)
        if (evhttp_find_header(evhttp_request_get_input_headers(req), said[i]))
            return true;
    return false;
}

static void forget(struct tw_admin *admin, size_t i)
{
    admin->waiters[i] = admin->waiters[--admin->n_waiters];
}

bool tw_admin_reload_awaited(const struct tw_admin *admin, const struct evhttp_connection *evcon)
{
    for (size_t i = 0; i < admin->n_waiters; i++)
        if (evhttp_request_get_connection(admin->waiters[i].req) == evcon)
            return true;
    return false;
}

void tw_admin_reload_forget(struct tw_admin *admin, const struct evhttp_connection *evcon)
{
    for (size_t i = admin->n_waiters; i-- > 0;)
        if (evhttp_request_get_connection(admin->waiters[i].req) == evcon)
            forget(admin, i);
}

void tw_admin_post_reload(struct evhttp_request *req, struct tw_admin *admin)
{
    if (is_browser(req)) {
        tw_admin_send_problem(req, TW_CROSS_SITE, "curl -X POST does");
        return;
    }
    if (admin->n_waiters == TW_COUNT(admin->waiters)) {
        tw_admin_send_problem(req, TW_OVERLOADED, "too many wait for a reload");
        return;
    }
    const char *why = admin->source.reload(admin->source.arg);
    if (why) {
        tw_admin_send_problem(req, TW_CHANGE_IN_PROGRESS, why);
        return;
    }
    admin->waiters[admin->n_waiters++] = (struct tw_admin_waiter){.req = req};
}

// ---- answers ------------------------------------------------------------------------------------

static void send_done(struct evhttp_request *req, const struct tw_operation *now)
{
    struct tw_json json = tw_json_heap();
    tw_json_object(&json);
    TW_JSON_STR(&json, "status", TW_STR("reloaded"));
    TW_JSON_I64(&json, "generation", (int64_t)now->generation);
    TW_JSON_I64(&json, "workers", now->n_workers);
    tw_json_key(&json, TW_STR("loadedAt"));
    tw_json_time(&json, now->loaded_unix_ms);
    TW_JSON_STR(&json, "restartNeeded", tw_str_of(now->restart_keys));
    tw_admin_send_opened(req, HTTP_OK, "application/json", &json);
}

// The text up to the next ": ", which is taken off with it; all of it when there is none.
static struct tw_str take(struct tw_str *rest)
{
    for (size_t i = 0; i + 1 < rest->n; i++)
        if (rest->p[i] == ':' && rest->p[i + 1] == ' ') {
            struct tw_str taken = {rest->p, i};
            *rest = (struct tw_str){rest->p + i + 2, rest->n - i - 2};
            return taken;
        }
    struct tw_str all = *rest;
    rest->n = 0;
    return all;
}

// "tillway.yaml:12" has a line; "TILLWAY_DB_URL" has none.
static void put_place(struct tw_json *json, struct tw_str place)
{
    size_t digits = 0;
    int64_t line = 0;
    while (digits < place.n && isdigit((unsigned char)place.p[place.n - 1 - digits]))
        digits++;
    size_t name = place.n - digits;
    bool has_line = digits > 0 && name > 0 && place.p[name - 1] == ':' &&
                    tw_str_to_i64((struct tw_str){place.p + name, digits}, 1, INT32_MAX, &line);
    tw_json_key(json, TW_STR("file"));
    tw_json_str_untrusted(json, (struct tw_str){place.p, has_line ? name - 1 : place.n});
    if (has_line)
        TW_JSON_I64(json, "line", line);
}

static bool is_key(struct tw_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!isalnum((unsigned char)text.p[i]) && !strchr("._[]", text.p[i]))
            return false;
    return text.n > 0;
}

// A line of tw_config_load(): "file:line: key: reason", of which only the reason is always there.
static void put_error(struct tw_json *json, struct tw_str line)
{
    tw_json_object(json);
    struct tw_str rest = line, first = take(&rest);
    if (rest.n > 0 && !is_key(first)) {
        put_place(json, first);
        line = rest;
        first = take(&rest);
    }
    if (rest.n > 0 && is_key(first)) {
        TW_JSON_STR(json, "key", first);
        line = rest;
    }
    tw_json_key(json, TW_STR("reason"));
    tw_json_str_untrusted(json, line);
    tw_json_object_end(json);
}

static const char *line_end(const char *at)
{
    return at + strcspn(at, "\n");
}

static void send_failed(struct evhttp_request *req, enum tw_status status, const char *why)
{
    const char *at = why, *end = line_end(why);
    char detail[512];
    snprintf(detail, sizeof(detail), "%.*s", (int)(end - at), at);
    struct tw_json json = tw_admin_open_problem(status, detail);
    if (status == TW_CONFIG_INVALID) {
        tw_json_key(&json, TW_STR("errors"));
        tw_json_array(&json);
        for (; *at != '\0'; at = *end ? end + 1 : end) {
            end = line_end(at);
            put_error(&json, (struct tw_str){at, (size_t)(end - at)});
        }
        tw_json_array_end(&json);
    }
    tw_admin_send_opened(req, tw_status_info(status)->http, "application/problem+json", &json);
}

static void answer(struct tw_admin *admin, bool begun, enum tw_status status, const char *why)
{
    for (size_t i = admin ? admin->n_waiters : 0; i-- > 0;) {
        struct evhttp_request *req = admin->waiters[i].req;
        if (admin->waiters[i].begun != begun)
            continue;
        forget(admin, i);
        if (status == TW_OK) {
            struct tw_operation now = admin->source.operation(admin->source.arg);
            send_done(req, &now);
        } else {
            send_failed(req, status, why);
        }
    }
}

void tw_admin_reload_begun(struct tw_admin *admin)
{
    for (size_t i = 0; admin && i < admin->n_waiters; i++)
        admin->waiters[i].begun = true;
}

void tw_admin_reload_over(struct tw_admin *admin, enum tw_status status, const char *why)
{
    answer(admin, true, status, why);
}

void tw_admin_reload_refused(struct tw_admin *admin, const char *why)
{
    answer(admin, false, TW_CHANGE_IN_PROGRESS, why);
}

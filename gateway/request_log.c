// SPDX-License-Identifier: Apache-2.0
#include "gateway/request_log.h"

#include <openssl/sha.h>
#include <stdio.h>

#include "gateway/log.h"
#include "gateway/trace.h"
#include "gateway/worker.h"

_Static_assert(SHA256_DIGEST_LENGTH >= TW_SIPHASH_KEY_BYTES, "a key is cut from a digest");

void tw_request_log_init(struct tw_request_log *log, const struct tw_config *config)
{
    static const char *const names[] = {"hash", "plain", "none"};
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct tw_str secret = tw_str_of(config->log_principal_key);
    *log = (struct tw_request_log){
        .writes_access = config->log_access,
        .writes_audit = config->log_audit,
        .keep_ppm = {1000000, 1000000, config->log_sample_2xx_ppm, config->log_sample_3xx_ppm,
                     config->log_sample_4xx_ppm, 1000000},
    };
    for (unsigned i = 0; i < TW_COUNT(names); i++)
        if (strcmp(config->log_principal, names[i]) == 0)
            log->principal = (enum tw_log_principal)i;
    SHA256((const unsigned char *)secret.p, secret.n, digest);
    memcpy(log->hash_key, digest, sizeof(log->hash_key));
}

static struct tw_str str_of(h2o_iovec_t v)
{
    return (struct tw_str){v.base, v.len};
}

// The trace id's digits if the request is traced or the client has named one; empty otherwise, or
// if it has named several. `digits` is a buffer.
static struct tw_str trace_id_of(const struct tw_req *req, struct tw_trace_context *context,
                                 char digits[TW_TRACE_ID_TEXT_LEN])
{
    if (req->trace && req->trace->is_sampled) {
        *context = req->trace->context;
        tw_hex(context->trace_id, sizeof(context->trace_id), digits);
        return (struct tw_str){digits, TW_TRACE_ID_TEXT_LEN};
    }
    const h2o_headers_t *headers = &req->h2o->headers;
    ssize_t at = h2o_find_header_by_str(headers, H2O_STRLIT("traceparent"), -1);
    if (at < 0)
        return TW_STR("");
    struct tw_str value = str_of(headers->entries[at].value);
    if (!tw_traceparent_parse(value, context) ||
        h2o_find_header_by_str(headers, H2O_STRLIT("traceparent"), at) >= 0)
        return TW_STR("");
    return (struct tw_str){value.p + 3, TW_TRACE_ID_TEXT_LEN};
}

// Whether its line is one of those that are kept.
static bool is_kept(const struct tw_req *req, struct tw_str trace_id,
                    const struct tw_trace_context *context)
{
    static const unsigned char no_secret[TW_SIPHASH_KEY_BYTES];
    unsigned class = req->http_status / 100 <= 5 ? req->http_status / 100 : 5;
    uint32_t ppm = req->worker->request_log.keep_ppm[class];
    if (ppm >= 1000000)
        return true;
    return tw_share_has(trace_id.n > 0 ? tw_trace_randomness(context->trace_id)
                                       : tw_siphash(no_secret, req->request_id),
                        ppm);
}

bool tw_request_log_principal(const struct tw_req *req, char hash[TW_PRINCIPAL_HASH_LEN])
{
    const struct tw_principal *principal = req->principal;
    const struct tw_request_log *log = &req->worker->request_log;
    if (!principal || principal->subject.n == 0 || log->principal != TW_LOG_PRINCIPAL_HASH)
        return false;
    struct tw_str tag = {(const char *)principal->tag, sizeof(principal->tag)};
    uint64_t bits = tw_siphash(log->hash_key, tag);
    tw_hex((const unsigned char *)&bits, sizeof(bits), hash);
    return true;
}

static void set_principal(const struct tw_req *req, struct tw_log_access *entry,
                          char hash[TW_PRINCIPAL_HASH_LEN])
{
    if (tw_request_log_principal(req, hash))
        entry->principal = (struct tw_str){hash, TW_PRINCIPAL_HASH_LEN};
    else if (req->principal && req->worker->request_log.principal == TW_LOG_PRINCIPAL_PLAIN)
        entry->subject = req->principal->subject;
}

static struct tw_str protocol_name(const h2o_req_t *h2o)
{
    return h2o->version >= 0x200   ? TW_STR("HTTP/2")
           : h2o->version == 0x101 ? TW_STR("HTTP/1.1")
                                   : TW_STR("HTTP/1.0");
}

// One query may have been for several requests, of which some came late: their share of its time is
// theirs at most.
static uint64_t at_most(uint64_t us, uint64_t most_us)
{
    return us < most_us ? us : most_us;
}

// What all kinds of lines are made of. `client` is a buffer.
static struct tw_log_access entry_of(const struct tw_req *req, uint64_t duration_us,
                                     struct tw_str trace_id, char client[TW_ADDRESS_TEXT_MAX])
{
    const struct tw_conn *conn = req->conn;
    bool through_proxy = memcmp(&conn->peer, &req->client, sizeof(conn->peer)) != 0;
    return (struct tw_log_access){
        .level = tw_status_info(req->status)->level,
        .unix_ms = tw_worker_unix_ms(req->worker, req->started_us + duration_us),
        .request_id = req->request_id,
        .method = str_of(req->h2o->input.method),
        .path = req->path,
        .route = tw_str_of(req->route ? req->route->pattern : NULL),
        .protocol = protocol_name(req->h2o),
        .peer = conn->peer_name,
        .client = through_proxy ? tw_address_format(&req->client, client) : TW_STR(""),
        .code = req->status != TW_OK ? tw_str_of(tw_status_info(req->status)->code) : TW_STR(""),
        .trace_id = trace_id,
        .http_status = req->http_status,
        .bytes_sent = req->h2o->bytes_sent,
        .duration_us = duration_us,
        .n_statements = req->n_statements,
        .queue_us = at_most(req->queue_us, duration_us),
        .db_us = at_most(req->db_us, duration_us),
    };
}

// ---- audit --------------------------------------------------------------------------------------

// A change that is a manager's or an admin's to make, as THE table says, whatever auth.routes says.
static bool is_privileged(const struct tw_req *req)
{
    const unsigned privileged = TW_ROLE_MANAGER | TW_ROLE_ADMIN;
    const struct tw_route *route = req->route;
    return route && route->method != TW_GET && (route->roles & privileged) != 0 &&
           (route->roles & ~privileged) == 0;
}

static struct tw_str answer_header(const struct tw_req *req, const char *name, size_t n)
{
    const h2o_headers_t *headers = &req->h2o->res.headers;
    ssize_t at = h2o_find_header_by_str(headers, name, n, -1);
    return at < 0 ? TW_STR("") : str_of(headers->entries[at].value);
}

// What was made, else what was asked for.
static void audit(const struct tw_req *req, const struct tw_log_access *entry)
{
    bool done = req->http_status / 100 == 2;
    if (!done && req->http_status != 403)
        return;
    bool again = answer_header(req, H2O_STRLIT("idempotency-replayed")).n > 0;
    struct tw_str made = answer_header(req, H2O_STRLIT("location"));
    tw_log_audit(entry,
                 !done   ? "denied"
                 : again ? "replayed"
                         : "done",
                 made.n > 0 ? made : req->path, req->store);
}

// ---- failures -----------------------------------------------------------------------------------

// Lines about failed requests that a worker writes in a second; the next one tells how many were
// not. An outage is told by its first requests.
#define FAILURES_PER_S_MAX 10

static struct {
    uint64_t second;
    unsigned written;
    uint64_t untold;
} failures;

static bool may_tell(void)
{
    uint64_t second = tw_now_us() / 1000000;
    if (second != failures.second) {
        failures.second = second;
        failures.written = 0;
    }
    if (failures.written < FAILURES_PER_S_MAX)
        return ++failures.written;
    failures.untold++;
    return false;
}

static void failure(const struct tw_req *req, const struct tw_log_access *entry)
{
    char message[256], untold[64] = "", times[96] = "";
    if (!may_tell())
        return;
    if (entry->n_statements > 0)
        (void)snprintf(times, sizeof(times), "; queue %llu ms, database %llu ms",
                       (unsigned long long)entry->queue_us / 1000,
                       (unsigned long long)entry->db_us / 1000);
    if (failures.untold > 0)
        (void)snprintf(untold, sizeof(untold), "; %llu lines like this were left out",
                       (unsigned long long)failures.untold);
    failures.untold = 0;
    (void)snprintf(message, sizeof(message), "%s%s%s", tw_status_info(req->status)->title, times,
                   untold);
    tw_log_failure(entry, message);
}

// ---- the end ------------------------------------------------------------------------------------

static void log_all(const struct tw_req *req, uint64_t duration_us, struct tw_str trace_id,
                    bool is_access, bool is_audit)
{
    char client[TW_ADDRESS_TEXT_MAX], hash[TW_PRINCIPAL_HASH_LEN];
    struct tw_log_access entry = entry_of(req, duration_us, trace_id, client);
    set_principal(req, &entry, hash);
    if (is_access)
        tw_log_access(&entry);
    if (is_audit)
        audit(req, &entry);
    if (req->http_status >= 500)
        failure(req, &entry);
}

void tw_request_log_end(struct tw_req *req, uint64_t duration_us)
{
    struct tw_trace_context context;
    char digits[TW_TRACE_ID_TEXT_LEN];
    const struct tw_request_log *log = &req->worker->request_log;
    bool is_audit = log->writes_audit && is_privileged(req), is_access = log->writes_access;
    if (!is_access && !is_audit && req->http_status < 500)
        return;
    struct tw_str trace_id = trace_id_of(req, &context, digits);
    if (is_access && !is_kept(req, trace_id, &context)) {
        is_access = false;
        tw_metric_add(req->page, TW_METRIC_LOG_LINES_LEFT_OUT, 1);
        if (!is_audit)
            return; // a 5xx is always kept
    }
    log_all(req, duration_us, trace_id, is_access, is_audit);
}

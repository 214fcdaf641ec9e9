// SPDX-License-Identifier: Apache-2.0
#include "gateway/trace_export.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/http_get.h"
#include "gateway/log.h"
#include "gateway/otlp.h"

#define LOOK_MS          100
#define QUEUE_MAX        4096 // records
#define BATCH_MAX        256
#define ANSWER_MAX_BYTES 65536
#define PAUSE_FIRST_MS   1000
#define PAUSE_LONGEST_MS 60000
#define FINISH_US        1000000
#define BODY_FIRST_BYTES 65536
#define DNS_REST_US      10000000

struct tw_trace_export {
    struct event_base *base;
    const struct tw_config *config;
    struct tw_worker_page *page;
    struct tw_otlp_source source;
    char host_name[256];
    char *header_name, *header_value; // NULL: none
    struct event *look;
    struct evdns_base *dns; // made when it is needed
    uint64_t dns_used_us;
    struct tw_trace_ring *rings;
    unsigned n_rings;
    struct tw_trace_record *queue; // a ring of QUEUE_MAX
    size_t first, n;
    struct tw_trace_record *batch; // of BATCH_MAX: goes out, or is to be tried again
    size_t batch_n;
    struct tw_http_get *post; // in flight, or NULL
    uint64_t due_us;          // when the next batch goes out though it is not full
    uint64_t pause_ms;        // 0: all is well
    uint64_t pause_until_us;
    uint64_t finish_us; // since when it is to end; 0: it is not
};

// ---- the queue ----------------------------------------------------------------------------------

static void count(struct tw_trace_export *export, enum tw_metric metric, size_t n)
{
    tw_metric_add(export->page, metric, (int64_t)n);
}

// Where the next record goes; the oldest one makes room.
static struct tw_trace_record *room(struct tw_trace_export *export)
{
    if (export->n == QUEUE_MAX) {
        export->first = (export->first + 1) % QUEUE_MAX;
        export->n--;
        count(export, TW_METRIC_TRACES_DROPPED, 1);
    }
    return &export->queue[(export->first + export->n) % QUEUE_MAX];
}

static void empty_rings(struct tw_trace_export *export)
{
    for (unsigned i = 0; i < export->n_rings; i++)
        for (unsigned j = 0; j < TW_TRACE_RING_RECORDS; j++) {
            struct tw_trace_record record;
            if (!tw_trace_ring_take(tw_trace_ring_at(export->rings, i), &record))
                break;
            *room(export) = record;
            export->n++;
        }
}

static void fill_batch(struct tw_trace_export *export)
{
    while (export->n > 0 && export->batch_n < BATCH_MAX) {
        export->batch[export->batch_n++] = export->queue[export->first];
        export->first = (export->first + 1) % QUEUE_MAX;
        export->n--;
    }
}

// ---- sending ------------------------------------------------------------------------------------

static bool grow(struct tw_json *json, size_t cap)
{
    if (cap < json->cap * 2)
        cap = json->cap * 2;
    char *p = realloc(json->p, cap);
    if (!p)
        return false;
    json->p = p;
    json->cap = cap;
    return true;
}

// The resolver reads resolv.conf only when it is made.
static struct evdns_base *resolver(struct tw_trace_export *export)
{
    uint64_t now_us = tw_now_us();
    if (export->dns && now_us - export->dns_used_us > DNS_REST_US) {
        evdns_base_free(export->dns, 0);
        export->dns = NULL;
    }
    if (!export->dns)
        export->dns = evdns_base_new(export->base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
    export->dns_used_us = now_us;
    return export->dns;
}

static void sent(struct tw_trace_export *export)
{
    if (export->pause_ms > 0)
        tw_log(TW_LEVEL_INFO, "traces_sent", "the collector takes traces again");
    count(export, TW_METRIC_TRACES_SENT, export->batch_n);
    export->batch_n = 0;
    export->pause_ms = 0;
}

static void not_sent(struct tw_trace_export *export, const struct tw_http_get_answer *answer)
{
    bool is_refused = answer->code >= 300 && answer->code < 500 && answer->code != 429;
    uint64_t pause_ms = export->pause_ms * 2;
    if (export->pause_ms == 0) { // the first time, not each time
        pause_ms = PAUSE_FIRST_MS;
        tw_log(TW_LEVEL_WARN, "traces_not_sent", "the collector: %s%s", answer->error,
               is_refused ? "; this batch is dropped" : "; tried again with growing pauses");
    }
    count(export, TW_METRIC_TRACE_EXPORTS_FAILED, 1);
    if (is_refused) {
        count(export, TW_METRIC_TRACES_REFUSED, export->batch_n);
        export->batch_n = 0;
    }
    export->pause_ms = pause_ms < PAUSE_LONGEST_MS ? pause_ms : PAUSE_LONGEST_MS;
    export->pause_until_us = tw_now_us() + export->pause_ms * 1000;
}

static void on_answer(void *arg, const struct tw_http_get_answer *answer)
{
    struct tw_trace_export *export = arg;
    export->post = NULL;
    if (answer->error)
        not_sent(export, answer);
    else
        sent(export);
}

static void send_batch(struct tw_trace_export *export)
{
    struct tw_json json = tw_json_fixed(malloc(BODY_FIRST_BYTES), BODY_FIRST_BYTES);
    static const struct tw_http_get_answer no_memory = {.error = "out of memory"};
    json.grow = grow;
    if (json.p)
        tw_otlp_write(&json, &export->source, export->batch, export->batch_n);
    const struct tw_http_get_request request = {
        .uri = export->config->tracing_endpoint,
        .ca_file = export->config->tracing_ca_file,
        .timeout_ms = export->config->tracing_timeout_ms,
        .max_bytes = ANSWER_MAX_BYTES,
        .post = {json.p, json.n},
        .header_name = export->header_name,
        .header_value = export->header_value,
    };
    if (json.p && !json.failed)
        export->post = tw_http_get_start(export->base, resolver(export), &request, on_answer,
                                         export);
    if (!export->post)
        not_sent(export, &no_memory);
    free(json.p);
}

static void step(struct tw_trace_export *export)
{
    uint64_t now_us = tw_now_us();
    empty_rings(export);
    if (export->post || (export->pause_ms > 0 && now_us < export->pause_until_us))
        return;
    bool is_due = export->n >= BATCH_MAX || now_us >= export->due_us || export->finish_us > 0;
    if (export->batch_n == 0 && is_due) {
        fill_batch(export);
        export->due_us = now_us + export->config->tracing_interval_ms * 1000;
    }
    if (export->batch_n > 0)
        send_batch(export);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    step(arg);
}

// ---- life ---------------------------------------------------------------------------------------

// "Name: value", as config has it.
static bool take_header(struct tw_trace_export *export, const char *line)
{
    const char *colon = strchr(line, ':');
    if (!colon)
        return true;
    export->header_name = strndup(line, (size_t)(colon - line));
    export->header_value = strdup(colon + 1 + strspn(colon + 1, " "));
    return export->header_name && export->header_value;
}

static bool make(struct tw_trace_export *export)
{
    struct timeval often = {.tv_usec = LOOK_MS * 1000};
    export->rings = tw_trace_rings_new(export->n_rings);
    export->queue = malloc(QUEUE_MAX * sizeof(export->queue[0]));
    export->batch = malloc(BATCH_MAX * sizeof(export->batch[0]));
    export->look = event_new(export->base, -1, EV_PERSIST, on_look, export);
    return export->rings && export->queue && export->batch && export->look &&
           take_header(export, export->config->tracing_header) &&
           event_add(export->look, &often) == 0;
}

struct tw_trace_export *tw_trace_export_start(struct event_base *base,
                                              const struct tw_config *config,
                                              const struct tw_route_table *routes,
                                              struct tw_worker_page *page, unsigned n_workers,
                                              char *err, size_t err_size)
{
    err[0] = '\0';
    if (config->tracing_endpoint[0] == '\0')
        return NULL;
    struct tw_trace_export *export = calloc(1, sizeof(*export));
    if (export) {
        export->base = base;
        export->config = config;
        export->page = page;
        export->n_rings = n_workers;
        (void)gethostname(export->host_name, sizeof(export->host_name) - 1);
        export->source = (struct tw_otlp_source){config->tracing_service_name, export->host_name,
                                                 getpid(), routes};
    }
    if (export && make(export))
        return export;
    (void)snprintf(err, err_size, "cannot start: no memory for traces");
    tw_trace_export_free(export);
    return NULL;
}

struct tw_trace_ring *tw_trace_export_ring(struct tw_trace_export *export, unsigned worker)
{
    return export ? tw_trace_ring_at(export->rings, worker) : NULL;
}

static void take_over(struct tw_trace_export *export, const struct tw_trace_record *record)
{
    *room(export) = *record;
    export->n++;
}

void tw_trace_export_adopt(struct tw_trace_export *export, struct tw_trace_export *from)
{
    if (!export || !from)
        return;
    empty_rings(from);
    tw_http_get_cancel(from->post); // whether it has come is not known: better twice than never
    from->post = NULL;
    for (size_t i = 0; i < from->batch_n; i++)
        take_over(export, &from->batch[i]);
    for (size_t i = 0; i < from->n; i++)
        take_over(export, &from->queue[(from->first + i) % QUEUE_MAX]);
    from->n = from->batch_n = 0;
}

bool tw_trace_export_finish(struct tw_trace_export *export)
{
    if (!export)
        return true;
    if (export->finish_us == 0) {
        export->finish_us = tw_now_us();
        step(export);
    }
    bool is_empty = export->n == 0 && export->batch_n == 0 && !export->post;
    return is_empty || export->pause_ms > 0 || tw_now_us() - export->finish_us > FINISH_US;
}

void tw_trace_export_free(struct tw_trace_export *export)
{
    if (!export)
        return;
    count(export, TW_METRIC_TRACES_DROPPED, export->n + export->batch_n);
    if (export->look)
        event_free(export->look);
    tw_http_get_cancel(export->post);
    if (export->dns) { // which must outlive what was in flight by a turn
        (void)event_base_loop(export->base, EVLOOP_NONBLOCK);
        evdns_base_free(export->dns, 0);
    }
    tw_trace_rings_free(export->rings, export->n_rings);
    free(export->queue);
    free(export->batch);
    free(export->header_name);
    free(export->header_value);
    free(export);
}

bool tw_trace_export_check(const struct tw_config *config, char *err, size_t err_size)
{
    return config->tracing_endpoint[0] == '\0' ||
           tw_http_get_check_ca(config->tracing_ca_file, err, err_size);
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics_master.h"

#include <stdio.h>

#include "gateway/metrics_put.h"
#include "gateway/version.h"

static void put_one(struct tw_text *out, enum tw_family family, uint64_t value)
{
    tw_put_family(out, family);
    tw_put_u64(out, family, "", value);
}

static void put_readiness(const struct tw_metrics_view *view, struct tw_text *out)
{
    static const struct {
        unsigned bit;
        const char *labels;
    } reasons[] = {{TW_UNREADY_DATABASE, "reason=\"database\""},
                   {TW_UNREADY_KEYS, "reason=\"keys\""},
                   {TW_UNREADY_WORKERS, "reason=\"workers\""}};
    const struct tw_readiness *now = &view->readiness;
    put_one(out, TW_FAMILY_READY, now->ready);
    tw_put_family(out, TW_FAMILY_UNREADY);
    for (size_t i = 0; i < TW_COUNT(reasons); i++)
        tw_put_u64(out, TW_FAMILY_UNREADY, reasons[i].labels, (now->reasons & reasons[i].bit) != 0);
    tw_put_u64(out, TW_FAMILY_UNREADY, "reason=\"draining\"", now->draining);
    put_one(out, TW_FAMILY_WORKERS, view->n_workers_alive);
    put_one(out, TW_FAMILY_WORKERS_EXPECTED, now->n_expected);
    put_one(out, TW_FAMILY_WORKERS_READY, now->n_ready);
    put_one(out, TW_FAMILY_WORKER_RESTARTS, view->worker_restarts);
}

// ---- processes ----------------------------------------------------------------------------------

static void put_master_process(const struct tw_metrics_view *view, struct tw_text *out)
{
    const struct tw_process_stats *self = view->self;
    tw_put_family(out, TW_FAMILY_PROCESS_START);
    tw_put_seconds(out, TW_FAMILY_PROCESS_START, "", (uint64_t)view->start_unix_ms * 1000);
    if (!self || !self->is_known)
        return;
    tw_put_family(out, TW_FAMILY_PROCESS_CPU);
    tw_put_seconds(out, TW_FAMILY_PROCESS_CPU, "", self->cpu_us);
    put_one(out, TW_FAMILY_PROCESS_RESIDENT, self->resident_bytes);
    put_one(out, TW_FAMILY_PROCESS_VIRTUAL, self->virtual_bytes);
    put_one(out, TW_FAMILY_PROCESS_OPEN_FDS, self->open_fds);
    put_one(out, TW_FAMILY_PROCESS_MAX_FDS, self->max_fds);
}

static void put_worker(const struct tw_metrics_view *view, const struct tw_worker_stats *worker,
                       enum tw_family family, struct tw_text *out)
{
    const struct tw_process_stats *process = worker->process;
    uint64_t age_us = view->now_us - worker->started_us;
    char labels[TW_LABELS_MAX_BYTES];
    snprintf(labels, sizeof(labels), "worker=\"%u\"", worker->index);
    if (family == TW_FAMILY_WORKER_START)
        tw_put_seconds(out, family, labels, (uint64_t)view->now_unix_ms * 1000 - age_us);
    else if (family == TW_FAMILY_WORKER_HEARTBEAT_AGE && worker->heartbeat_us > 0)
        tw_put_seconds(out, family, labels,
                       view->now_us > worker->heartbeat_us ? view->now_us - worker->heartbeat_us
                                                           : 0);
    if (!process || !process->is_known)
        return;
    if (family == TW_FAMILY_WORKER_CPU)
        tw_put_seconds(out, family, labels, process->cpu_us);
    else if (family == TW_FAMILY_WORKER_RESIDENT)
        tw_put_u64(out, family, labels, process->resident_bytes);
    else if (family == TW_FAMILY_WORKER_OPEN_FDS && process->max_fds > 0)
        tw_put_u64(out, family, labels, process->open_fds);
    else if (family == TW_FAMILY_WORKER_MAX_FDS && process->max_fds > 0)
        tw_put_u64(out, family, labels, process->max_fds);
}

static void put_workers(const struct tw_metrics_view *view, struct tw_text *out)
{
    static const enum tw_family families[] = {
        TW_FAMILY_WORKER_HEARTBEAT_AGE, TW_FAMILY_WORKER_START,    TW_FAMILY_WORKER_CPU,
        TW_FAMILY_WORKER_RESIDENT,      TW_FAMILY_WORKER_OPEN_FDS, TW_FAMILY_WORKER_MAX_FDS};
    for (size_t i = 0; view->n_workers > 0 && i < TW_COUNT(families); i++) {
        tw_put_family(out, families[i]);
        for (size_t j = 0; j < view->n_workers; j++)
            put_worker(view, &view->workers[j], families[i], out);
    }
}

// ---- key sets and certificates ------------------------------------------------------------------

static void put_jwks_fetches(const struct tw_metrics_view *view, struct tw_text *out)
{
    char labels[TW_LABELS_MAX_BYTES];
    tw_put_family(out, TW_FAMILY_JWKS_FETCHES);
    for (size_t i = 0; i < view->n_jwks; i++) {
        const struct tw_jwks_stats *stats = &view->jwks[i];
        snprintf(labels, sizeof(labels), "issuer=\"%zu\",result=\"ok\"", stats->issuer);
        tw_put_u64(out, TW_FAMILY_JWKS_FETCHES, labels, stats->fetches_ok);
        snprintf(labels, sizeof(labels), "issuer=\"%zu\",result=\"error\"", stats->issuer);
        tw_put_u64(out, TW_FAMILY_JWKS_FETCHES, labels, stats->fetches_failed);
    }
}

static void put_jwks(const struct tw_metrics_view *view, struct tw_text *out)
{
    char labels[TW_LABELS_MAX_BYTES];
    if (view->n_jwks == 0)
        return;
    put_jwks_fetches(view, out);
    tw_put_family(out, TW_FAMILY_JWKS_AGE);
    for (size_t i = 0; i < view->n_jwks; i++) {
        const struct tw_jwks_stats *stats = &view->jwks[i];
        snprintf(labels, sizeof(labels), "issuer=\"%zu\"", stats->issuer);
        if (stats->last_ok_us > 0)
            tw_put_seconds(out, TW_FAMILY_JWKS_AGE, labels, view->now_us - stats->last_ok_us);
    }
}

static void put_certificates(const struct tw_metrics_view *view, struct tw_text *out)
{
    char labels[TW_LABELS_MAX_BYTES];
    if (view->n_certificates == 0)
        return;
    tw_put_family(out, TW_FAMILY_CERTIFICATE_EXPIRY);
    for (size_t i = 0; i < view->n_certificates; i++) {
        const struct tw_certificate_stats *of = &view->certificates[i];
        snprintf(labels, sizeof(labels), "listener=\"%zu\",certificate=\"%zu\",name=\"%s\"",
                 of->listen, of->certificate, of->name);
        tw_put_u64(out, TW_FAMILY_CERTIFICATE_EXPIRY, labels,
                   of->expires_unix_s > 0 ? (uint64_t)of->expires_unix_s : 0);
    }
}

void tw_metrics_master(const struct tw_metrics_view *view, struct tw_text *out)
{
    tw_put_family(out, TW_FAMILY_BUILD_INFO);
    tw_put_u64(out, TW_FAMILY_BUILD_INFO, "version=\"" TW_VERSION "\"", 1);
    put_readiness(view, out);
    put_master_process(view, out);
    put_workers(view, out);
    put_jwks(view, out);
    put_certificates(view, out);
}

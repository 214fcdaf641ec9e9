// SPDX-License-Identifier: Apache-2.0
#include "gateway/generation.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/auth_files.h"
#include "gateway/cpus.h"
#include "gateway/db_check.h"
#include "gateway/jwks_fetch.h"
#include "gateway/log_file.h"
#include "gateway/supervise.h"
#include "gateway/tls_bundle.h"
#include "gateway/tls_files.h"
#include "gateway/trace_export.h"

struct tw_log_setup tw_generation_log_setup(const struct tw_config *config)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct tw_log_setup setup = {.level = TW_LEVEL_INFO, .fd = -1};
    for (unsigned i = 0; i < TW_COUNT(names); i++)
        if (strcmp(config->log_level, names[i]) == 0)
            setup.level = (enum tw_level)i;
    if (strcmp(config->log_format, "text") == 0)
        setup.format = TW_LOG_TEXT;
    return setup;
}

static void on_unknown_kid(void *arg, size_t issuer)
{
    const struct tw_generation *generation = arg;
    tw_jwks_fetch_unknown_kid(generation->jwks, issuer);
}

// Rows 1 and up, or those behind the other generation's.
static unsigned free_rows(const struct tw_generation *other, unsigned n)
{
    return other && other->first_row < 1 + n ? tw_generation_end_row(other) : 1;
}

unsigned tw_generation_end_row(const struct tw_generation *generation)
{
    return generation->first_row + generation->n_workers;
}

static bool start_files(struct tw_generation *generation, const struct tw_household *household,
                        char *err, size_t err_size)
{
    const struct tw_config *config = generation->config;
    struct tw_worker_page *page = tw_shared_worker(household->pages, 0);
    generation->auth_files = tw_auth_files_start(household->base, config, generation->shared, page,
                                                 err, err_size);
    if (!generation->auth_files)
        return false;
    generation->tls_files = tw_tls_files_start(household->base, config, generation->shared, page,
                                               err, err_size);
    if (!generation->tls_files)
        return false;
    generation->jwks = tw_jwks_fetch_start(household->base, config, generation->shared, err,
                                           err_size);
    return generation->jwks != NULL;
}

static bool start_traces(struct tw_generation *generation, const struct tw_household *household,
                         char *err, size_t err_size)
{
    struct tw_worker_page *page = tw_shared_worker(household->pages, 0);
    generation->traces = tw_trace_export_start(household->base, generation->config,
                                               household->routes, page, generation->n_workers, err,
                                               err_size);
    return generation->traces || err[0] == '\0';
}

static void follow(struct tw_generation *generation, const struct tw_generation *before)
{
    tw_tls_files_follow(generation->tls_files, before->tls_files, before->shared);
    tw_jwks_fetch_follow(generation->jwks, before->jwks, before->shared);
}

static bool make_supervisor(struct tw_generation *generation, const struct tw_household *household,
                            bool waits, char *err, size_t err_size)
{
    struct tw_supervisor_setup setup = {
        .base = household->base,
        .config = generation->config,
        .routes = household->routes,
        .shared = generation->shared,
        .limits = household->limits,
        .peer_counts = household->peer_counts,
        .in_progress = household->in_progress,
        .n_workers = generation->n_workers,
        .first_row = generation->first_row,
        .sockets = &generation->sockets,
        .account = &generation->account,
        .waits = waits,
        .log = &generation->log,
        .traces = generation->traces,
        .on_unknown_kid = on_unknown_kid,
        .arg = generation,
    };
    generation->supervisor = tw_supervise_new(&setup);
    if (!generation->supervisor)
        snprintf(err, err_size, "cannot start workers: out of memory");
    return generation->supervisor != NULL;
}

// The first one of a process is the master's own, too.
static bool open_log(struct tw_generation *generation, bool is_first, char *err, size_t err_size)
{
    const char *path = generation->config->log_file;
    if (path[0] != '\0') {
        generation->log.fd = tw_log_file_open(path, err, err_size);
        if (generation->log.fd < 0)
            return false;
    }
    if (is_first)
        tw_log_open("master", -1, &generation->log);
    return true;
}

bool tw_generation_reopen_log(struct tw_generation *generation)
{
    char err[512];
    int before = generation->log.fd;
    if (before < 0)
        return false;
    int fd = tw_log_file_open(generation->config->log_file, err, sizeof(err));
    if (fd < 0) {
        tw_log(TW_LEVEL_ERROR, "log_reopen_failed", "%s; lines go where they went before", err);
        return false;
    }
    generation->log.fd = fd;
    tw_log_replace(before, fd);
    tw_supervise_change_log_file(generation->supervisor);
    close(before);
    return true;
}

static void say_connections(const struct tw_generation *generation)
{
    char warning[256];
    if (!tw_db_check_workers(generation->config, generation->n_workers, warning, sizeof(warning)))
        tw_log(TW_LEVEL_WARN, "db_connections_exceed", "%s", warning);
}

static bool make(struct tw_generation *generation, const struct tw_household *household,
                 const struct tw_generation *before, const struct tw_sockets *held, bool waits,
                 char *err, size_t err_size)
{
    const struct tw_config *config = generation->config;
    if (!open_log(generation, !before, err, err_size))
        return false;
    generation->n_workers = config->workers ? config->workers : tw_cpus_available();
    generation->first_row = free_rows(before, generation->n_workers);
    generation->shared = tw_shared_next(household->pages, tw_slots(config));
    if (!generation->shared) {
        snprintf(err, err_size, "cannot start: no shared memory");
        return false;
    }
    if (!tw_account_find(config, &generation->account, err, err_size) ||
        !tw_listen_open(config, generation->n_workers, before ? &before->sockets : held,
                        &generation->sockets, err, err_size) ||
        !start_files(generation, household, err, err_size) ||
        !start_traces(generation, household, err, err_size) ||
        !make_supervisor(generation, household, waits, err, err_size))
        return false;
    if (before)
        follow(generation, before);
    say_connections(generation);
    if (geteuid() == 0 && !generation->account.changes)
        tw_log(TW_LEVEL_WARN, "workers_are_root", "name an account for them in `user`");
    return true;
}

struct tw_generation *tw_generation_new(const struct tw_household *household,
                                        struct tw_config *config,
                                        const struct tw_generation *before,
                                        const struct tw_sockets *held, bool waits, char *err,
                                        size_t err_size)
{
    struct tw_generation *generation = calloc(1, sizeof(*generation));
    if (!generation) {
        snprintf(err, err_size, "cannot start: out of memory");
        tw_config_free(config);
        return NULL;
    }
    generation->config = config;
    generation->log = tw_generation_log_setup(config);
    if (make(generation, household, before, held, waits, err, err_size)) {
        (void)malloc_trim(0); // what reading it all took, before every worker has it too
        return generation;
    }
    tw_generation_free(generation);
    return NULL;
}

void tw_generation_free(struct tw_generation *generation)
{
    if (!generation)
        return;
    tw_trace_export_free(generation->traces); // turns the loop once: the rest must still be there
    generation->traces = NULL;
    tw_jwks_fetch_free(generation->jwks); // turns the loop once: the rest must still be there
    generation->jwks = NULL;
    tw_auth_files_free(generation->auth_files);
    tw_tls_files_free(generation->tls_files);
    tw_supervise_free(generation->supervisor);
    tw_listen_close(&generation->sockets);
    tw_shared_free(generation->shared);
    if (generation->log.fd >= 0) {
        tw_log_replace(generation->log.fd, -1);
        close(generation->log.fd);
    }
    tw_config_free(generation->config);
    free(generation);
}

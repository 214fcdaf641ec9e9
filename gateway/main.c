// SPDX-License-Identifier: Apache-2.0
// main: the command line, and the composition root: the only file that knows the route table and
// the runtime. What runs afterwards is the master (master.c), which forks the workers (worker.c).
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "gateway/access.h"
#include "gateway/account.h"
#include "gateway/auth_files.h"
#include "gateway/cpus.h"
#include "gateway/db_check.h"
#include "gateway/db_migrate.h"
#include "gateway/fleet.h"
#include "gateway/heritage.h"
#include "gateway/json_memory.h"
#include "gateway/log_file.h"
#include "gateway/rate_limit.h"
#include "gateway/reference.h"
#include "gateway/tls_files.h"
#include "gateway/token_command.h"
#include "gateway/trace_export.h"
#include "gateway/version.h"
#include "handlers/routes.h"

#define CONFIG_FILES_MAX 16

static const char usage[] =
    "usage: tillway [-t] [-c FILE]...        run the gateway in the foreground; -t: only check\n"
    "       tillway migrate [-c FILE]...     bring the database schema up to date\n"
    "       tillway routes                   list the routes, with the role that each asks for\n"
    "       tillway token --help             sign a token by a key of your own\n"
    "       tillway options|errors|metrics   print that reference as Markdown\n"
    "       tillway version | help\n"
    "Every option can also come from the environment: db.url is TILLWAY_DB_URL, or\n"
    "TILLWAY_DB_URL_FILE for a file that holds it.\n";

static const struct {
    const char *command;
    void (*print)(FILE *out);
} references[] = {
    {"options", tw_config_options_markdown},
    {"errors", tw_reference_errors},
    {"metrics", tw_reference_metrics},
};

struct arguments {
    const char *command; // "" to run
    const char *files[CONFIG_FILES_MAX];
    size_t n_files;
    bool check_only;
};

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    *arguments = (struct arguments){.command = ""};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-t") == 0) {
            arguments->check_only = true;
        } else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            if (arguments->n_files == CONFIG_FILES_MAX)
                return false;
            arguments->files[arguments->n_files++] = argv[++i];
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            arguments->command = "help";
        } else if (argv[i][0] != '-' && arguments->command[0] == '\0') {
            arguments->command = argv[i];
        } else {
            return false;
        }
    }
    return true;
}

// Whether the routes that it names exist.
static bool routes_exist(const struct tw_config *config, char *err, size_t err_size)
{
    struct tw_access *access = tw_access_new(&tw_routes, config, err, err_size);
    struct tw_rate_limits *limits = NULL;
    if (access)
        limits = tw_rate_limits_new(&tw_routes, config, NULL, err, err_size);
    free(access);
    tw_rate_limits_free(limits);
    return limits != NULL;
}

// -t alone: the gateway itself starts whether or not its database is there.
static bool database_has_room(const struct tw_config *config)
{
    char err[1024], warning[1024];
    if (!tw_db_check_workers(config, tw_cpus_available(), warning, sizeof(warning)))
        (void)fprintf(stderr, "tillway: warning: %s\n", warning);
    bool ok = tw_db_check(config, err, sizeof(err), warning, sizeof(warning));
    if (!ok || warning[0])
        (void)fprintf(stderr, "tillway: %s%s\n", ok ? "warning: " : "", ok ? warning : err);
    return ok;
}

// What the configuration names must also be usable: said now, not by a worker in its log.
static bool is_usable(const struct tw_config *config, char *err, size_t err_size)
{
    return tw_log_file_check(config, err, err_size) &&
           tw_trace_export_check(config, err, err_size) &&
           tw_tls_files_check(config, err, err_size) &&
           tw_auth_files_check(config, err, err_size) && tw_fleet_check(config, err, err_size) &&
           tw_db_check_config(config, err, err_size) && routes_exist(config, err, err_size) &&
           tw_account_check(config, err, err_size);
}

static struct tw_config *load_file(const struct arguments *arguments, char *err, size_t err_size)
{
    return tw_config_load(arguments->files, arguments->n_files, err, err_size);
}

// For a reload.
static struct tw_config *load(void *arg, char *err, size_t err_size)
{
    struct tw_config *config = load_file(arg, err, err_size);
    if (!config || is_usable(config, err, err_size))
        return config;
    tw_config_free(config);
    return NULL;
}

static int run_with_config(struct arguments *arguments, char **argv)
{
    char err[4096];
    const struct tw_master_setup setup = {&tw_routes, load, arguments, argv};
    struct tw_config *config = load_file(arguments, err, sizeof(err));
    int code = 1;
    if (!config) {
        (void)fprintf(stderr, "%s\n", err);
        return 1;
    }
    if (strcmp(arguments->command, "migrate") == 0)
        code = tw_db_migrate(config);
    else if (!is_usable(config, err, sizeof(err)))
        (void)fprintf(stderr, "tillway: %s\n", err);
    else if (!arguments->check_only)
        return tw_master_run(&setup, config);
    else {
        tw_config_print(config, stdout);
        code = !database_has_room(config);
    }
    tw_config_free(config);
    return code;
}

// Blocks from 256 KiB on get pages of their own and give them back: bundles of certificates, the
// status page's history, the answers of large batches. Left alone, malloc(3) begins to keep such
// blocks in its heap when the first one is freed. A heap that shrinks by 1 MiB at least shrinks
// seldom.
static void set_memory_policy(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    set_memory_policy();
    tw_json_memory_install();
    json_object_seed(0); // random, once, before workers are forked
    // It has options of its own.
    if (argc > 1 && strcmp(argv[1], "token") == 0)
        return tw_token_command(argc, argv);
    if (!parse_arguments(argc, argv, &arguments)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (arguments.command[0] == '\0' || strcmp(arguments.command, "migrate") == 0)
        return run_with_config(&arguments, argv);
    if (strcmp(arguments.command, "help") == 0)
        return fputs(usage, stdout) < 0;
    if (strcmp(arguments.command, "version") == 0)
        return puts("tillway " TW_VERSION) < 0;
    if (strcmp(arguments.command, "routes") == 0) {
        tw_access_print_routes(&tw_routes, stdout);
        return 0;
    }
    for (size_t i = 0; i < TW_COUNT(references); i++) {
        if (strcmp(arguments.command, references[i].command) == 0) {
            references[i].print(stdout);
            return 0;
        }
    }
    (void)fputs(usage, stderr);
    return 2;
}

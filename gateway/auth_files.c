// SPDX-License-Identifier: Apache-2.0
#include "gateway/auth_files.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/deny_list.h"
#include "gateway/file_watch.h"
#include "gateway/key_set.h"
#include "gateway/log.h"

#define FILES_MAX      (TW_CONFIG_ISSUER_MAX + 1)
#define NAME_MAX_BYTES 48

#if TW_DENY_LIST_MAX_BYTES > TW_DOCUMENT_MAX_BYTES
#error "a deny list must fit into its slot"
#endif

// One file; its slot in the shared region tells what it is.
struct auth_file {
    const struct tw_config *config;
    struct tw_shared *shared;
    size_t slot;
    char name[NAME_MAX_BYTES]; // of the option
};

struct tw_auth_files {
    struct tw_file_watch *watch;
    struct auth_file files[FILES_MAX]; // by slot
};

// The file of a slot, and the option that names it; NULL when the slot has none.
static const char *path_of(const struct tw_config *config, size_t slot, char name[NAME_MAX_BYTES])
{
    if (slot < config->n_issuers) {
        snprintf(name, NAME_MAX_BYTES, "auth.issuers[%zu].jwksFile", slot);
        return config->issuers[slot].jwks_file;
    }
    snprintf(name, NAME_MAX_BYTES, "auth.deny_file");
    return *config->auth_deny_file != '\0' ? config->auth_deny_file : NULL;
}

static bool check_deny_list(struct tw_str text, char *err, size_t err_size)
{
    struct tw_deny_list_fault fault;
    struct tw_deny_list *list = tw_deny_list_parse(text, &fault);
    if (!list && fault.line > 0)
        snprintf(err, err_size, "line %u: %s", fault.line, fault.reason);
    else if (!list)
        snprintf(err, err_size, "%s", fault.reason);
    tw_deny_list_free(list);
    return list != NULL;
}

static bool take_keys(void *arg, struct tw_str text, char *err, size_t err_size)
{
    const struct auth_file *file = arg;
    return tw_key_set_publish(file->shared, file->config, file->slot, text, err, err_size);
}

static bool take_deny_list(void *arg, struct tw_str text, char *err, size_t err_size)
{
    const struct auth_file *file = arg;
    if (tw_shared_document_is(file->shared, file->slot, text))
        return true;
    if (!check_deny_list(text, err, err_size))
        return false;
    if (!tw_shared_document_publish(file->shared, file->slot, text)) {
        snprintf(err, err_size, "it is too large");
        return false;
    }
    tw_log(TW_LEVEL_INFO, "deny_list_published", "new list of revoked tokens: %zu bytes", text.n);
    return true;
}

static size_t max_bytes_of(const struct tw_config *config, size_t slot)
{
    return slot < config->n_issuers ? TW_KEYS_MAX_BYTES : TW_DENY_LIST_MAX_BYTES;
}

static bool check_slot(const struct tw_config *config, size_t slot, char *err, size_t err_size)
{
    char name[NAME_MAX_BYTES], why[256];
    const char *path = path_of(config, slot, name);
    struct tw_str text = {NULL, 0};
    if (!path)
        return true;
    char *read = tw_file_read(path, max_bytes_of(config, slot), &text.n, why, sizeof(why));
    text.p = read;
    bool good = read && (slot < config->n_issuers
                             ? tw_key_set_check(&config->issuers[slot], text, why, sizeof(why))
                             : check_deny_list(text, why, sizeof(why)));
    free(read);
    if (!good)
        snprintf(err, err_size, "cannot use \"%s\" (%s): %s", path, name, why);
    return good;
}

bool tw_auth_files_check(const struct tw_config *config, char *err, size_t err_size)
{
    for (size_t slot = 0; slot <= config->n_issuers; slot++)
        if (!check_slot(config, slot, err, err_size))
            return false;
    return true;
}

// The files that there are, as the watch wants them; returns how many.
static size_t list_files(struct tw_auth_files *files, const struct tw_config *config,
                         struct tw_shared *shared, struct tw_watched_file watched[FILES_MAX])
{
    size_t n = 0;
    for (size_t slot = 0; slot <= config->n_issuers; slot++) {
        struct auth_file *file = &files->files[slot];
        *file = (struct auth_file){.config = config, .shared = shared, .slot = slot};
        const char *path = path_of(config, slot, file->name);
        if (path)
            watched[n++] = (struct tw_watched_file){
                .path = path,
                .name = file->name,
                .max_bytes = max_bytes_of(config, slot),
                .take = slot < config->n_issuers ? take_keys : take_deny_list,
                .arg = file,
            };
    }
    return n;
}

struct tw_auth_files *tw_auth_files_start(struct event_base *base, const struct tw_config *config,
                                          struct tw_shared *shared, struct tw_worker_page *page,
                                          char *err, size_t err_size)
{
    struct tw_watched_file watched[FILES_MAX];
    struct tw_auth_files *files = calloc(1, sizeof(*files));
    if (!files) {
        snprintf(err, err_size, "cannot watch files: out of memory");
        return NULL;
    }
    size_t n = list_files(files, config, shared, watched);
    files->watch = tw_file_watch_start(base, watched, n,
                                       &page->metrics[TW_METRIC_AUTH_FILES_REFUSED], err, err_size);
    if (files->watch)
        return files;
    free(files);
    return NULL;
}

void tw_auth_files_free(struct tw_auth_files *files)
{
    if (files)
        tw_file_watch_free(files->watch);
    free(files);
}

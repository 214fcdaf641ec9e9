// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls_files.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/file_watch.h"
#include "gateway/log.h"
#include "gateway/tls.h"
#include "gateway/tls_tickets.h"

#define SETTLE_US      1500000
#define EXPIRES_SOON_S (14 * 86400)
#define DAY_US         UINT64_C(86400000000)

#if TW_TLS_CA_MAX_BYTES > TW_DOCUMENT_MAX_BYTES
#error "a listener's files must fit into its slot"
#endif

// One file that is watched. What it holds is compared by hash: a file that was touched or read
// twice has not changed.
struct file {
    struct tw_tls_files *owner;
    size_t listen; // config->n_listens: the ticket keys
    bool seen;
    unsigned char hash[32];
    char name[TW_CONFIG_PATH_MAX]; // of the option
};

struct tw_tls_files {
    const struct tw_config *config;
    struct tw_shared *shared;
    struct tw_worker_page *page;
    struct tw_file_watch *watch;
    struct file *files;
    struct tw_watched_file *watched;
    size_t n_files;
    uint64_t
        changed_us[TW_CONFIG_LISTEN_MAX]; // when one of the files did; 0: not since the last try
    struct tw_certificate_stats *stats;   // in the order of the configuration
    size_t n_stats;
    uint64_t rotate_us; // when the ring is to turn; 0: it is a file's, or nobody needs one
    uint64_t warn_us;
};

// ---- certificates -------------------------------------------------------------------------------

// The listener's files as a document and as contexts; NULL with one line in `err`.
static struct tw_tls *load(const struct tw_config *config, size_t listen, char **document,
                           size_t *n, char *err, size_t err_size)
{
    const struct tw_listen *of = &config->listens[listen];
    struct tw_tls_bundle bundle;
    *document = tw_tls_bundle_read(of, n, err, err_size);
    if (!*document)
        return NULL;
    struct tw_tls *tls = NULL;
    if (tw_tls_bundle_parse(of, (struct tw_str){*document, *n}, &bundle))
        tls = tw_tls_new(of, listen, &bundle, err, err_size);
    if (tls)
        return tls;
    tw_tls_bundle_free(*document, *n);
    *document = NULL;
    return NULL;
}

static bool check_ring(const char *path, char *err, size_t err_size)
{
    struct tw_ticket_ring ring;
    struct tw_str text = {NULL, 0};
    char why[256];
    char *read = tw_file_read(path, TW_TICKET_KEYS_MAX * TW_TICKET_KEY_BYTES, &text.n, why,
                              sizeof(why));
    text.p = read;
    bool good = read && tw_ticket_ring_parse(text, &ring, why, sizeof(why));
    if (!good)
        (void)snprintf(err, err_size, "cannot use \"%s\" (tls.ticket_keys_file): %s", path, why);
    tw_ticket_ring_wipe(&ring);
    tw_tls_bundle_free(read, text.n);
    return good;
}

bool tw_tls_files_check(const struct tw_config *config, char *err, size_t err_size)
{
    char why[512];
    for (size_t i = 0; i < config->n_listens; i++) {
        char *document;
        size_t n;
        if (config->listens[i].n_certificates == 0)
            continue;
        struct tw_tls *tls = load(config, i, &document, &n, why, sizeof(why));
        if (!tls) {
            (void)snprintf(err, err_size, "listen[%zu].tls: %s", i, why);
            return false;
        }
        tw_tls_free(tls);
        tw_tls_bundle_free(document, n);
    }
    return *config->tls_ticket_keys_file == '\0' ||
           check_ring(config->tls_ticket_keys_file, err, err_size);
}

static void warn_of_expiry(const struct tw_tls_files *files, const struct tw_certificate_stats *of)
{
    char key[TW_CONFIG_PATH_MAX], date[TW_ISO8601_LEN];
    int64_t left_s = of->expires_unix_s - tw_unix_s();
    if (left_s > EXPIRES_SOON_S)
        return;
    tw_config_certificate_key(files->config, of->listen, of->certificate, "certificate", key);
    tw_iso8601_utc(of->expires_unix_s * 1000, date);
    if (left_s > 0)
        tw_log(TW_LEVEL_WARN, "certificate_expires", "%s (%s) expires in %d days, at %.10s", key,
               of->name, (int)(left_s / 86400), date);
    else
        tw_log(TW_LEVEL_WARN, "certificate_expired", "%s (%s) has expired at %.10s", key, of->name,
               date);
}

// What is in force from now on, and what the operator should know of it.
static void note(struct tw_tls_files *files, size_t listen, const struct tw_tls *tls)
{
    for (size_t i = 0; i < files->n_stats; i++) {
        struct tw_certificate_stats *stats = &files->stats[i];
        if (stats->listen != listen)
            continue;
        const struct tw_tls_certificate *of = tw_tls_certificate(tls, stats->certificate);
        const char *fault = tw_tls_certificate_ocsp_fault(of);
        stats->expires_unix_s = tw_tls_certificate_expires_unix_s(of);
        (void)snprintf(stats->name, sizeof(stats->name), "%s", tw_tls_certificate_label(of));
        warn_of_expiry(files, stats);
        if (fault)
            tw_log(TW_LEVEL_WARN, "ocsp_not_stapled", "\"%s\" is not stapled: %s",
                   files->config->listens[listen].certificates[stats->certificate].ocsp, fault);
    }
}

static bool publish(struct tw_tls_files *files, size_t listen, char *err, size_t err_size)
{
    char *document;
    size_t n, slot = tw_tls_slot(files->config, listen);
    struct tw_tls *tls = load(files->config, listen, &document, &n, err, err_size);
    if (!tls)
        return false;
    struct tw_str text = {document, n};
    bool is_new = !tw_shared_document_is(files->shared, slot, text), done = true;
    if (is_new) {
        done = tw_shared_document_publish(files->shared, slot, text);
        tw_shared_document_wipe_previous(files->shared, slot);
        note(files, listen, tls);
        tw_log(TW_LEVEL_INFO, "certificates_published", "listen[%zu].tls: %zu in force", listen,
               files->config->listens[listen].n_certificates);
    }
    tw_tls_free(tls);
    tw_tls_bundle_free(document, n);
    return done;
}

static void republish(struct tw_tls_files *files, size_t listen)
{
    char err[512] = "it is too large";
    files->changed_us[listen] = 0;
    if (publish(files, listen, err, sizeof(err)))
        return;
    tw_metric_add(files->page, TW_METRIC_TLS_FILES_REFUSED, 1);
    tw_log(TW_LEVEL_ERROR, "certificates_refused", "listen[%zu].tls: %s; the previous ones stay",
           listen, err);
}

// ---- ticket keys --------------------------------------------------------------------------------

static bool publish_ring(struct tw_tls_files *files, const struct tw_ticket_ring *ring)
{
    size_t slot = tw_ticket_slot(files->config);
    struct tw_str text = {(const char *)ring->keys, ring->n * TW_TICKET_KEY_BYTES};
    bool done = tw_shared_document_publish(files->shared, slot, text);
    tw_shared_document_wipe_previous(files->shared, slot);
    return done;
}

// Reads the ring back from its document: it is kept nowhere else.
static bool rotate(struct tw_tls_files *files)
{
    struct tw_ticket_ring ring = {.n = 0};
    size_t slot = tw_ticket_slot(files->config);
    struct tw_str now = tw_shared_document_now(files->shared, slot);
    char ignored[256];
    files->rotate_us = tw_now_us() + files->config->tls_ticket_rotation_ms * 1000;
    if (now.n > 0 && !tw_ticket_ring_parse(now, &ring, ignored, sizeof(ignored)))
        ring.n = 0;
    bool done = tw_ticket_ring_rotate(&ring) && publish_ring(files, &ring);
    tw_ticket_ring_wipe(&ring);
    if (!done)
        tw_log(TW_LEVEL_ERROR, "ticket_keys_stay", "no random bytes for a new ticket key");
    return done;
}

static bool take_ring(struct tw_tls_files *files, struct tw_str text, char *err, size_t err_size)
{
    struct tw_ticket_ring ring;
    if (!tw_ticket_ring_parse(text, &ring, err, err_size))
        return false;
    bool done = publish_ring(files, &ring);
    tw_log(TW_LEVEL_INFO, "ticket_keys_published", "%zu ticket keys of the file are in force",
           ring.n);
    tw_ticket_ring_wipe(&ring);
    return done;
}

// ---- watching -----------------------------------------------------------------------------------

// A listener's file has changed: the listener is tried again when its files have settled.
static bool take(void *arg, struct tw_str text, char *err, size_t err_size)
{
    struct file *file = arg;
    struct tw_tls_files *files = file->owner;
    unsigned char hash[32];
    if (EVP_Digest(text.p, text.n, hash, NULL, EVP_sha256(), NULL) != 1) {
        (void)snprintf(err, err_size, "out of memory");
        return false;
    }
    if (file->seen && memcmp(hash, file->hash, sizeof(hash)) == 0)
        return true;
    bool is_change = file->seen, is_ring = file->listen == files->config->n_listens;
    if (is_ring && !take_ring(files, text, err, err_size))
        return false;
    file->seen = true;
    memcpy(file->hash, hash, sizeof(hash));
    if (!is_ring && is_change)
        files->changed_us[file->listen] = tw_now_us();
    return true;
}

static void watch_file(struct tw_tls_files *files, size_t listen, const char *path,
                       size_t max_bytes)
{
    if (!path)
        return;
    struct file *file = &files->files[files->n_files];
    file->owner = files;
    file->listen = listen;
    files->watched[files->n_files++] = (struct tw_watched_file){
        .path = path, .name = file->name, .max_bytes = max_bytes, .take = take, .arg = file};
}

static void watch_certificate(struct tw_tls_files *files, size_t listen, size_t i)
{
    static const char *const names[] = {"certificate", "key", "ocspFile"};
    const struct tw_certificate_files *of = &files->config->listens[listen].certificates[i];
    const char *const paths[] = {of->certificate, of->key, of->ocsp};
    for (size_t j = 0; j < TW_COUNT(paths); j++) {
        tw_config_certificate_key(files->config, listen, i, names[j],
                                  files->files[files->n_files].name);
        watch_file(files, listen, paths[j], TW_TLS_FILE_MAX_BYTES);
    }
}

static void watch_all(struct tw_tls_files *files)
{
    const struct tw_config *config = files->config;
    for (size_t i = 0; i < config->n_listens; i++) {
        const struct tw_listen *listen = &config->listens[i];
        for (size_t j = 0; j < listen->n_certificates; j++) {
            files->stats[files->n_stats++] = (struct tw_certificate_stats){.listen = i,
                                                                           .certificate = j};
            watch_certificate(files, i, j);
        }
        (void)snprintf(files->files[files->n_files].name, TW_CONFIG_PATH_MAX,
                       "listen[%zu].tls.clientCa", i);
        watch_file(files, i, listen->tls_client_ca, TW_TLS_CA_MAX_BYTES);
    }
    (void)snprintf(files->files[files->n_files].name, TW_CONFIG_PATH_MAX, "tls.ticket_keys_file");
    if (files->n_stats > 0 && *config->tls_ticket_keys_file != '\0')
        watch_file(files, config->n_listens, config->tls_ticket_keys_file,
                   TW_TICKET_KEYS_MAX * TW_TICKET_KEY_BYTES);
}

// ---- life ---------------------------------------------------------------------------------------

static bool allocate(struct tw_tls_files *files)
{
    size_t n_certificates = 0, n_files;
    for (size_t i = 0; i < files->config->n_listens; i++)
        n_certificates += files->config->listens[i].n_certificates;
    n_files = 3 * n_certificates + files->config->n_listens + 1;
    files->files = calloc(n_files, sizeof(files->files[0]));
    files->watched = calloc(n_files, sizeof(files->watched[0]));
    files->stats = calloc(n_certificates + 1, sizeof(files->stats[0]));
    return files->files && files->watched && files->stats;
}

static bool publish_all(struct tw_tls_files *files, char *err, size_t err_size)
{
    char why[512] = "it is too large";
    for (size_t i = 0; i < files->config->n_listens; i++)
        if (files->config->listens[i].n_certificates > 0 && !publish(files, i, why, sizeof(why))) {
            (void)snprintf(err, err_size, "listen[%zu].tls: %s", i, why);
            return false;
        }
    if (files->n_stats == 0 || *files->config->tls_ticket_keys_file != '\0' || rotate(files))
        return true;
    (void)snprintf(err, err_size, "no random bytes for ticket keys");
    return false;
}

struct tw_tls_files *tw_tls_files_start(struct event_base *base, const struct tw_config *config,
                                        struct tw_shared *shared, struct tw_worker_page *page,
                                        char *err, size_t err_size)
{
    struct tw_tls_files *files = calloc(1, sizeof(*files));
    (void)snprintf(err, err_size, "cannot watch files: out of memory");
    if (!files)
        return NULL;
    files->config = config;
    files->shared = shared;
    files->page = page;
    files->warn_us = tw_now_us() + DAY_US;
    if (allocate(files)) {
        watch_all(files);
        files->watch = tw_file_watch_start(base, files->watched, files->n_files,
                                           &page->metrics[TW_METRIC_TLS_FILES_REFUSED], err,
                                           err_size);
        if (files->watch && publish_all(files, err, err_size))
            return files;
    }
    tw_tls_files_free(files);
    return NULL;
}

void tw_tls_files_follow(struct tw_tls_files *files, const struct tw_tls_files *before,
                         const struct tw_shared *before_shared)
{
    struct tw_ticket_ring ring = {.n = 0};
    struct tw_str now = tw_shared_document_now(before_shared, tw_ticket_slot(before->config));
    char ignored[128];
    if (files->rotate_us == 0 || before->rotate_us == 0)
        return; // a file's keys, or no TLS
    if (now.n > 0 && tw_ticket_ring_parse(now, &ring, ignored, sizeof(ignored)) &&
        publish_ring(files, &ring) && before->rotate_us < files->rotate_us)
        files->rotate_us = before->rotate_us;
    tw_ticket_ring_wipe(&ring);
}

void tw_tls_files_tick(struct tw_tls_files *files)
{
    uint64_t now_us = tw_now_us();
    for (size_t i = 0; i < files->config->n_listens; i++)
        if (files->changed_us[i] != 0 && now_us - files->changed_us[i] >= SETTLE_US)
            republish(files, i);
    if (files->rotate_us != 0 && now_us >= files->rotate_us)
        (void)rotate(files);
    if (now_us < files->warn_us)
        return;
    files->warn_us = now_us + DAY_US;
    for (size_t i = 0; i < files->n_stats; i++)
        warn_of_expiry(files, &files->stats[i]);
}

const struct tw_certificate_stats *tw_tls_files_stats(const struct tw_tls_files *files, size_t *n)
{
    *n = files->n_stats;
    return files->stats;
}

void tw_tls_files_free(struct tw_tls_files *files)
{
    if (!files)
        return;
    tw_file_watch_free(files->watch);
    free(files->watched);
    free(files->files);
    free(files->stats);
    free(files);
}

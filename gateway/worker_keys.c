// SPDX-License-Identifier: Apache-2.0
// worker_keys: a worker's verifier, kept current with what the master publishes: key sets and the
// list of revoked tokens.
//
// A document that the verifier refuses is looked at once: what it had before stays. Runs in:
// worker.
#include "gateway/worker.h"

#include <sys/mman.h>

#include "gateway/ipc.h"
#include "gateway/log.h"
#include "gateway/uuid.h"

// The master fetches no more often than auth.jwks.min_refetch anyway.
#define ASK_INTERVAL_US 1000000

bool tw_worker_keys_init(struct tw_worker *worker)
{
    const struct tw_config *config = worker->config;
    struct tw_issuer_rules rules[TW_CONFIG_ISSUER_MAX];
    for (size_t i = 0; i < config->n_issuers; i++)
        rules[i] = (struct tw_issuer_rules){
            .issuer = config->issuers[i].issuer,
            .audiences = config->issuers[i].audiences,
            .n_audiences = config->issuers[i].n_audiences,
            .token_uses = config->issuers[i].token_uses,
            .algorithms = config->issuers[i].algorithms,
            .scopes = config->issuers[i].scopes,
            .groups = config->issuers[i].groups,
        };
    struct tw_verifier_config verifier_config = {
        .issuers = rules,
        .n_issuers = config->n_issuers,
        .groups_claim = config->auth_roles_claim,
        .store_claim = config->auth_roles_store,
        .extra_claims = config->limit_claims,
        .group_roles = config->group_roles,
        .n_group_roles = config->n_group_roles,
        .leeway_s = (int64_t)(config->auth_leeway_ms / 1000),
        .cache_entries = config->auth_token_cache_entries,
    };
    tw_random(verifier_config.hash_key, sizeof(verifier_config.hash_key));
    worker->verifier = tw_verifier_new(&verifier_config);
    return worker->verifier != NULL;
}

void tw_worker_keys_dispose(struct tw_worker *worker)
{
    tw_verifier_free(worker->verifier);
}

// An empty set: the master has withdrawn the keys, as they are too old.
static void take_keys(struct tw_worker *worker, size_t issuer, struct tw_str text,
                      uint64_t generation)
{
    struct tw_jwks_report report;
    if (text.n == 0) {
        tw_verifier_drop_keys(worker->verifier, issuer);
        tw_metric_add(worker->page, TW_METRIC_KEY_SETS_WITHDRAWN, 1);
    } else if (tw_verifier_set_keys(worker->verifier, issuer, text, generation, &report)) {
        tw_metric_add(worker->page, TW_METRIC_KEY_SETS_LOADED, 1);
        tw_metric_add(worker->page, TW_METRIC_KEYS_REFUSED, report.keys_refused);
    } else {
        tw_metric_add(worker->page, TW_METRIC_KEY_SETS_REFUSED, 1);
        tw_log(TW_LEVEL_ERROR, "key_set_refused", "%s: %s; the previous keys stay",
               worker->config->issuers[issuer].issuer, report.reason);
    }
}

static void take_deny_list(struct tw_worker *worker, struct tw_str text)
{
    struct tw_deny_list_fault fault;
    if (tw_verifier_set_denied(worker->verifier, text, &fault)) {
        tw_metric_add(worker->page, TW_METRIC_DENY_LISTS_LOADED, 1);
        return;
    }
    tw_metric_add(worker->page, TW_METRIC_DENY_LISTS_REFUSED, 1);
    tw_log(TW_LEVEL_ERROR, "deny_list_refused", "%s, line %u: %s; the previous list stays",
           worker->config->auth_deny_file, fault.line, fault.reason);
}

static bool take_if_new(struct tw_worker *worker, size_t slot, char *buffer)
{
    const struct tw_shared *shared = worker->heritage->shared;
    uint64_t generation;
    size_t size;
    if (tw_shared_document_generation(shared, slot) == worker->document_generations[slot] ||
        !tw_shared_document_read(shared, slot, buffer, &size, &generation))
        return false;
    worker->document_generations[slot] = generation;
    if (slot < worker->config->n_issuers)
        take_keys(worker, slot, (struct tw_str){buffer, size}, generation);
    else
        take_deny_list(worker, (struct tw_str){buffer, size});
    return true;
}

static bool is_any_new(const struct tw_worker *worker)
{
    for (size_t slot = 0; slot <= worker->config->n_issuers; slot++)
        if (tw_shared_document_generation(worker->heritage->shared, slot) !=
            worker->document_generations[slot])
            return true;
    return false;
}

bool tw_worker_keys_update(struct tw_worker *worker)
{
    if (!is_any_new(worker))
        return false;
    // Pages of the kernel instead of the heap's: documents are rare, and this goes back at once.
    char *buffer = mmap(NULL, TW_DOCUMENT_MAX_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool changed = false;
    if (buffer == MAP_FAILED)
        return false; // the next tick tries again
    for (size_t slot = 0; slot <= worker->config->n_issuers; slot++)
        changed |= take_if_new(worker, slot, buffer);
    (void)munmap(buffer, TW_DOCUMENT_MAX_BYTES);
    return changed;
}

bool tw_worker_keys_any(const struct tw_worker *worker)
{
    for (size_t i = 0; i < worker->config->n_issuers; i++)
        if (tw_verifier_has_keys(worker->verifier, i))
            return true;
    return false;
}

void tw_worker_keys_stale(struct tw_worker *worker, size_t issuer)
{
    uint64_t now_us = tw_now_us(), *asked_us = &worker->keys_asked_us[issuer];
    if (*asked_us != 0 && now_us - *asked_us < ASK_INTERVAL_US)
        return; // a flood of unknown kids costs no system call each
    if (tw_ipc_send(worker->heritage->ipc_fd, TW_IPC_UNKNOWN_KID, (uint32_t)issuer))
        *asked_us = now_us;
}

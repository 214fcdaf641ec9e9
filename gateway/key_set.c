// SPDX-License-Identifier: Apache-2.0
#include "gateway/key_set.h"

#include <stdio.h>

#include "auth/jwks.h"
#include "gateway/log.h"

// What was taken and what was not, in `report`; false with a reason in `err`.
static bool judge(const struct tw_issuer *issuer, struct tw_str document,
                  struct tw_jwks_report *report, char *err, size_t err_size)
{
    struct tw_jwks *set = tw_jwks_parse(document, issuer->algorithms, report);
    if (!set)
        snprintf(err, err_size, report->key_reason ? "%s: %s" : "%s", report->reason,
                 report->key_reason);
    tw_jwks_free(set);
    return set != NULL;
}

bool tw_key_set_check(const struct tw_issuer *issuer, struct tw_str document, char *err,
                      size_t err_size)
{
    struct tw_jwks_report report;
    return judge(issuer, document, &report, err, err_size);
}

static void log_published(const struct tw_issuer *issuer, const struct tw_jwks_report *report)
{
    if (report->keys_refused == 0)
        tw_log(TW_LEVEL_INFO, "keys_published", "new key set of %s: %u keys", issuer->issuer,
               report->keys_taken);
    else
        tw_log(TW_LEVEL_WARN, "keys_published",
               "new key set of %s: %u keys, and %u refused, the last one because of: %s",
               issuer->issuer, report->keys_taken, report->keys_refused, report->key_reason);
}

bool tw_key_set_publish(struct tw_shared *shared, const struct tw_config *config, size_t issuer,
                        struct tw_str document, char *err, size_t err_size)
{
    struct tw_jwks_report report;
    if (document.n > 0 && tw_shared_document_is(shared, issuer, document))
        return true;
    if (!judge(&config->issuers[issuer], document, &report, err, err_size))
        return false;
    if (!tw_shared_document_publish(shared, issuer, document)) {
        snprintf(err, err_size, "it is too large");
        return false;
    }
    log_published(&config->issuers[issuer], &report);
    return true;
}

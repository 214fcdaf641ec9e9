// SPDX-License-Identifier: Apache-2.0
// request_log: what the log is told of a request when it has ended: whether, and by which words.
//
// A share of the requests that went well may be enough (log.sample_*); which ones is decided by the
// trace id, or else the request id, so that all nodes keep the same. The principal stands there as
// a hash of issuer and subject under log.principal_key, unless log.principal says otherwise.
// Not for: how lines look (log.h). Runs in: worker.

#ifndef TW_REQUEST_LOG_H
#define TW_REQUEST_LOG_H

#include "auth/siphash.h"
#include "config/config.h"

struct tw_req;

enum tw_log_principal { TW_LOG_PRINCIPAL_HASH, TW_LOG_PRINCIPAL_PLAIN, TW_LOG_PRINCIPAL_NONE };

#define TW_PRINCIPAL_HASH_LEN 16 // hex digits

// What the configuration says of it, once per worker.
struct tw_request_log {
    bool writes_access, writes_audit;
    uint32_t keep_ppm[6]; // by class of status; [0]: the client left
    enum tw_log_principal principal;
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
};

void tw_request_log_init(struct tw_request_log *log, const struct tw_config *config);

// The principal's hash. False without a principal, or when log.principal wants it named otherwise.
TW_MUST_USE bool tw_request_log_principal(const struct tw_req *req,
                                          char hash[TW_PRINCIPAL_HASH_LEN]);

// The request has ended, so many microseconds after it began.
void tw_request_log_end(struct tw_req *req, uint64_t duration_us);

#endif

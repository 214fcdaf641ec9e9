// SPDX-License-Identifier: Apache-2.0
// tls_files: the files behind TLS: certificates, keys, OCSP responses, clients' authorities, ticket
// keys. Read at the start, where a bad one is an error, and again when they change.
//
// A listener's files count together: when one has changed and then none for SETTLE_US, all are read
// and tried, so that a certificate and its key may be replaced one after the other; what does not
// fit together is one line in the log and changes nothing. What is good goes to the workers as a
// document (tls_bundle). Certificates that expire within 14 days are a line at the start, when they
// come into force, and once a day.
//
// Also turns the ring of ticket keys, unless it is a file's (tls_tickets); the ring stands nowhere
// in the master's memory but in its document, as every worker is a copy of that memory.
//
// Runs in: master; tw_tls_files_check also on the command line.

#ifndef TW_TLS_FILES_H
#define TW_TLS_FILES_H

#include "config/config.h"
#include "gateway/metrics_text.h"
#include "gateway/shared.h"

struct event_base;
struct tw_tls_files;

// Whether all of them can be used; else one line in `err`.
TW_MUST_USE bool tw_tls_files_check(const struct tw_config *config, char *err, size_t err_size);

// Publishes them, and again when they change. What is given is borrowed; `page` is the master's.
// NULL with one line in `err` when one cannot be used.
TW_MUST_USE struct tw_tls_files *tw_tls_files_start(struct event_base *base,
                                                    const struct tw_config *config,
                                                    struct tw_shared *shared,
                                                    struct tw_worker_page *page, char *err,
                                                    size_t err_size);

// Takes over the ring of ticket keys and its next turn from another configuration, which published
// into `before_shared`, where both make their keys themselves. Call it at once.
void tw_tls_files_follow(struct tw_tls_files *files, const struct tw_tls_files *before,
                         const struct tw_shared *before_shared);

// Several times a second.
void tw_tls_files_tick(struct tw_tls_files *files);

// The certificates in force, borrowed until the next tick.
const struct tw_certificate_stats *tw_tls_files_stats(const struct tw_tls_files *files, size_t *n);

// NULL is fine.
void tw_tls_files_free(struct tw_tls_files *files);

#endif

// SPDX-License-Identifier: Apache-2.0
// auth_files: the files that decide who comes in: each issuer's jwksFile, and auth.deny_file.
//
// Read at the start, where a bad one is an error, and again whenever they change, where a bad one
// leaves the previous content in force (file_watch). What is good goes to the workers as documents
// of the shared region. Runs in: master; tw_auth_files_check also on the command line.

#ifndef TW_AUTH_FILES_H
#define TW_AUTH_FILES_H

#include "config/config.h"
#include "gateway/shared.h"

struct event_base;
struct tw_auth_files;

// Whether all of them can be used; else one line in `err`.
TW_MUST_USE bool tw_auth_files_check(const struct tw_config *config, char *err, size_t err_size);

// Publishes them, and again when they change. What is given is borrowed; `page` is the master's.
// NULL with one line in `err` when one cannot be used.
TW_MUST_USE struct tw_auth_files *tw_auth_files_start(struct event_base *base,
                                                      const struct tw_config *config,
                                                      struct tw_shared *shared,
                                                      struct tw_worker_page *page, char *err,
                                                      size_t err_size);

// NULL is fine.
void tw_auth_files_free(struct tw_auth_files *files);

#endif

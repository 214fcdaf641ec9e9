// SPDX-License-Identifier: Apache-2.0
// key_set: judges a key set and hands it to the workers.
//
// A set that workers have already is not published again, as that would cost them their cached
// tokens. Not for: where sets come from (jwks_fetch, auth_files). Runs in: master, command line.

#ifndef TW_KEY_SET_H
#define TW_KEY_SET_H

#include "config/config.h"
#include "gateway/shared.h"

// Whether workers would take this document; else a reason in `err`.
TW_MUST_USE bool tw_key_set_check(const struct tw_issuer *issuer, struct tw_str document, char *err,
                                  size_t err_size);

// Makes the document the key set of config->issuers[issuer]. False with a reason in `err` when it
// is refused, and then workers keep the set that they have.
TW_MUST_USE bool tw_key_set_publish(struct tw_shared *shared, const struct tw_config *config,
                                    size_t issuer, struct tw_str document, char *err,
                                    size_t err_size);

#endif

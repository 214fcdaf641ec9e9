// SPDX-License-Identifier: Apache-2.0
// account: whom the workers run as (`user`, `group`).
//
// The master stays what it was started as: it opens low ports, reads keys that nobody else may
// read, and starts other binaries, at a reload and at an upgrade too. Workers, who meet the
// clients, give all of that up before they do anything else, and with it every capability.
// Names are looked up when a configuration is read, never by a worker. Runs in: both.

#ifndef TW_ACCOUNT_H
#define TW_ACCOUNT_H

#include <sys/types.h>

#include "config/config.h"

#define TW_ACCOUNT_GROUPS_MAX 64

struct tw_account {
    bool changes; // false: workers stay what the master is
    uid_t uid;
    gid_t gid;
    gid_t groups[TW_ACCOUNT_GROUPS_MAX]; // supplementary ones, `gid` among them
    int n_groups;
};

// By name or by number. False with one line in `err`, which says what to do.
TW_MUST_USE bool tw_account_find(const struct tw_config *config, struct tw_account *account,
                                 char *err, size_t err_size);

// Whether this process can make workers of that account, and these could read what they have to:
// tried out in a child. False with one line in `err`.
TW_MUST_USE bool tw_account_check(const struct tw_config *config, char *err, size_t err_size);

// For good, and without any capability, unless this is root and `changes` is false. No program that
// it might execute can gain more. False with errno. `account` may be NULL: nobody else.
TW_MUST_USE bool tw_account_become(const struct tw_account *account);

#endif

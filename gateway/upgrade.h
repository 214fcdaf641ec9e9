// SPDX-License-Identifier: Apache-2.0
// upgrade: from a master to a master of another binary: how that is started and what it inherits.
//
// The old master forks, and the child becomes the binary that lies at the path of the old one's
// argv[0] now, with the same arguments and environment, all listening sockets, the admin port's and
// one end of an ipc pair; a variable of the environment says which descriptor is what. Nothing else
// passes from one to the other, so that the two may be of any two versions that know this variable;
// limits, counters, keys and session tickets begin anew. When (master.c) both go on as they are
// until the new one's workers are ready: then it says TW_IPC_TAKEN_OVER. Runs in: master.

#ifndef TW_UPGRADE_H
#define TW_UPGRADE_H

#include <sys/types.h>

#include "gateway/listen.h"

struct tw_inheritance {
    int control_fd; // ipc with the other master
    uint32_t need;  // bits TW_READY_* that the old workers have and new ones must have, too
    int admin_fd;   // listening
    struct tw_socket_name admin;
    struct tw_sockets sockets;
};

// Starts the new binary; all descriptors of `give` stay the caller's. Returns its pid, or -1 with
// errno.
pid_t tw_upgrade_start(char *const *argv, const struct tw_inheritance *give);

// What this process has inherited; descriptors are close-on-exec again. False when it was not
// started by an older one, or by one that speaks otherwise.
bool tw_upgrade_inherit(struct tw_inheritance *out);

#endif

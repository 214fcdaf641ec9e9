// SPDX-License-Identifier: Apache-2.0
// ipc: the few words that master and worker say to each other (and two masters), over a
// SOCK_SEQPACKET socket pair.
//
// One packet is one message of fixed size. End of file means that the other side is gone: a worker
// without master drains and leaves; the master learns of a dead worker by SIGCHLD as well.
// Non-blocking on both sides; a message that cannot be sent is dropped, so every message is one
// that may be repeated. Runs in: both.

#ifndef TW_IPC_H
#define TW_IPC_H

#include "gateway/base.h"

enum tw_ipc_kind {
    TW_IPC_DRAIN = 1,   // master -> worker: stop accepting, finish, leave; argument = milliseconds
                        // for which idle HTTP/1 connections are still listened to
    TW_IPC_UNKNOWN_KID, // worker -> master: argument = issuer whose keys may be stale
    TW_IPC_ACCEPT,      // master -> worker that was born waiting: accept
    TW_IPC_TAKEN_OVER,  // new master -> old master: my workers accept, let yours finish
    TW_IPC_LOG_FILE,    // master -> worker: the log goes to the descriptor that comes with it
};

struct tw_ipc_message {
    uint32_t kind; // enum tw_ipc_kind
    uint32_t argument;
};

// Both ends non-blocking and close-on-exec. False with errno.
TW_MUST_USE bool tw_ipc_pair(int fds[2]);

// False when the packet could not be sent now or the other side is gone.
bool tw_ipc_send(int fd, enum tw_ipc_kind kind, uint32_t argument);

// The same with a descriptor, of which the other side gets a copy.
bool tw_ipc_send_fd(int fd, enum tw_ipc_kind kind, int passed);

enum tw_ipc_read { TW_IPC_READ_MESSAGE, TW_IPC_READ_NOTHING, TW_IPC_READ_CLOSED };
TW_MUST_USE enum tw_ipc_read tw_ipc_read(int fd, struct tw_ipc_message *message);

// The same, for who may be given descriptors: *passed is one, close-on-exec and the caller's, or
// -1. What comes with a message to tw_ipc_read is closed by the kernel.
TW_MUST_USE enum tw_ipc_read tw_ipc_read_fd(int fd, struct tw_ipc_message *message, int *passed);

#endif

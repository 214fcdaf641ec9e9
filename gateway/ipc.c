// SPDX-License-Identifier: Apache-2.0
#include "gateway/ipc.h"

#include <errno.h>
#include <sys/socket.h>

bool tw_ipc_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0;
}

bool tw_ipc_send(int fd, enum tw_ipc_kind kind, uint32_t argument)
{
    struct tw_ipc_message message = {.kind = kind, .argument = argument};
    return send(fd, &message, sizeof(message), MSG_NOSIGNAL) == (ssize_t)sizeof(message);
}

enum tw_ipc_read tw_ipc_read(int fd, struct tw_ipc_message *message)
{
    ssize_t n;
    do
        n = recv(fd, message, sizeof(*message), 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(*message))
        return TW_IPC_READ_MESSAGE;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TW_IPC_READ_NOTHING;
    return TW_IPC_READ_CLOSED;
}

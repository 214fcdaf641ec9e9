// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // MSG_CMSG_CLOEXEC
#endif
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

// Room for one descriptor beside the message.
union passing {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

bool tw_ipc_send_fd(int fd, enum tw_ipc_kind kind, int passed)
{
    struct tw_ipc_message message = {.kind = kind};
    struct iovec part = {&message, sizeof(message)};
    union passing beside = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
                                     .cmsg_level = SOL_SOCKET,
                                     .cmsg_type = SCM_RIGHTS}};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &beside,
                            .msg_controllen = sizeof(beside)};
    memcpy(CMSG_DATA(&beside.head), &passed, sizeof(passed));
    return sendmsg(fd, &packet, MSG_NOSIGNAL) == (ssize_t)sizeof(message);
}

static enum tw_ipc_read judge(ssize_t n)
{
    if (n == (ssize_t)sizeof(struct tw_ipc_message))
        return TW_IPC_READ_MESSAGE;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TW_IPC_READ_NOTHING;
    return TW_IPC_READ_CLOSED;
}

enum tw_ipc_read tw_ipc_read(int fd, struct tw_ipc_message *message)
{
    ssize_t n;
    do
        n = recv(fd, message, sizeof(*message), 0);
    while (n < 0 && errno == EINTR);
    return judge(n);
}

enum tw_ipc_read tw_ipc_read_fd(int fd, struct tw_ipc_message *message, int *passed)
{
    struct iovec part = {message, sizeof(*message)};
    union passing beside;
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &beside,
                            .msg_controllen = sizeof(beside)};
    ssize_t n;
    *passed = -1;
    do
        n = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *head = n >= 0 ? CMSG_FIRSTHDR(&packet) : NULL;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
        memcpy(passed, CMSG_DATA(head), sizeof(*passed));
    return judge(n);
}

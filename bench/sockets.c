// SPDX-License-Identifier: Apache-2.0
// bench-sockets: what the kernel's sockets alone cost a server. No HTTP is parsed.
//
//   bench-sockets BODY_BYTES
//
// listens on a free port of 127.0.0.1, prints "port N", and sends the same answer whenever what it
// has received ends a request's head: one recv, one send, and the epoll_wait that they share with
// others. No server that asks epoll does with less on HTTP/1.1. One thread; it dies with its
// parent.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // accept4
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES_MAX 128
#define BODY_BYTES_MAX 65536
#define READ_BYTES     16384
#define EVENTS         256

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "bench-sockets: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int listen_on_loopback(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("cannot listen");
    printf("port %d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static void take_connections(int epoll, int listener)
{
    static const int on = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(epoll, fd);
    }
}

// False when the connection is over, or takes less than it was sent.
static bool serve(int fd, const char *answer, size_t len)
{
    static char input[READ_BYTES];
    ssize_t got = recv(fd, input, sizeof(input), 0);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got < 4 || memcmp(input + got - 4, "\r\n\r\n", 4) != 0)
        return got > 0;
    return send(fd, answer, len, MSG_NOSIGNAL) == (ssize_t)len;
}

int main(int argc, char **argv)
{
    static char answer[HEAD_BYTES_MAX + BODY_BYTES_MAX];
    static struct epoll_event events[EVENTS];
    int body = argc == 2 ? atoi(argv[1]) : -1, listener, epoll;
    size_t len;

    if (body < 0 || body > BODY_BYTES_MAX) {
        fprintf(stderr, "usage: bench-sockets BODY_BYTES\n");
        return EXIT_FAILURE;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    len = (size_t)snprintf(
        answer, HEAD_BYTES_MAX,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n", body);
    memset(answer + len, 'x', (size_t)body);
    len += (size_t)body;

    listener = listen_on_loopback();
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
        die("epoll_create1");
    watch(epoll, listener);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (fd == listener)
                take_connections(epoll, listener);
            else if (!serve(fd, answer, len))
                close(fd);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096 // the kernel clips it to net.core.somaxconn

struct place {
    struct sockaddr_storage address;
    socklen_t length;
};

static bool place_of(const char *address, uint16_t port, struct place *out)
{
    memset(out, 0, sizeof(*out));
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out->address;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out->length = sizeof(*v4);
        return true;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&out->address;
    if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out->length = sizeof(*v6);
        return true;
    }
    return false;
}

const char *tw_listen_name(const char *address, uint16_t port, char *out, size_t size)
{
    bool v6 = strchr(address, ':') != NULL;
    snprintf(out, size, v6 ? "[%s]:%u" : "%s:%u", address, (unsigned)port);
    return out;
}

uint16_t tw_listen_port(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

// A bound socket that does not listen yet; -1 with errno.
static int bound_socket(const struct place *place, bool reuse_port)
{
    const int on = 1;
    int family = place->address.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!reuse_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, (const struct sockaddr *)&place->address, place->length) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int listening_socket(const struct place *place, bool reuse_port)
{
    int fd = bound_socket(place, reuse_port);
    if (fd < 0 || listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

// What an operator can do about errno; `key` is the option of the port.
static void explain(int error, const char *address, uint16_t port, const char *key, char *err,
                    size_t err_size)
{
    char name[64];
    tw_listen_name(address, port, name, sizeof(name));
    if (error == EADDRINUSE)
        snprintf(err, err_size,
                 "cannot listen on %s: address already in use (another tillway? choose %s)", name,
                 key);
    else if (error == EACCES)
        snprintf(err, err_size,
                 "cannot listen on %s: no right to ports below 1024 (grant CAP_NET_BIND_SERVICE or "
                 "choose %s)",
                 name, key);
    else if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
        snprintf(err, err_size, "cannot listen on %s: this machine has no such address (see %s)",
                 name, key);
    else
        snprintf(err, err_size, "cannot listen on %s: %s (see %s)", name, strerror(error), key);
}

int tw_listen_single(const char *address, uint16_t port, const char *key, char *err,
                     size_t err_size)
{
    struct place place;
    if (!place_of(address, port, &place)) {
        snprintf(err, err_size, "cannot listen on \"%s\": not an IP address (see %s)", address,
                 key);
        return -1;
    }
    int fd = listening_socket(&place, false);
    if (fd < 0)
        explain(errno, address, port, key, err, err_size);
    return fd;
}

// Whether somebody has the port already, who would share it with us because of SO_REUSEPORT.
static bool port_is_free(const struct place *place)
{
    int fd = bound_socket(place, false);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

// Fills column `column` of the table: the sockets of one listener.
static bool open_listener(const struct tw_listen *listener, int *fds, size_t column, size_t columns,
                          unsigned n_workers, char *err, size_t err_size)
{
    char key[48];
    struct place place;
    uint16_t port = listener->port;
    snprintf(key, sizeof(key), "listen[%zu].port", column);
    if (!place_of(listener->address, port, &place)) {
        snprintf(err, err_size, "cannot listen on \"%s\": not an IP address (see listen[%zu])",
                 listener->address, column);
        return false;
    }
    bool free_port = port == 0 || port_is_free(&place);
    for (unsigned worker = 0; free_port && worker < n_workers; worker++) {
        int fd = listening_socket(&place, true);
        if (fd < 0)
            break;
        fds[worker * columns + column] = fd;
        if (worker + 1 == n_workers)
            return true;
        if (port == 0) {
            port = tw_listen_port(fd);
            (void)place_of(listener->address, port, &place);
        }
    }
    explain(errno, listener->address, port, key, err, err_size);
    return false;
}

bool tw_listen_open(const struct tw_config *config, unsigned n_workers, int **fds, char *err,
                    size_t err_size)
{
    size_t n = config->n_listens * n_workers;
    int *table = malloc(n * sizeof(*table));
    *fds = NULL;
    if (!table) {
        snprintf(err, err_size, "cannot listen: out of memory");
        return false;
    }
    memset(table, -1, n * sizeof(*table));
    for (size_t i = 0; i < config->n_listens; i++)
        if (!open_listener(&config->listens[i], table, i, config->n_listens, n_workers, err,
                           err_size)) {
            tw_listen_close(table, n);
            return false;
        }
    *fds = table;
    return true;
}

void tw_listen_close(int *fds, size_t n)
{
    for (size_t i = 0; fds && i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(fds);
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/network.h"

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

static void explain_address(const struct tw_listen *listener, size_t column, char *err,
                            size_t err_size)
{
    snprintf(err, err_size, "cannot listen on \"%s\": not an IP address (see listen[%zu])",
             listener->address, column);
}

// Opens the sockets of one listener that are not there yet, from row `row` on.
static bool open_rows(const struct tw_listen *listener, struct tw_sockets *sockets, size_t column,
                      unsigned row, char *err, size_t err_size)
{
    char key[48];
    struct place place;
    uint16_t port = row > 0 ? tw_listen_port(sockets->fds[column]) : listener->port;
    snprintf(key, sizeof(key), "listen[%zu].port", column);
    if (!place_of(listener->address, port, &place)) {
        explain_address(listener, column, err, err_size);
        return false;
    }
    bool ours = row > 0 || port == 0;
    for (bool may = ours || port_is_free(&place); may && row < sockets->n_rows; row++) {
        int fd = listening_socket(&place, true);
        if (fd < 0)
            break;
        sockets->fds[row * sockets->n_listens + column] = fd;
        if (port == 0) {
            port = tw_listen_port(fd);
            (void)place_of(listener->address, port, &place);
        }
    }
    if (row == sockets->n_rows)
        return true;
    explain(errno, listener->address, port, key, err, err_size);
    return false;
}

// The column of `held` that no listener before this one has taken; SIZE_MAX when there is none.
static size_t find_held(const struct tw_sockets *held, const struct tw_listen *listener,
                        const bool *taken)
{
    for (size_t i = 0; held && i < held->n_listens; i++)
        if (!taken[i] && held->names[i].port == listener->port &&
            strcmp(held->names[i].address, listener->address) == 0)
            return i;
    return SIZE_MAX;
}

static bool shares_port(const struct tw_socket_name *name, const struct tw_listen *listener)
{
    struct tw_address ours, wanted;
    return name->port != 0 && name->port == listener->port &&
           tw_address_parse(tw_str_of(name->address), &ours) &&
           tw_address_parse(tw_str_of(listener->address), &wanted) &&
           tw_address_overlaps(&ours, &wanted);
}

// A port of ours cannot move from an address to all of them, or back: new sockets would get what is
// meant for the old ones before it is known whether the change holds. False with one line in `err`.
static bool may_open(const struct tw_sockets *held, const struct tw_listen *listener, size_t column,
                     char *err, size_t err_size)
{
    char has[64], wants[64];
    size_t i = 0;
    while (held && i < held->n_listens && !shares_port(&held->names[i], listener))
        i++;
    if (!held || i == held->n_listens)
        return true;
    snprintf(err, err_size,
             "cannot listen on %s: tillway itself has %s until it is restarted (or choose another "
             "listen[%zu].port)",
             tw_listen_name(listener->address, listener->port, wants, sizeof(wants)),
             tw_listen_name(held->names[i].address, held->names[i].port, has, sizeof(has)), column);
    return false;
}

// Descriptors of our own for the sockets that are held; returns how many rows there are then.
static unsigned take_held(const struct tw_sockets *held, size_t from, struct tw_sockets *sockets,
                          size_t column)
{
    unsigned row = 0;
    for (; row < held->n_rows; row++) {
        int fd = fcntl(held->fds[row * held->n_listens + from], F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            break; // the next one will fail too, and tell why
        sockets->fds[row * sockets->n_listens + column] = fd;
    }
    return row;
}

static bool open_all(const struct tw_config *config, const struct tw_sockets *held,
                     struct tw_sockets *sockets, char *err, size_t err_size)
{
    bool taken[TW_CONFIG_LISTEN_MAX] = {false};
    for (size_t i = 0; i < config->n_listens; i++) {
        const struct tw_listen *listener = &config->listens[i];
        size_t from = find_held(held, listener, taken);
        unsigned row = 0;
        snprintf(sockets->names[i].address, sizeof(sockets->names[i].address), "%s",
                 listener->address);
        sockets->names[i].port = listener->port;
        if (from != SIZE_MAX) {
            taken[from] = true;
            row = take_held(held, from, sockets, i);
        } else if (!may_open(held, listener, i, err, err_size)) {
            return false;
        }
        if (!open_rows(listener, sockets, i, row, err, err_size))
            return false;
    }
    return true;
}

bool tw_listen_open(const struct tw_config *config, unsigned n_workers,
                    const struct tw_sockets *held, struct tw_sockets *sockets, char *err,
                    size_t err_size)
{
    unsigned n_rows = held && held->n_rows > n_workers ? held->n_rows : n_workers;
    size_t n = config->n_listens * n_rows;
    *sockets = (struct tw_sockets){.n_rows = n_rows, .n_listens = config->n_listens};
    sockets->fds = malloc(n * sizeof(sockets->fds[0]));
    if (!sockets->fds) {
        snprintf(err, err_size, "cannot listen: out of memory");
        return false;
    }
    memset(sockets->fds, -1, n * sizeof(sockets->fds[0]));
    if (open_all(config, held, sockets, err, err_size))
        return true;
    tw_listen_close(sockets);
    return false;
}

void tw_listen_close(struct tw_sockets *sockets)
{
    for (size_t i = 0; sockets->fds && i < sockets->n_rows * sockets->n_listens; i++)
        if (sockets->fds[i] >= 0)
            close(sockets->fds[i]);
    free(sockets->fds);
    sockets->fds = NULL;
}

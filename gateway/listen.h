// SPDX-License-Identifier: Apache-2.0
// listen: bound, listening TCP sockets, and one clear line when there can be none.
//
// Every worker has a socket of its own for every listener (SO_REUSEPORT): the kernel spreads new
// connections over them. The master opens them all before it forks and keeps them open, so that the
// connections queued at a dead worker's socket wait for its successor instead of being reset; so do
// those queued while one generation of workers takes over from another (reload, binary upgrade).
// Not for: accepting. Runs in: master.
//
// SO_REUSEPORT would let a second tillway of the same user share a port in silence; a port is
// therefore tried once without it; so one of ours cannot move between an address and all of them
// while we hold it. "::" means IPv6 only, so that it goes together with "0.0.0.0".

#ifndef TW_LISTEN_H
#define TW_LISTEN_H

#include "config/config.h"

// One socket for one address, without SO_REUSEPORT: for the admin port. Non-blocking and
// close-on-exec. `port` 0: the kernel chooses (tw_listen_port tells). `key` names the option to
// change, such as "admin.port". -1 with one line in `err`.
TW_MUST_USE int tw_listen_single(const char *address, uint16_t port, const char *key, char *err,
                                 size_t err_size);

// A table of sockets: n_rows rows of one socket per listener. Rows are never given up while the
// sockets are handed on, because what is queued at a socket would be lost with it: with fewer
// workers than rows a worker serves several, r, r + n_workers and so on.
struct tw_sockets {
    int *fds; // NULL: none
    unsigned n_rows;
    size_t n_listens;
    struct tw_socket_name {
        char address[46];
        uint16_t port; // as it was asked for, so 0 when the kernel chose
    } names[TW_CONFIG_LISTEN_MAX];
};

// One SO_REUSEPORT socket per listener and worker, in the order of config->listens, for
// tw_listen_close(). A listener whose address and port `held` has (it may be NULL) gets these
// sockets, as descriptors of its own, and more if there are more workers. With port 0 all sockets
// of a listener share the port that the kernel chose for the first. False with one line in `err`
// and nothing open.
TW_MUST_USE bool tw_listen_open(const struct tw_config *config, unsigned n_workers,
                                const struct tw_sockets *held, struct tw_sockets *sockets,
                                char *err, size_t err_size);

// Closes the table's sockets. What is still queued in them is lost unless somebody else holds the
// same sockets.
void tw_listen_close(struct tw_sockets *sockets);

// The port a socket is bound to.
uint16_t tw_listen_port(int fd);

// "127.0.0.1:8080" or "[::1]:8080", cut at `size`; returns `out`.
const char *tw_listen_name(const char *address, uint16_t port, char *out, size_t size);

#endif

// SPDX-License-Identifier: Apache-2.0
// serve: the issuer over HTTP, where a user pool's addresses are.
//
//   GET  /POOL/.well-known/jwks.json, /POOL/.well-known/openid-configuration
//   POST /POOL/rotate[?alg=RS256|ES256][&drop=1]   a new current key; drop forgets all others
//
// Anybody who reaches the port may rotate. One thread, no TLS, no state: the store holds
// everything. Not for: minting tokens over HTTP (`tillway-issuer token` needs no server).

#ifndef ISSUER_SERVE_H
#define ISSUER_SERVE_H

#include <stdint.h>

struct serve_place {
    const char *dir;
    const char *address; // IPv4 or IPv6, without brackets
    const char *pool;    // letters, digits, _ and -
    uint16_t port;       // 0: the kernel chooses
};

// Says on stdout where it listens, logs a line per request on stderr, and returns after SIGTERM or
// SIGINT. Dies when it cannot start.
void serve(const struct serve_place *place);

#endif

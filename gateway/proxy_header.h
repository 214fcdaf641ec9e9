// SPDX-License-Identifier: Apache-2.0
// proxy_header: what a load balancer says before the first byte of its client (PROXY protocol).
//
// Versions 1 (a line of text) and 2 (binary), as haproxy's proxy-protocol.txt defines them. The
// connection's own address is what LOCAL and UNKNOWN mean. Addresses other than TCP over IPv4 or
// IPv6, and extensions, are skipped; a checksum extension is not verified.
// Not for: whether the sender may say so (listen[].proxyProtocol, trusted_proxies).
// Runs in: worker. Pure.

#ifndef TW_PROXY_HEADER_H
#define TW_PROXY_HEADER_H

#include "config/network.h"

// A longer header is refused: the text form has 107 bytes at most, the binary one 16 and what its
// length says, of which nobody needs more.
#define TW_PROXY_HEADER_MAX_BYTES 2048

struct tw_proxy_header {
    size_t n_bytes;           // of the whole header
    struct tw_address source; // n is 0 for LOCAL, UNKNOWN and families that we do not know
};

enum tw_proxy_read { TW_PROXY_DONE, TW_PROXY_MORE, TW_PROXY_INVALID };

// Judges the first bytes of a connection. TW_PROXY_MORE: they are the beginning of a header.
TW_MUST_USE enum tw_proxy_read tw_proxy_header_parse(struct tw_str bytes,
                                                     struct tw_proxy_header *out);

#endif

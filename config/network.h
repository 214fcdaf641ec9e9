// SPDX-License-Identifier: Apache-2.0
// network: IP addresses and the networks they lie in.
//
// For: peers, proxies that are trusted, what forwarded headers say. An IPv4 address that comes
// mapped into IPv6 (::ffff:192.0.2.1) is that IPv4 address. Runs in: everywhere. Pure.

#ifndef TW_NETWORK_H
#define TW_NETWORK_H

#include "gateway/base.h"

struct tw_address {
    uint8_t n;               // bytes of it: 4, 16, or 0 for none
    unsigned char bytes[16]; // in network order
};

struct tw_network {
    struct tw_address address; // the bits behind the prefix are 0
    uint8_t prefix_bits;
};

// Numeric IPv4 (four decimal numbers) or IPv6 without brackets, zone or port.
TW_MUST_USE bool tw_address_parse(struct tw_str text, struct tw_address *out);

// 4 or 16 bytes.
struct tw_address tw_address_of(const void *bytes, size_t n);

// "10.0.0.0/8", "2001:db8::/32", or an address alone. False also when bits behind the prefix are
// set: whoever wrote 10.1.2.3/8 meant something else.
TW_MUST_USE bool tw_network_parse(struct tw_str text, struct tw_network *out);

TW_MUST_USE bool tw_network_has(const struct tw_network *network, const struct tw_address *address);

// Whether a port on one address takes it on the other, too: they are the same, or one of them is
// all addresses of the other's family (0.0.0.0, ::).
TW_MUST_USE bool tw_address_overlaps(const struct tw_address *a, const struct tw_address *b);

// As RFC 5952 writes it; the text is terminated. `out` has room for 46 bytes.
#define TW_ADDRESS_TEXT_MAX 46
struct tw_str tw_address_format(const struct tw_address *address, char out[TW_ADDRESS_TEXT_MAX]);

// What stands for an address in limits and caps: all of an IPv4 address, the /64 of an IPv6
// address. Points into `address`.
struct tw_str tw_address_key(const struct tw_address *address);

#endif

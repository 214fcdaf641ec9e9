// SPDX-License-Identifier: Apache-2.0
// client_address: who is at the other end, seen through proxies that we trust.
//
// A forwarded list is read from the right, the end that the nearest proxy wrote: past every address
// of a trusted proxy, up to the first that is none of them, which is the client. What stands left
// of it anybody may have written. What is no address ends the walk as well.
// Runs in: worker. Pure.

#ifndef TW_CLIENT_ADDRESS_H
#define TW_CLIENT_ADDRESS_H

#include "config/network.h"

// Whether one of the networks has this address.
TW_MUST_USE bool tw_is_trusted(const struct tw_network *trusted, size_t n,
                               const struct tw_address *address);

// Walks one X-Forwarded-For value, on from *client, which is a trusted proxy: replaces it by the
// addresses passed. True when the walk may go on in the header line before this one.
TW_MUST_USE bool tw_forwarded_for(struct tw_str value, const struct tw_network *trusted, size_t n,
                                  struct tw_address *client);

// The same for a Forwarded value (RFC 7239): its `for` parameters.
TW_MUST_USE bool tw_forwarded(struct tw_str value, const struct tw_network *trusted, size_t n,
                              struct tw_address *client);

#endif

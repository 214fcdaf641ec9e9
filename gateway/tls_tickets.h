// SPDX-License-Identifier: Apache-2.0
// tls_tickets: the keys that seal session tickets (RFC 5077, RFC 8446 §4.6.1).
//
// A ring of keys, the newest first: it seals, all of them open. The master takes the keys from the
// kernel (a generator's state in our memory would be known to every worker that was forked) and
// publishes the ring in memory that the workers inherit, so that a ticket of one worker is good
// with every other and with those born later; or it takes the ring from tls.ticket_keys_file, for
// several machines behind one balancer. A ring of our own
// holds two keys and turns every tls.ticket_rotation; the key that falls out is wiped everywhere: a
// ticket lives between one and two rotations, an older one costs a full handshake.
//
// AES-256-CBC and HMAC-SHA-256 over it, encrypt then MAC, as RFC 5077 §4 recommends and OpenSSL's
// callback provides for (it has no place for the tag of an AEAD).
//
// Forward secrecy: TLS 1.3 resumes with a fresh ECDHE (we allow no other mode), so a stolen ticket
// key opens nothing recorded. A TLS 1.2 ticket holds the session's master secret: whoever has the
// key opens the recorded sessions of that key's two rotations, and no others.
//
// Runs in: master (ring), worker (sealing). Knows neither h2o nor libevent.

#ifndef TW_TLS_TICKETS_H
#define TW_TLS_TICKETS_H

#include <openssl/types.h>

#include "gateway/base.h"

#define TW_TICKET_KEYS_MAX     8 // of a file
#define TW_TICKET_KEYS_OWN     2
#define TW_TICKET_KEY_BYTES    80
#define TW_TICKET_NAME_BYTES   16
#define TW_TICKET_SECRET_BYTES 32

// 80 bytes in this order, also in a file.
struct tw_ticket_key {
    unsigned char name[TW_TICKET_NAME_BYTES]; // stands in the ticket in the clear
    unsigned char mac[TW_TICKET_SECRET_BYTES];
    unsigned char cipher[TW_TICKET_SECRET_BYTES];
};

struct tw_ticket_ring {
    struct tw_ticket_key keys[TW_TICKET_KEYS_MAX]; // the newest first
    size_t n;
};

// A new key comes first; at most TW_TICKET_KEYS_OWN remain, the others are wiped. False without
// randomness, and nothing has changed.
TW_MUST_USE bool tw_ticket_ring_rotate(struct tw_ticket_ring *ring);

// The bytes of a file or a document. False with a reason in `err`: they are no whole number of keys
// from 1 to TW_TICKET_KEYS_MAX, or two have one name, or one is plainly not random.
TW_MUST_USE bool tw_ticket_ring_parse(struct tw_str bytes, struct tw_ticket_ring *ring, char *err,
                                      size_t err_size);

void tw_ticket_ring_wipe(struct tw_ticket_ring *ring);

// OpenSSL's tlsext_ticket_key_evp_cb with the ring as an argument: 0 when there is no key (for), 1,
// or 2 when the ticket should be replaced by one of the newest key; -1 on failure.
int tw_ticket_seal(const struct tw_ticket_ring *ring, unsigned char *name, unsigned char *iv,
                   EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool sealing);

#endif

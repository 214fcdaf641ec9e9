// SPDX-License-Identifier: Apache-2.0
// tls: a listener's OpenSSL contexts: what is spoken, and with which certificate.
//
// Spoken are TLS 1.2 and 1.3 with forward secrecy and AEAD only (RFC 9325), in the server's order,
// on X25519 and P-256; without renegotiation, compression and early data (a sale must not be
// replayed). HTTP/2 or HTTP/1.1 by ALPN; a client that offers neither is refused with the alert
// no_application_protocol (RFC 7301 §3.2), one that offers no ALPN speaks HTTP/1.1.
//
// The certificate is chosen by the name that the client asks for (SNI). A client that asks for no
// name, or for one that no certificate has, gets the first certificate and not an alert, as nginx
// does it: tills are often configured with an address, and their own check of the name says more
// than a closed connection. Certificates with the same names and different kinds of key share a
// context: the client's abilities decide, ECDSA first.
//
// Clients' certificates: trusted are the authorities of the client CA file and no others; each of
// them is an anchor, an intermediate one too, so a file that holds only the tills' own authority
// trusts nothing else that its root has signed. A certificate must be good for authenticating
// clients (RFC 5280 §4.2.1.12: its extended key usage says so, or it has none). What a trusted
// certificate may do is client_cert's business.
//
// Sessions are bound to the listener, its clients' authorities and the certificate's place in the
// configuration: a ticket opens nothing else.
//
// Not for: certificates' renewal, revocation lists, key sets' transport (jwks_fetch), the life of a
// handshake (tls_listener). Runs in: worker; the master and the command line use it to check files.

#ifndef TW_TLS_H
#define TW_TLS_H

#include "gateway/tls_certificate.h"

struct tw_tls;

// For a listener that has certificates; `index` is its place in the configuration. What is given is
// borrowed for the call, but `listen`. NULL with one line in `err` that names the file.
TW_MUST_USE struct tw_tls *tw_tls_new(const struct tw_listen *listen, size_t index,
                                      const struct tw_tls_bundle *bundle, char *err,
                                      size_t err_size);

// Connections may still use its contexts. NULL is fine.
void tw_tls_free(struct tw_tls *tls);

// The certificates in the order of the configuration, borrowed.
const struct tw_tls_certificate *tw_tls_certificate(const struct tw_tls *tls, size_t i);

// Lets a handshake, which has begun on a context of tw_tls_entry_new, go on with the contexts of
// `tls`, by the name that the client has asked for (empty: none). False without memory.
TW_MUST_USE bool tw_tls_choose(const struct tw_tls *tls, struct ssl_st *ssl, struct tw_str name);

// Whether a certificate has that name.
bool tw_tls_knows(const struct tw_tls *tls, struct tw_str name);

// The context on which handshakes of this listener begin. It has no certificate; its session
// tickets and its callbacks are the caller's to set. NULL with a line in `err`.
TW_MUST_USE struct ssl_ctx_st *tw_tls_entry_new(const struct tw_listen *listen, char *err,
                                                size_t err_size);

#endif

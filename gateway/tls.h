// SPDX-License-Identifier: Apache-2.0
// tls: OpenSSL contexts for listeners: TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN, certificates of
// clients where the listener asks for them.
//
// Clients' certificates: trusted are the authorities of the client CA file and no others; each of
// them is an anchor, an intermediate one too, so a file that holds only the tills' own authority
// trusts nothing else that its root has signed. A certificate must be good for authenticating
// clients (RFC 5280 §4.2.1.12: its extended key usage says so, or it has none). What a trusted
// certificate may do is client_cert's business.
//
// Not for: certificates' renewal, revocation lists, key sets' transport (jwks_fetch). Runs in:
// worker; the command line uses it to check a configuration.

#ifndef TW_TLS_H
#define TW_TLS_H

#include "config/config.h"
#include "gateway/base.h"

struct ssl_ctx_st; // SSL_CTX

// For a listener that has tls_certificate. NULL with one line in `err` that names the file.
TW_MUST_USE struct ssl_ctx_st *tw_tls_new(const struct tw_listen *listen, char *err,
                                          size_t err_size);
void tw_tls_free(struct ssl_ctx_st *ctx);

#endif

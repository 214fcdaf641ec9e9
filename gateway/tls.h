// SPDX-License-Identifier: Apache-2.0
// tls: OpenSSL contexts for listeners: TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN.
//
// Not for: certificates' renewal, key sets' transport (jwks_fetch). Runs in: worker; the command
// line uses it to check a configuration.

#ifndef TW_TLS_H
#define TW_TLS_H

#include "gateway/base.h"

struct ssl_ctx_st; // SSL_CTX

// PEM files: certificate chain and its key. NULL with one line in `err` that names the file.
struct ssl_ctx_st *tw_tls_new(const char *certificate, const char *key, char *err, size_t err_size);
void tw_tls_free(struct ssl_ctx_st *ctx);

#endif

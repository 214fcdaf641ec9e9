// SPDX-License-Identifier: Apache-2.0
// client_cert: the verified certificate of a client -> the principal that its requests act for.
//
// A principal's subject is the certificate's distinguished name as `openssl x509 -noout -subject
// -nameopt RFC2253` prints it. That text is ASCII: a byte above 0x7F or below 0x20 appears as a
// backslash and two hexadecimal digits (of UTF-8: "CN=Caf\C3\A9"), and a comma, plus, quote,
// backslash, '<', '>' or ';' in a value after a backslash. So the lines of auth.certificates can be
// copied from openssl, names that look alike stay apart, and no name can break out of its field.
// It is compared byte by byte; who has no line has no roles. Which of the trusted authorities
// signed makes no difference: each may name anybody.
//
// Not for: whether a certificate is good (tls), whether a token goes before it (request). Runs in:
// worker.

#ifndef TW_CLIENT_CERT_H
#define TW_CLIENT_CERT_H

#include "auth/principal.h"
#include "config/config.h"

struct ssl_st; // SSL
struct tw_conn;
struct x509_st;           // X509
struct x509_store_ctx_st; // X509_STORE_CTX

// The connection of a handshake; NULL when this SSL is none of the library's.
struct tw_conn *tw_client_cert_conn(const struct ssl_st *ssl);

// The handshake is done: the connection keeps its client's principal (tw_conn_certificate), if a
// good certificate was shown. `conn` may be NULL.
void tw_client_cert_keep(struct tw_conn *conn, const struct ssl_st *ssl);

// OpenSSL's verify callback: changes no verdict, and says in the log which certificates are
// refused.
int tw_client_cert_verified(int good, struct x509_store_ctx_st *chain);

// The line of `subject` among `n`; NULL when it has none.
const struct tw_certificate_roles *tw_client_cert_line(const struct tw_certificate_roles *lines,
                                                       size_t n, struct tw_str subject);

// A new reference, or NULL with a static text in `*reason`: the name is empty, longer than
// TW_CLAIM_TEXT_MAX_BYTES, or holds a control character or what is no text. The username is the
// most specific CN, empty without one; the certificate expires at its notAfter.
TW_MUST_USE struct tw_principal *tw_client_cert_principal(const struct x509_st *certificate,
                                                          const struct tw_certificate_roles *lines,
                                                          size_t n, const char **reason);

#endif

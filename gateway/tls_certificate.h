// SPDX-License-Identifier: Apache-2.0
// tls_certificate: one certificate of ours with its chain, its key and an OCSP response to staple.
//
// An OCSP response (RFC 6960) that is unusable never stops a certificate, as it is older or younger
// than the certificate whenever one of the two is renewed: it is left out, and said why. It is
// stapled only while it is valid by its own times. Its signature is the client's to check: who can
// write the file can write the key beside it too.
//
// Not for: contexts and who gets which (tls). Runs in: worker, master and command line.

#ifndef TW_TLS_CERTIFICATE_H
#define TW_TLS_CERTIFICATE_H

#include "gateway/tls_bundle.h"

struct ssl_st;     // SSL
struct ssl_ctx_st; // SSL_CTX
struct tw_tls_certificate;

// NULL with one line in `err` that names the file.
TW_MUST_USE struct tw_tls_certificate *
tw_tls_certificate_new(const struct tw_certificate_files *files, const struct tw_tls_texts *texts,
                       char *err, size_t err_size);
void tw_tls_certificate_free(struct tw_tls_certificate *certificate); // NULL is fine

// Adds it to a context, which keeps what it needs. False with OpenSSL's error.
TW_MUST_USE bool tw_tls_certificate_use(const struct tw_tls_certificate *certificate,
                                        struct ssl_ctx_st *ctx);

// DNS names of the certificate's subjectAltName; borrowed.
size_t tw_tls_certificate_n_names(const struct tw_tls_certificate *certificate);
struct tw_str tw_tls_certificate_name(const struct tw_tls_certificate *certificate, size_t i);

// Whether both have the same DNS names; whether their keys are of one kind (RSA, EC, ...).
bool tw_tls_certificate_same_names(const struct tw_tls_certificate *a,
                                   const struct tw_tls_certificate *b);
bool tw_tls_certificate_same_kind(const struct tw_tls_certificate *a,
                                  const struct tw_tls_certificate *b);

// Whether its key lies on P-384, a group that is not offered otherwise.
bool tw_tls_certificate_is_p384(const struct tw_tls_certificate *certificate);

// What it is called in metrics and the log: its first DNS name, else its subject's common name,
// else "". Without what could break a label or a line.
const char *tw_tls_certificate_label(const struct tw_tls_certificate *certificate);

// When the first of its chain expires.
int64_t tw_tls_certificate_expires_unix_s(const struct tw_tls_certificate *certificate);

// Why its OCSP response is not stapled; NULL when it is, or when there is none. And until when.
const char *tw_tls_certificate_ocsp_fault(const struct tw_tls_certificate *certificate);

// OpenSSL's tlsext_status_cb: staples what belongs to the certificate that has been chosen.
int tw_tls_certificate_staple(struct ssl_st *ssl, void *unused);

#endif

// SPDX-License-Identifier: Apache-2.0
//
// How a handshake finds its connection. h2o 2.2.5 keeps its SSL object in a private struct and has
// no accessor for it, so the SSL object tells us instead: OpenSSL calls back when a handshake is
// done, on its context and with the SSL, whose BIO was made by h2o and carries the h2o_socket_t
// (BIO_get_data, as h2o's own session callback does); the socket's on_close.data is our connection.
// That needs no patch and no private layout, and holds for the packaged library as for ours. The
// BIO's name and the connection's magic are checked before they are believed; should a later h2o
// differ, the certificate counts for nobody. The alternative, taking it from the socket at the
// first request, would need the private struct or a patch. A resumed session gets here too, with
// the certificate that its ticket brings back.
#include "gateway/client_cert.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include "gateway/log.h"
#include "gateway/worker.h"

// ---- names --------------------------------------------------------------------------------------

const struct tw_certificate_roles *tw_client_cert_line(const struct tw_certificate_roles *lines,
                                                       size_t n, struct tw_str subject)
{
    for (size_t i = 0; i < n; i++)
        if (tw_str_eq(subject, tw_str_of(lines[i].subject)))
            return &lines[i];
    return NULL;
}

// The text of one part of a name, for OPENSSL_free; p is NULL when it is no text that a log, a
// header or a parameter could hold.
static struct tw_str part_text(const X509_NAME_ENTRY *part)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(part));
    if (n < 0)
        return (struct tw_str){NULL, 0};
    struct tw_str text = {(const char *)utf8, (size_t)n};
    bool good = tw_utf8_valid(text);
    for (size_t i = 0; good && i < text.n; i++)
        good = utf8[i] >= 0x20 && utf8[i] != 0x7f;
    if (!good) {
        OPENSSL_free(utf8);
        return (struct tw_str){NULL, 0};
    }
    return text;
}

// Looks at every part; the last CN, which RFC 2253 writes first, goes to `*common_name`, for
// OPENSSL_free. False when one part is no plain text.
static bool read_parts(const X509_NAME *name, struct tw_str *common_name)
{
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *part = X509_NAME_get_entry(name, i);
        struct tw_str text = part_text(part);
        if (!text.p)
            return false;
        bool is_cn = OBJ_obj2nid(X509_NAME_ENTRY_get_object(part)) == NID_commonName;
        OPENSSL_free((void *)(uintptr_t)(is_cn ? common_name->p : text.p));
        if (is_cn)
            *common_name = text;
    }
    return true;
}

static int64_t expiry_unix_s(const X509 *certificate)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    int64_t at_unix_s = timegm(&tm);
    return at_unix_s < TW_CLAIM_TIME_MAX_S ? at_unix_s : TW_CLAIM_TIME_MAX_S;
}

static struct tw_principal *make(const X509 *certificate, struct tw_str subject,
                                 struct tw_str username, const struct tw_certificate_roles *line)
{
    struct tw_claims claims = {
        .sub = subject,
        .username = username,
        .store = tw_str_of(line ? line->store : NULL),
        .exp_unix_s = expiry_unix_s(certificate),
    };
    return tw_principal_new(&claims, line ? line->roles : 0);
}

struct tw_principal *tw_client_cert_principal(const X509 *certificate,
                                              const struct tw_certificate_roles *lines, size_t n,
                                              const char **reason)
{
    const X509_NAME *name = X509_get_subject_name(certificate);
    struct tw_str subject = {NULL, 0}, common_name = {NULL, 0};
    struct tw_principal *principal = NULL;
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    *reason = "its subject holds what is no plain text";
    if (!read_parts(name, &common_name))
        goto out;
    *reason = "out of memory";
    if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
        goto out;
    subject.n = (size_t)BIO_get_mem_data(bio, &text);
    subject.p = text;
    if (subject.n == 0)
        *reason = "its subject is empty";
    else if (subject.n > TW_CLAIM_TEXT_MAX_BYTES)
        *reason = "its subject is too long";
    else
        principal = make(certificate, subject, common_name, tw_client_cert_line(lines, n, subject));
out:
    OPENSSL_free((void *)(uintptr_t)common_name.p);
    BIO_free(bio);
    return principal;
}

// ---- connections --------------------------------------------------------------------------------

struct tw_conn *tw_client_cert_conn(const SSL *ssl)
{
    BIO *bio = SSL_get_rbio(ssl);
    const char *name = bio ? BIO_method_name(bio) : NULL;
    const h2o_socket_t *sock = name && strcmp(name, "h2o_socket") == 0 ? BIO_get_data(bio) : NULL;
    struct tw_conn *conn = sock ? sock->on_close.data : NULL;
    return conn && conn->magic == TW_CONN_MAGIC && conn->sock == sock ? conn : NULL;
}

static void refused(const SSL *ssl, const char *reason)
{
    char text[TW_ADDRESS_TEXT_MAX];
    const struct tw_conn *conn = tw_client_cert_conn(ssl);
    struct tw_str peer = conn ? tw_address_format(&conn->client, text) : TW_STR("");
    tw_log(TW_LEVEL_INFO, "client_certificate_refused", "%.*s: %s", (int)peer.n, peer.p, reason);
}

void tw_client_cert_keep(struct tw_conn *conn, const SSL *ssl)
{
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    const char *reason = "its connection is not known";
    if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK || (conn && conn->certificate))
        return;
    if (conn)
        conn->certificate = tw_client_cert_principal(
            certificate, conn->worker->config->certificate_roles,
            conn->worker->config->n_certificate_roles, &reason);
    if (!conn || !conn->certificate)
        refused(ssl, reason);
}

// The operator should know why a till cannot connect.
int tw_client_cert_verified(int good, X509_STORE_CTX *chain)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (!good && ssl)
        refused(ssl, X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain)));
    return good;
}

struct tw_principal *tw_conn_certificate(struct tw_conn *conn, int64_t now_unix_s)
{
    struct tw_principal *principal = conn->certificate;
    return principal && principal->exp_unix_s > now_unix_s ? principal : NULL;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

// Forward secrecy and AEAD only (RFC 9325 §4.2); TLS 1.3 suites are all of that kind.
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"

static const unsigned char protocols[] = "\x02h2\x08http/1.1";

// The server's preference decides; a client that offers none of them is refused (RFC 7301 §3.2).
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *offered, unsigned n, void *arg)
{
    unsigned char *chosen;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_n, protocols, sizeof(protocols) - 1, offered, n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "unknown reason";
}

static bool use_certificate(SSL_CTX *ctx, const char *certificate, const char *key, char *err,
                            size_t err_size)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
        (void)snprintf(err, err_size, "%s: not a PEM certificate chain: %s", certificate, reason());
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        (void)snprintf(err, err_size, "%s: not the PEM key of %s: %s", key, certificate, reason());
        return false;
    }
    return true;
}

// ---- certificates of clients --------------------------------------------------------------------

// NULL, or why this certificate cannot be an authority here.
static const char *add_authority(SSL_CTX *ctx, EVP_MD_CTX *digest, X509 *authority)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned n;
    if (X509_check_ca(authority) == 0)
        return "holds a certificate that is no authority's";
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), authority) != 1 ||
        SSL_CTX_add_client_CA(ctx, authority) != 1 ||
        X509_digest(authority, EVP_sha256(), id, &n) != 1 || EVP_DigestUpdate(digest, id, n) != 1)
        return reason();
    return NULL;
}

// All certificates of a PEM file. NULL, or what is wrong with it.
static const char *add_authorities(SSL_CTX *ctx, EVP_MD_CTX *digest, BIO *pem)
{
    const char *problem = NULL;
    X509 *authority;
    size_t n = 0;
    for (; !problem && (authority = PEM_read_bio_X509(pem, NULL, NULL, NULL)); n++) {
        problem = add_authority(ctx, digest, authority);
        X509_free(authority);
    }
    if (problem)
        return problem;
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!at_end)
        return reason();
    ERR_clear_error();
    return n > 0 ? NULL : "holds no PEM certificate";
}

// A ticket brings back the certificate that was shown when its session began, without looking at it
// again: a session of other authorities, or of a listener where none was needed, is none of ours.
static bool bind_sessions(SSL_CTX *ctx, EVP_MD_CTX *digest, bool required)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned n;
    return EVP_DigestUpdate(digest, required ? "required" : "optional", 8) == 1 &&
           EVP_DigestFinal_ex(digest, id, &n) == 1 && n <= SSL_MAX_SID_CTX_LENGTH &&
           SSL_CTX_set_session_id_context(ctx, id, n) == 1;
}

static bool ask_clients(SSL_CTX *ctx, const struct tw_listen *listen, char *err, size_t err_size)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    BIO *pem = BIO_new_file(listen->tls_client_ca, "r");
    const char *problem = NULL;
    if (!digest || !pem || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
        problem = reason();
    if (!problem)
        problem = add_authorities(ctx, digest, pem);
    if (!problem &&
        (!bind_sessions(ctx, digest, listen->tls_client_cert_required) ||
         SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) != 1 ||
         X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN) != 1))
        problem = reason();
    if (problem)
        (void)snprintf(err, err_size, "%s: not a PEM file of client authorities: %s",
                       listen->tls_client_ca, problem);
    SSL_CTX_set_verify(ctx,
                       SSL_VERIFY_PEER |
                           (listen->tls_client_cert_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       NULL);
    BIO_free(pem);
    EVP_MD_CTX_free(digest);
    return !problem;
}

// ---- contexts -----------------------------------------------------------------------------------

SSL_CTX *tw_tls_new(const struct tw_listen *listen, char *err, size_t err_size)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1) {
        (void)snprintf(err, err_size, "OpenSSL cannot be set up: %s", reason());
        goto fail;
    }
    if (!use_certificate(ctx, listen->tls_certificate, listen->tls_key, err, err_size))
        goto fail;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); // tickets need no memory of ours
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (listen->tls_client_ca && !ask_clients(ctx, listen, err, err_size))
        goto fail;
    return ctx;
fail:
    SSL_CTX_free(ctx);
    return NULL;
}

void tw_tls_free(SSL_CTX *ctx)
{
    SSL_CTX_free(ctx);
}

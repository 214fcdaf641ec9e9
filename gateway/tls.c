// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
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

SSL_CTX *tw_tls_new(const char *certificate, const char *key, char *err, size_t err_size)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1) {
        (void)snprintf(err, err_size, "OpenSSL cannot be set up: %s", reason());
        goto fail;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1) {
        (void)snprintf(err, err_size, "%s: not a PEM certificate chain: %s", certificate, reason());
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        (void)snprintf(err, err_size, "%s: not the PEM key of %s: %s", key, certificate, reason());
        goto fail;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); // tickets need no memory of ours
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    return ctx;
fail:
    SSL_CTX_free(ctx);
    return NULL;
}

void tw_tls_free(SSL_CTX *ctx)
{
    SSL_CTX_free(ctx);
}

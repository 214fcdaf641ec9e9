// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/tls_names.h"

// Forward secrecy and AEAD only (RFC 9325 §4.2); TLS 1.3 suites are all of that kind. Written out,
// so that no openssl.cnf has a say.
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_TLS13 "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define SIGNATURES                                                                   \
    "ECDSA+SHA256:ed25519:ECDSA+SHA384:rsa_pss_rsae_sha256:rsa_pss_pss_sha256:"      \
    "rsa_pss_rsae_sha384:rsa_pss_pss_sha384:rsa_pss_rsae_sha512:rsa_pss_pss_sha512:" \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define SECURITY_LEVEL 2 // 112 bits: RSA from 2048 on, no SHA-1

// P-384 costs some 20 times as much, at the choice of whoever says hello: it is offered only where
// certificates on it are in use, as TLS 1.2 takes such certificates from its list of groups.
#define GROUPS           "X25519:P-256"
#define GROUPS_WITH_P384 "X25519:P-256:P-384"

// Of a client's chain; OpenSSL's default is 100 KiB, which each stalled handshake may hold.
#define CLIENT_CHAIN_MAX_BYTES (16 * 1024)

#define OPTIONS                                                                          \
    (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | \
     SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1)

struct context {
    SSL_CTX *ctx;
    bool with_p384;
};

struct tw_tls {
    size_t n;
    struct tw_tls_certificate *certificates[TW_CONFIG_CERTIFICATES_MAX];
    struct context contexts[TW_CONFIG_CERTIFICATES_MAX]; // by index of their first certificate
    size_t context_of[TW_CONFIG_CERTIFICATES_MAX];
    struct tw_tls_names *names; // -> index in contexts
};

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

// All certificates of a PEM text. NULL, or what is wrong with it.
static const char *add_authorities(SSL_CTX *ctx, EVP_MD_CTX *digest, struct tw_str text)
{
    const char *problem = NULL;
    X509 *authority;
    size_t n = 0;
    BIO *pem = BIO_new_mem_buf(text.n > 0 ? text.p : "", (int)text.n);
    if (!pem)
        return "out of memory";
    for (; !problem && (authority = PEM_read_bio_X509(pem, NULL, NULL, NULL)); n++) {
        problem = add_authority(ctx, digest, authority);
        X509_free(authority);
    }
    BIO_free(pem);
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
// By its place instead of its address, so that machines that share ticket keys agree.
static bool bind_sessions(SSL_CTX *ctx, EVP_MD_CTX *digest, const struct tw_listen *listen,
                          size_t index, size_t certificate)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    char place[64];
    unsigned n;
    (void)snprintf(place, sizeof(place), "%s %zu %zu",
                   listen->tls_client_cert_required ? "required" : "optional", index, certificate);
    return EVP_DigestUpdate(digest, place, strlen(place)) == 1 &&
           EVP_DigestFinal_ex(digest, id, &n) == 1 && n <= SSL_MAX_SID_CTX_LENGTH &&
           SSL_CTX_set_session_id_context(ctx, id, n) == 1;
}

static void ask_clients(SSL_CTX *ctx, const struct tw_listen *listen)
{
    SSL_CTX_set_verify(ctx,
                       SSL_VERIFY_PEER |
                           (listen->tls_client_cert_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       NULL);
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX_BYTES);
}

// ---- contexts -----------------------------------------------------------------------------------

// What holds for every context of a listener. A handshake takes some of it from the context on
// which it begins and some from the one that it is moved to.
static SSL_CTX *new_context(const struct tw_listen *listen)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    const char *groups = listen->tls_client_ca ? GROUPS_WITH_P384 : GROUPS;
    if (!ctx)
        return NULL;
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, 0) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, CIPHERS_TLS13) != 1 ||
        SSL_CTX_set1_groups_list(ctx, groups) != 1 ||
        SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, OPTIONS);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); // tickets need no memory of ours
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    (void)SSL_CTX_set_tlsext_status_cb(ctx, tw_tls_certificate_staple);
    if (listen->tls_client_ca)
        ask_clients(ctx, listen);
    return ctx;
}

SSL_CTX *tw_tls_entry_new(const struct tw_listen *listen, char *err, size_t err_size)
{
    static const unsigned char nowhere[] = "entry"; // no session is made here
    ERR_clear_error();
    SSL_CTX *ctx = new_context(listen);
    if (ctx && SSL_CTX_set_session_id_context(ctx, nowhere, sizeof(nowhere) - 1) == 1 &&
        (!listen->tls_client_ca ||
         (SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1 &&
          X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN) == 1)))
        return ctx;
    (void)snprintf(err, err_size, "OpenSSL cannot be set up: %s", reason());
    SSL_CTX_free(ctx);
    return NULL;
}

static bool trust(SSL_CTX *ctx, const struct tw_listen *listen, size_t index, size_t certificate,
                  struct tw_str authorities, char *err, size_t err_size)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    const char *problem = NULL;
    if (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
        problem = reason();
    if (!problem && listen->tls_client_ca)
        problem = add_authorities(ctx, digest, authorities);
    if (problem)
        (void)snprintf(err, err_size, "%s: not a PEM file of client authorities: %s",
                       listen->tls_client_ca ? listen->tls_client_ca : "OpenSSL", problem);
    else if (!bind_sessions(ctx, digest, listen, index, certificate))
        (void)snprintf(err, err_size, "OpenSSL cannot be set up: %s", problem = reason());
    EVP_MD_CTX_free(digest);
    return !problem;
}

// Index of the context of this certificate: that of an earlier one with the same names, else its
// own. `*twin` is an earlier one that it could never be chosen beside, or `i`.
static size_t context_for(const struct tw_tls *tls, size_t i, size_t *twin)
{
    size_t context = i;
    *twin = i;
    for (size_t j = 0; j < i; j++) {
        if (!tw_tls_certificate_same_names(tls->certificates[i], tls->certificates[j]))
            continue;
        context = tls->context_of[j];
        if (tw_tls_certificate_same_kind(tls->certificates[i], tls->certificates[j]))
            *twin = j;
    }
    return context;
}

static bool add_certificate(struct tw_tls *tls, const struct tw_listen *listen, size_t index,
                            size_t i, const struct tw_tls_bundle *bundle, char *err,
                            size_t err_size)
{
    const struct tw_certificate_files *files = &listen->certificates[i];
    size_t twin = i, at = context_for(tls, i, &twin);
    struct context *context = &tls->contexts[at];
    tls->context_of[i] = at;
    if (twin != i) {
        (void)snprintf(err, err_size, "%s: has the same names and kind of key as %s: remove one",
                       files->certificate, listen->certificates[twin].certificate);
        return false;
    }
    if (at == i) {
        context->ctx = new_context(listen);
        if (context->ctx &&
            !trust(context->ctx, listen, index, i, bundle->client_ca, err, err_size))
            return false;
    }
    if (!context->ctx || !tw_tls_certificate_use(tls->certificates[i], context->ctx)) {
        (void)snprintf(err, err_size, "%s: %s", files->certificate, reason());
        return false;
    }
    context->with_p384 |= tw_tls_certificate_is_p384(tls->certificates[i]);
    return true;
}

static bool name_contexts(struct tw_tls *tls)
{
    size_t n = 0;
    for (size_t i = 0; i < tls->n; i++)
        n += tw_tls_certificate_n_names(tls->certificates[i]);
    tls->names = tw_tls_names_new(n);
    if (!tls->names)
        return false;
    for (size_t i = 0; i < tls->n; i++)
        for (size_t j = 0; j < tw_tls_certificate_n_names(tls->certificates[i]); j++)
            tw_tls_names_add(tls->names, tw_tls_certificate_name(tls->certificates[i], j),
                             tls->context_of[i]);
    tw_tls_names_sort(tls->names);
    return true;
}

struct tw_tls *tw_tls_new(const struct tw_listen *listen, size_t index,
                          const struct tw_tls_bundle *bundle, char *err, size_t err_size)
{
    struct tw_tls *tls = calloc(1, sizeof(*tls));
    (void)snprintf(err, err_size, "out of memory");
    if (!tls)
        return NULL;
    ERR_clear_error();
    for (size_t i = 0; i < listen->n_certificates; i++) {
        tls->certificates[i] = tw_tls_certificate_new(&listen->certificates[i],
                                                      &bundle->certificates[i], err, err_size);
        tls->n = i + 1;
        if (!tls->certificates[i] ||
            !add_certificate(tls, listen, index, i, bundle, err, err_size)) {
            tw_tls_free(tls);
            return NULL;
        }
    }
    if (name_contexts(tls))
        return tls;
    tw_tls_free(tls);
    return NULL;
}

void tw_tls_free(struct tw_tls *tls)
{
    if (!tls)
        return;
    for (size_t i = 0; i < tls->n; i++) {
        SSL_CTX_free(tls->contexts[i].ctx);
        tw_tls_certificate_free(tls->certificates[i]);
    }
    tw_tls_names_free(tls->names);
    free(tls);
}

const struct tw_tls_certificate *tw_tls_certificate(const struct tw_tls *tls, size_t i)
{
    return tls->certificates[i];
}

bool tw_tls_knows(const struct tw_tls *tls, struct tw_str name)
{
    return tw_tls_names_find(tls->names, name) != TW_TLS_NAME_NONE;
}

bool tw_tls_choose(const struct tw_tls *tls, SSL *ssl, struct tw_str name)
{
    size_t at = tw_tls_names_find(tls->names, name);
    const struct context *context = &tls->contexts[at == TW_TLS_NAME_NONE ? 0 : at];
    return SSL_set_SSL_CTX(ssl, context->ctx) != NULL &&
           (!context->with_p384 || SSL_set1_groups_list(ssl, GROUPS_WITH_P384) == 1);
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls_certificate.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LABEL_MAX 128

// A clock of the authority's or ours may be this much off.
#define OCSP_SKEW_S 300

struct tw_tls_certificate {
    X509 *leaf;
    STACK_OF(X509) * chain; // without the leaf
    EVP_PKEY *key;
    GENERAL_NAMES *alternatives;
    int64_t expires_unix_s;
    const char *ocsp_fault;
    char label[LABEL_MAX];
};

// What is stapled lives with the certificate: an SSL object may outlive the contexts' owner.
struct staple {
    int64_t until_unix_s; // INT64_MAX: its authority did not say
    int n;
    unsigned char der[];
};

static void free_staple(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long argument,
                        void *pointer)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argument;
    (void)pointer;
    free(p);
}

static int staple_index(void)
{
    static int index = -1;
    if (index < 0)
        index = X509_get_ex_new_index(0, NULL, NULL, NULL, free_staple);
    return index;
}

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "unknown reason";
}

// ---- PEM ----------------------------------------------------------------------------------------

// A key with a passphrase is refused instead of asking the terminal for it.
static int no_passphrase(char *buffer, int size, int for_writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)for_writing;
    (void)arg;
    return -1;
}

static bool read_chain(struct tw_tls_certificate *certificate, BIO *pem)
{
    X509 *next;
    certificate->leaf = PEM_read_bio_X509_AUX(pem, NULL, no_passphrase, NULL);
    certificate->chain = sk_X509_new_null();
    if (!certificate->leaf || !certificate->chain)
        return false;
    while ((next = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL)))
        if (sk_X509_push(certificate->chain, next) == 0) {
            X509_free(next);
            return false;
        }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (at_end)
        ERR_clear_error();
    return at_end;
}

static BIO *bio_of(struct tw_str text)
{
    return BIO_new_mem_buf(text.n > 0 ? text.p : "", (int)text.n);
}

static bool read_pair(struct tw_tls_certificate *certificate,
                      const struct tw_certificate_files *files, const struct tw_tls_texts *texts,
                      char *err, size_t err_size)
{
    BIO *chain = bio_of(texts->certificate), *key = bio_of(texts->key);
    bool good = false;
    if (!chain || !key) {
        (void)snprintf(err, err_size, "out of memory");
    } else if (!read_chain(certificate, chain)) {
        (void)snprintf(err, err_size, "%s: not a PEM certificate chain: %s", files->certificate,
                       reason());
    } else {
        certificate->key = PEM_read_bio_PrivateKey(key, NULL, no_passphrase, NULL);
        good = certificate->key && X509_check_private_key(certificate->leaf, certificate->key) == 1;
        if (!good)
            (void)snprintf(err, err_size, "%s: not the PEM key of %s: %s", files->key,
                           files->certificate, reason());
    }
    BIO_free(chain);
    BIO_free(key);
    return good;
}

// ---- what it says of itself ---------------------------------------------------------------------

static int64_t unix_s_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void note_expiry(struct tw_tls_certificate *certificate)
{
    certificate->expires_unix_s = unix_s_of(X509_get0_notAfter(certificate->leaf));
    for (int i = 0; i < sk_X509_num(certificate->chain); i++) {
        const X509 *above = sk_X509_value(certificate->chain, i);
        int64_t expires_unix_s = unix_s_of(X509_get0_notAfter(above));
        if (expires_unix_s < certificate->expires_unix_s)
            certificate->expires_unix_s = expires_unix_s;
    }
}

static void note_label(struct tw_tls_certificate *certificate)
{
    char *label = certificate->label;
    if (tw_tls_certificate_n_names(certificate) > 0) {
        struct tw_str name = tw_tls_certificate_name(certificate, 0);
        (void)snprintf(label, LABEL_MAX, "%.*s", (int)name.n, name.p);
    } else if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate->leaf), NID_commonName,
                                         label, LABEL_MAX) < 0) {
        label[0] = '\0';
    }
    for (char *c = label; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '_';
}

static const ASN1_IA5STRING *dns_name(const struct tw_tls_certificate *certificate, int i)
{
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(certificate->alternatives, i);
    return name->type == GEN_DNS ? name->d.dNSName : NULL;
}

size_t tw_tls_certificate_n_names(const struct tw_tls_certificate *certificate)
{
    size_t n = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(certificate->alternatives); i++)
        n += dns_name(certificate, i) != NULL;
    return n;
}

struct tw_str tw_tls_certificate_name(const struct tw_tls_certificate *certificate, size_t i)
{
    for (int at = 0; at < sk_GENERAL_NAME_num(certificate->alternatives); at++) {
        const ASN1_IA5STRING *name = dns_name(certificate, at);
        if (name && i-- == 0)
            return (struct tw_str){(const char *)ASN1_STRING_get0_data(name),
                                   (size_t)ASN1_STRING_length(name)};
    }
    return (struct tw_str){NULL, 0};
}

static bool has_name(const struct tw_tls_certificate *certificate, struct tw_str name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tw_str_ieq(tw_tls_certificate_name(certificate, i), name))
            return true;
    return false;
}

bool tw_tls_certificate_same_names(const struct tw_tls_certificate *a,
                                   const struct tw_tls_certificate *b)
{
    size_t n = tw_tls_certificate_n_names(a);
    if (n != tw_tls_certificate_n_names(b))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!has_name(b, tw_tls_certificate_name(a, i), n))
            return false;
    return true;
}

bool tw_tls_certificate_same_kind(const struct tw_tls_certificate *a,
                                  const struct tw_tls_certificate *b)
{
    return EVP_PKEY_get_base_id(a->key) == EVP_PKEY_get_base_id(b->key);
}

bool tw_tls_certificate_is_p384(const struct tw_tls_certificate *certificate)
{
    char group[32];
    size_t n;
    return EVP_PKEY_is_a(certificate->key, "EC") &&
           EVP_PKEY_get_group_name(certificate->key, group, sizeof(group), &n) == 1 &&
           strcmp(group, SN_secp384r1) == 0;
}

const char *tw_tls_certificate_label(const struct tw_tls_certificate *certificate)
{
    return certificate->label;
}

int64_t tw_tls_certificate_expires_unix_s(const struct tw_tls_certificate *certificate)
{
    return certificate->expires_unix_s;
}

const char *tw_tls_certificate_ocsp_fault(const struct tw_tls_certificate *certificate)
{
    return certificate->ocsp_fault;
}

// ---- stapling -----------------------------------------------------------------------------------

// The answer about this certificate in a response, by its number alone when its issuer is not in
// the chain; NULL when there is none.
static OCSP_SINGLERESP *answer_about(const struct tw_tls_certificate *certificate,
                                     OCSP_BASICRESP *basic)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        (void)OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                                (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single));
        if (serial && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate->leaf)) == 0)
            return single;
    }
    return NULL;
}

static const char *judge_answer(OCSP_SINGLERESP *single, int64_t *until_unix_s)
{
    ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
    int status = OCSP_single_get0_status(single, NULL, NULL, &from, &until);
    *until_unix_s = until ? unix_s_of(until) : INT64_MAX;
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return status == V_OCSP_CERTSTATUS_REVOKED ? "it says that the certificate is revoked"
                                                   : "it does not know the certificate";
    if (!from || unix_s_of(from) > tw_unix_s() + OCSP_SKEW_S)
        return "it is not valid yet";
    return *until_unix_s <= tw_unix_s() ? "it has expired" : NULL;
}

// NULL, or why the response is not to be stapled.
static const char *judge_response(const struct tw_tls_certificate *certificate, struct tw_str der,
                                  int64_t *until_unix_s)
{
    const unsigned char *p = (const unsigned char *)der.p;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
    OCSP_BASICRESP *basic = NULL;
    const char *fault = "it is no OCSP response in DER";
    if (response && p == (const unsigned char *)der.p + der.n) {
        bool successful = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL;
        basic = successful ? OCSP_response_get1_basic(response) : NULL;
        OCSP_SINGLERESP *single = basic ? answer_about(certificate, basic) : NULL;
        fault = !basic    ? "it is the refusal of an OCSP responder"
                : !single ? "it is about another certificate"
                          : judge_answer(single, until_unix_s);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return fault;
}

static const char *attach_staple(struct tw_tls_certificate *certificate, struct tw_str der)
{
    int64_t until_unix_s = 0;
    const char *fault = judge_response(certificate, der, &until_unix_s);
    if (fault)
        return fault;
    struct staple *staple = malloc(sizeof(*staple) + der.n);
    if (!staple)
        return "out of memory";
    staple->until_unix_s = until_unix_s;
    staple->n = (int)der.n;
    memcpy(staple->der, der.p, der.n);
    if (X509_set_ex_data(certificate->leaf, staple_index(), staple) == 1)
        return NULL;
    free(staple);
    return "out of memory";
}

int tw_tls_certificate_staple(SSL *ssl, void *unused)
{
    (void)unused;
    const X509 *leaf = SSL_get_certificate(ssl);
    const struct staple *staple = leaf ? X509_get_ex_data(leaf, staple_index()) : NULL;
    if (!staple || staple->until_unix_s <= tw_unix_s())
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(staple->der, (size_t)staple->n); // OpenSSL frees it
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->n) == 1)
        return SSL_TLSEXT_ERR_OK;
    OPENSSL_free(copy);
    return SSL_TLSEXT_ERR_NOACK;
}

// ---- life ---------------------------------------------------------------------------------------

struct tw_tls_certificate *tw_tls_certificate_new(const struct tw_certificate_files *files,
                                                  const struct tw_tls_texts *texts, char *err,
                                                  size_t err_size)
{
    struct tw_tls_certificate *certificate = calloc(1, sizeof(*certificate));
    ERR_clear_error();
    if (!certificate) {
        (void)snprintf(err, err_size, "out of memory");
        return NULL;
    }
    if (!read_pair(certificate, files, texts, err, err_size)) {
        tw_tls_certificate_free(certificate);
        return NULL;
    }
    certificate->alternatives = X509_get_ext_d2i(certificate->leaf, NID_subject_alt_name, NULL,
                                                 NULL);
    note_expiry(certificate);
    note_label(certificate);
    if (files->ocsp)
        certificate->ocsp_fault = attach_staple(certificate, texts->ocsp);
    return certificate;
}

void tw_tls_certificate_free(struct tw_tls_certificate *certificate)
{
    if (!certificate)
        return;
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->chain, X509_free);
    EVP_PKEY_free(certificate->key);
    GENERAL_NAMES_free(certificate->alternatives);
    free(certificate);
}

bool tw_tls_certificate_use(const struct tw_tls_certificate *certificate, SSL_CTX *ctx)
{
    return SSL_CTX_use_cert_and_key(ctx, certificate->leaf, certificate->key, certificate->chain,
                                    0) == 1;
}

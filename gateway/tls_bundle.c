// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls_bundle.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/file_watch.h"
#include "gateway/shared.h"

// A document is the texts in the order in which the configuration names the files, each behind its
// length in the machine's own 4 bytes; a file that is not configured has length 0.

struct writer {
    char *bytes; // of TW_DOCUMENT_MAX_BYTES
    size_t n;
    char *err;
    size_t err_size;
};

static bool put(struct writer *writer, const char *path, struct tw_str text)
{
    uint32_t n = (uint32_t)text.n;
    if (text.n + sizeof(n) > TW_DOCUMENT_MAX_BYTES - writer->n) {
        (void)snprintf(writer->err, writer->err_size,
                       "%s: all files of the listener together are larger than %d KiB", path,
                       TW_DOCUMENT_MAX_BYTES / 1024);
        return false;
    }
    memcpy(writer->bytes + writer->n, &n, sizeof(n));
    if (n > 0)
        memcpy(writer->bytes + writer->n + sizeof(n), text.p, n);
    writer->n += sizeof(n) + n;
    return true;
}

static bool put_file(struct writer *writer, const char *path, size_t max_bytes)
{
    char why[256];
    struct tw_str text = {NULL, 0};
    if (!path)
        return put(writer, "", text);
    char *read = tw_file_read(path, max_bytes, &text.n, why, sizeof(why));
    text.p = read;
    bool done = read != NULL;
    if (!done)
        (void)snprintf(writer->err, writer->err_size, "%s: %s", path, why);
    else
        done = put(writer, path, text);
    tw_tls_bundle_free(read, text.n);
    return done;
}

char *tw_tls_bundle_read(const struct tw_listen *listen, size_t *n, char *err, size_t err_size)
{
    struct writer writer = {malloc(TW_DOCUMENT_MAX_BYTES), 0, err, err_size};
    bool good = writer.bytes != NULL;
    if (!good)
        (void)snprintf(err, err_size, "out of memory");
    for (size_t i = 0; good && i < listen->n_certificates; i++) {
        const struct tw_certificate_files *files = &listen->certificates[i];
        good = put_file(&writer, files->certificate, TW_TLS_FILE_MAX_BYTES) &&
               put_file(&writer, files->key, TW_TLS_FILE_MAX_BYTES) &&
               put_file(&writer, files->ocsp, TW_TLS_FILE_MAX_BYTES);
    }
    if (good && put_file(&writer, listen->tls_client_ca, TW_TLS_CA_MAX_BYTES)) {
        *n = writer.n;
        return writer.bytes;
    }
    tw_tls_bundle_free(writer.bytes, writer.n);
    return NULL;
}

void tw_tls_bundle_free(char *document, size_t n)
{
    if (document)
        OPENSSL_cleanse(document, n);
    free(document);
}

static bool take(struct tw_str *rest, struct tw_str *text)
{
    uint32_t n;
    if (rest->n < sizeof(n))
        return false;
    memcpy(&n, rest->p, sizeof(n));
    if (n > rest->n - sizeof(n))
        return false;
    *text = (struct tw_str){rest->p + sizeof(n), n};
    rest->p += sizeof(n) + n;
    rest->n -= sizeof(n) + n;
    return true;
}

bool tw_tls_bundle_parse(const struct tw_listen *listen, struct tw_str document,
                         struct tw_tls_bundle *bundle)
{
    for (size_t i = 0; i < listen->n_certificates; i++) {
        struct tw_tls_texts *texts = &bundle->certificates[i];
        if (!take(&document, &texts->certificate) || !take(&document, &texts->key) ||
            !take(&document, &texts->ocsp))
            return false;
    }
    return take(&document, &bundle->client_ca) && document.n == 0;
}

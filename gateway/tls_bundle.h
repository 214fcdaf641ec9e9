// SPDX-License-Identifier: Apache-2.0
// tls_bundle: the files of one listener's TLS as one document of the shared region.
//
// Decision: how certificates and keys reach the workers. The master reads the files and publishes
// their text; workers never open them. So (1) workers need no right to read keys, which they will
// lack once they drop privileges; (2) all workers change to the same files, and what is published
// has been found to work together, also when a file is being replaced at this moment; (3) a worker
// that is born later gets what is in force, not what lies on disk.
// What it costs: the keys' text stays in memory that all workers map. That gives nobody new access:
// each worker must hold the parsed key to sign with it, so whoever can read a worker's memory has
// the key in either design; keeping it out of workers would need a signing process and a round
// trip per handshake. The region is left out of core dumps (shared.c), is never written to disk
// by us, the replaced text is wiped, and so is a worker's copy once it is parsed. Swap is the
// machine's affair: the region is not locked, as containers may lock next to nothing.
//
// Not for: what the texts mean (tls_certificate, tls). Runs in: master (reads, publishes), worker
// (takes apart), command line.

#ifndef TW_TLS_BUNDLE_H
#define TW_TLS_BUNDLE_H

#include "config/config.h"

#define TW_TLS_FILE_MAX_BYTES (64u * 1024)  // of a certificate, key or OCSP response
#define TW_TLS_CA_MAX_BYTES   (256u * 1024) // of the clients' authorities

struct tw_tls_texts {
    struct tw_str certificate, key, ocsp; // ocsp.n is 0 when none is to be stapled
};

struct tw_tls_bundle {
    struct tw_tls_texts certificates[TW_CONFIG_CERTIFICATES_MAX];
    struct tw_str client_ca; // n is 0 when clients are not asked
};

// Slots of the shared region, behind key sets and deny list: one for each listener, then the keys
// of session tickets.
static inline size_t tw_tls_slot(const struct tw_config *config, size_t listen)
{
    return config->n_issuers + 1 + listen;
}
static inline size_t tw_ticket_slot(const struct tw_config *config)
{
    return config->n_issuers + 1 + config->n_listens;
}
static inline size_t tw_slots(const struct tw_config *config)
{
    return tw_ticket_slot(config) + 1;
}

// Reads all files of a listener into one document, for tw_tls_bundle_free. NULL with one line in
// `err` that names the file.
TW_MUST_USE char *tw_tls_bundle_read(const struct tw_listen *listen, size_t *n, char *err,
                                     size_t err_size);

// Wipes it first. NULL is fine.
void tw_tls_bundle_free(char *document, size_t n);

// What is in a document of this listener, borrowed from it. False when it is no such document.
TW_MUST_USE bool tw_tls_bundle_parse(const struct tw_listen *listen, struct tw_str document,
                                     struct tw_tls_bundle *bundle);

#endif

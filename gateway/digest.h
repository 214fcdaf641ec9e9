// SPDX-License-Identifier: Apache-2.0
// digest: SHA-256 of short texts, for what is kept or compared with others' (fingerprints).
//
// libcrypto's SHA256() looks its algorithm up and makes a context each time, which costs more than
// the hash of a sale. Runs in: worker; one thread.

#ifndef TW_DIGEST_H
#define TW_DIGEST_H

#include "gateway/base.h"

#define TW_SHA256_BYTES 32

void tw_sha256(struct tw_str text, unsigned char out[TW_SHA256_BYTES]);

#endif

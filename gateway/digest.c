// SPDX-License-Identifier: Apache-2.0
#include "gateway/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

void tw_sha256(struct tw_str text, unsigned char out[TW_SHA256_BYTES])
{
    static EVP_MD *algorithm;
    static EVP_MD_CTX *context;
    if (!context) {
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        context = EVP_MD_CTX_new();
    }
    if (!context || EVP_DigestInit_ex2(context, algorithm, NULL) != 1 ||
        EVP_DigestUpdate(context, text.p, text.n) != 1 ||
        EVP_DigestFinal_ex(context, out, NULL) != 1)
        abort(); // out of memory at the first use
}

// SPDX-License-Identifier: Apache-2.0
// jws_alg: THE table of signature algorithms, one row each.
//
// A row says which keys an algorithm takes and how OpenSSL checks it; another algorithm is another
// row. An issuer's rules say which rows its keys may use. There is no symmetric algorithm and no
// "none": every key here is public (RFC 8725 sections 3.1 and 3.2). Sources: RFC 7518, RFC 8037.
// Runs in: master and worker. Constant data.

#ifndef TW_AUTH_JWS_ALG_H
#define TW_AUTH_JWS_ALG_H

#include "gateway/base.h"

#define TW_JWS_COORDINATE_MAX_BYTES 66 // P-521

struct tw_jws_alg {
    const char *name;          // "alg" of a header or key
    unsigned bit;              // TW_ALGORITHM_* of config/config.h
    const char *kty;           // key type of RFC 7518 section 6.1
    const char *crv;           // curve; NULL when the key type has none
    const char *openssl_type;  // name of the key type for EVP_PKEY_CTX_new_from_name
    const char *openssl_group; // name of the curve for OpenSSL; NULL when the type says it
    const char *digest;        // NULL when the scheme hashes by itself
    size_t coordinate_bytes;   // exact length of x, and of y; 0 for RSA
    bool has_y;                // a point (x, y), and then a signature r || s of the same halves
    int rsa_padding;           // RSA_PKCS1_PADDING or RSA_PKCS1_PSS_PADDING; 0 unless RSA
};

// The row of that name; NULL when unsupported.
const struct tw_jws_alg *tw_jws_alg_by_name(struct tw_str name);

// The row that a key is bound to, among those whose bits are `allowed`: `crv` and `alg` have p ==
// NULL when the key does not say. Without `alg` it is the first row that fits. NULL when none fits.
const struct tw_jws_alg *tw_jws_alg_for_key(unsigned allowed, struct tw_str kty, struct tw_str crv,
                                            struct tw_str alg);

#endif

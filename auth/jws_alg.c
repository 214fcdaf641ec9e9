// SPDX-License-Identifier: Apache-2.0
#include "auth/jws_alg.h"

#include <openssl/rsa.h>

#include "config/config.h" // TW_ALGORITHM_*

// The first row of a key type is its default.
static const struct tw_jws_alg table[] = {
    {"RS256", TW_ALGORITHM_RS256, "RSA", NULL, "RSA", NULL, "SHA256", 0, false, RSA_PKCS1_PADDING},
    {"PS256", TW_ALGORITHM_PS256, "RSA", NULL, "RSA", NULL, "SHA256", 0, false,
     RSA_PKCS1_PSS_PADDING},
    {"ES256", TW_ALGORITHM_ES256, "EC", "P-256", "EC", "prime256v1", "SHA256", 32, true, 0},
    {"EdDSA", TW_ALGORITHM_EDDSA, "OKP", "Ed25519", "ED25519", NULL, NULL, 32, false, 0},
};

const struct tw_jws_alg *tw_jws_alg_by_name(struct tw_str name)
{
    for (size_t i = 0; i < TW_COUNT(table); i++)
        if (tw_str_eq(name, tw_str_of(table[i].name)))
            return &table[i];
    return NULL;
}

static bool fits(const struct tw_jws_alg *row, unsigned allowed, struct tw_str kty,
                 struct tw_str crv, struct tw_str alg)
{
    return (row->bit & allowed) && tw_str_eq(kty, tw_str_of(row->kty)) &&
           (!row->crv || tw_str_eq(crv, tw_str_of(row->crv))) &&
           (!alg.p || tw_str_eq(alg, tw_str_of(row->name)));
}

const struct tw_jws_alg *tw_jws_alg_for_key(unsigned allowed, struct tw_str kty, struct tw_str crv,
                                            struct tw_str alg)
{
    for (size_t i = 0; i < TW_COUNT(table); i++)
        if (fits(&table[i], allowed, kty, crv, alg))
            return &table[i];
    return NULL;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/random.h>

#if TW_TICKET_KEY_BYTES != TW_TICKET_NAME_BYTES + 2 * TW_TICKET_SECRET_BYTES
#error "a key is what the file says it is"
#endif

bool tw_ticket_ring_rotate(struct tw_ticket_ring *ring)
{
    struct tw_ticket_key fresh;
    if (getrandom(&fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
        return false;
    memmove(&ring->keys[1], &ring->keys[0], (TW_TICKET_KEYS_OWN - 1) * sizeof(ring->keys[0]));
    ring->keys[0] = fresh;
    ring->n = ring->n < TW_TICKET_KEYS_OWN ? ring->n + 1 : TW_TICKET_KEYS_OWN;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
    OPENSSL_cleanse(&ring->keys[ring->n], (TW_TICKET_KEYS_MAX - ring->n) * sizeof(ring->keys[0]));
    return true;
}

// Text instead of random bytes, or a file of zeros: 64 random bytes hold at least 30 different ones
// but for chance that nobody meets.
static bool is_random(const struct tw_ticket_key *key)
{
    bool seen[256] = {false};
    size_t different = 0, high = 0;
    const unsigned char *bytes = key->mac; // and cipher behind it
    for (size_t i = 0; i < sizeof(key->mac) + sizeof(key->cipher); i++) {
        unsigned char byte = i < sizeof(key->mac) ? bytes[i] : key->cipher[i - sizeof(key->mac)];
        different += !seen[byte];
        high += byte >= 0x80;
        seen[byte] = true;
    }
    return different >= 30 && high >= 5;
}

static const char *fault_of(const struct tw_ticket_ring *ring)
{
    for (size_t i = 0; i < ring->n; i++) {
        if (!is_random(&ring->keys[i]))
            return "a key is not of random bytes: openssl rand 80";
        for (size_t j = 0; j < i; j++)
            if (memcmp(ring->keys[i].name, ring->keys[j].name, TW_TICKET_NAME_BYTES) == 0)
                return "two keys have the same name, their first 16 bytes";
    }
    return NULL;
}

bool tw_ticket_ring_parse(struct tw_str bytes, struct tw_ticket_ring *ring, char *err,
                          size_t err_size)
{
    if (bytes.n == 0 || bytes.n % TW_TICKET_KEY_BYTES != 0 ||
        bytes.n / TW_TICKET_KEY_BYTES > TW_TICKET_KEYS_MAX) {
        (void)snprintf(err, err_size, "it holds %zu bytes, not 1 to %d keys of %d bytes", bytes.n,
                       TW_TICKET_KEYS_MAX, TW_TICKET_KEY_BYTES);
        return false;
    }
    struct tw_ticket_ring parsed = {.n = bytes.n / TW_TICKET_KEY_BYTES};
    memcpy(parsed.keys, bytes.p, bytes.n);
    const char *fault = fault_of(&parsed);
    if (fault)
        (void)snprintf(err, err_size, "%s", fault);
    else
        *ring = parsed;
    tw_ticket_ring_wipe(&parsed);
    return !fault;
}

void tw_ticket_ring_wipe(struct tw_ticket_ring *ring)
{
    OPENSSL_cleanse(ring, sizeof(*ring));
}

static const struct tw_ticket_key *find(const struct tw_ticket_ring *ring,
                                        const unsigned char *name)
{
    for (size_t i = 0; i < ring->n; i++)
        if (memcmp(ring->keys[i].name, name, TW_TICKET_NAME_BYTES) == 0)
            return &ring->keys[i];
    return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct tw_ticket_key *key)
{
    char digest[] = "SHA256";
    unsigned char secret[TW_TICKET_SECRET_BYTES];
    memcpy(secret, key->mac, sizeof(secret)); // OSSL_PARAM wants what it could write to
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof(secret)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool done = EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(secret, sizeof(secret));
    return done;
}

int tw_ticket_seal(const struct tw_ticket_ring *ring, unsigned char *name, unsigned char *iv,
                   EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool sealing)
{
    const struct tw_ticket_key *newest = ring->n > 0 ? &ring->keys[0] : NULL;
    const struct tw_ticket_key *key = sealing ? newest : find(ring, name);
    if (!key)
        return 0;
    if (sealing) {
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
        memcpy(name, key->name, TW_TICKET_NAME_BYTES);
    }
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) != 1 ||
        !set_mac(mac, key))
        return -1;
    return key == newest ? 1 : 2;
}

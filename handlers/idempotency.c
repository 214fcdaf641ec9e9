// SPDX-License-Identifier: Apache-2.0
#include "handlers/idempotency.h"

#include "gateway/digest.h"
#include "gateway/reply.h"

#define KEY_MAX 255

static bool is_key(struct tw_str key)
{
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] <= 0x20 || key.p[i] >= 0x7f)
            return false;
    return key.n <= KEY_MAX;
}

bool tw_idempotency_key_if_any(struct tw_req *req, struct tw_str *key, struct tw_verdict *verdict)
{
    const struct tw_str name = TW_STR("idempotency-key");
    if (tw_req_header_repeats(req, name)) {
        *verdict = tw_fail(req, TW_BAD_REQUEST, "Send one Idempotency-Key header.");
        return false;
    }
    *key = tw_req_header(req, name);
    if (key->n >= 2 && key->p[0] == '"' && key->p[key->n - 1] == '"')
        *key = (struct tw_str){key->p + 1, key->n - 2};
    if (is_key(*key))
        return true;
    *verdict = tw_fail(req, TW_BAD_REQUEST, "Idempotency-Key: 1 to 255 visible ASCII characters.");
    return false;
}

bool tw_idempotency_key(struct tw_req *req, const struct tw_uuid *id, const char *missing,
                        struct tw_str *key, struct tw_verdict *verdict)
{
    if (!tw_idempotency_key_if_any(req, key, verdict))
        return false;
    if (key->n == 0 && id) {
        char *text = tw_req_alloc(req, TW_UUID_TEXT_LEN);
        tw_uuid_format(id, text);
        *key = (struct tw_str){text, TW_UUID_TEXT_LEN};
    }
    if (key->n > 0)
        return true;
    *verdict = tw_fail(req, TW_IDEMPOTENCY_KEY_MISSING, missing);
    return false;
}

// Lengths first, so that what is moved from one parameter to the next is another text.
static void fingerprint(struct tw_req *req, struct tw_str what, const struct tw_params *params,
                        unsigned char out[TW_SHA256_BYTES])
{
    size_t lengths = params->n * sizeof(params->lengths[0]);
    char *text = tw_req_alloc(req, what.n + lengths + params->used);
    memcpy(text, what.p, what.n);
    memcpy(text + what.n, params->lengths, lengths);
    memcpy(text + what.n + lengths, params->bytes, params->used);
    tw_sha256((struct tw_str){text, what.n + lengths + params->used}, out);
}

void tw_param_creation(struct tw_req *req, struct tw_str what, struct tw_str key,
                       struct tw_params *params)
{
    struct tw_uuid id = tw_uuid_v7(req->received_unix_ms);
    if (key.n > 0) {
        unsigned char digest[TW_SHA256_BYTES];
        fingerprint(req, what, params, digest);
        tw_param_str(params, key);
        tw_param_str(params, (struct tw_str){(const char *)digest, sizeof(digest)});
    } else {
        tw_param_null(params);
        tw_param_null(params);
    }
    tw_param_uuid(params, &id);
}

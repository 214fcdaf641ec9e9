// SPDX-License-Identifier: Apache-2.0
#include "handlers/idempotency.h"

#include "gateway/reply.h"

#define KEY_MAX 255

static bool is_key(struct tw_str key)
{
    for (size_t i = 0; i < key.n; i++)
        if (key.p[i] <= 0x20 || key.p[i] >= 0x7f)
            return false;
    return key.n <= KEY_MAX;
}

bool tw_idempotency_key(struct tw_req *req, const struct tw_uuid *id, const char *missing,
                        struct tw_str *key, struct tw_verdict *verdict)
{
    const struct tw_str name = TW_STR("idempotency-key");
    if (tw_req_header_repeats(req, name)) {
        *verdict = tw_fail(req, TW_BAD_REQUEST, "Send one Idempotency-Key header.");
        return false;
    }
    *key = tw_req_header(req, name);
    if (key->n >= 2 && key->p[0] == '"' && key->p[key->n - 1] == '"')
        *key = (struct tw_str){key->p + 1, key->n - 2};
    if (key->n == 0 && id) {
        char *text = tw_req_alloc(req, TW_UUID_TEXT_LEN);
        tw_uuid_format(id, text);
        *key = (struct tw_str){text, TW_UUID_TEXT_LEN};
    }
    if (key->n > 0 && is_key(*key))
        return true;
    *verdict = key->n == 0 ? tw_fail(req, TW_IDEMPOTENCY_KEY_MISSING, missing)
                           : tw_fail(req, TW_BAD_REQUEST,
                                     "Idempotency-Key: 1 to 255 visible ASCII characters.");
    return false;
}

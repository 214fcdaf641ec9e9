// SPDX-License-Identifier: Apache-2.0
// idempotency: the key that makes a request safe to repeat, as the client gave it.
//
// What was done under a key, and what the key stands for (a fingerprint of the request as
// understood), is PostgreSQL's to remember: table idempotency_keys. Runs in: worker.

#ifndef TW_IDEMPOTENCY_H
#define TW_IDEMPOTENCY_H

#include "gateway/db_rows.h"
#include "gateway/request.h"

// The Idempotency-Key header without the quotes that the IETF draft puts around it; else `id`, an
// id that the client made itself; NULL: there is none. False: the request has been answered: there
// is no key (`missing` tells what to send), there are two, or it is not 1 to 255 visible ASCII
// characters.
TW_MUST_USE bool tw_idempotency_key(struct tw_req *req, const struct tw_uuid *id,
                                    const char *missing, struct tw_str *key,
                                    struct tw_verdict *verdict);

// The same where a key may be missing: `key` is then empty.
TW_MUST_USE bool tw_idempotency_key_if_any(struct tw_req *req, struct tw_str *key,
                                           struct tw_verdict *verdict);

// What a client is told whose key stands for something else.
#define TW_KEY_IS_USED "This key belongs to another request. Send the same one again, or a new key."

// Ends the parameters of a statement that makes something: the key and the fingerprint of all
// parameters before it (both NULL without a key), and an id of ours for a client that has made
// none. `what` ("POST /v1/orders") is part of the fingerprint, as one key stands for one thing.
void tw_param_creation(struct tw_req *req, struct tw_str what, struct tw_str key,
                       struct tw_params *params);

#endif

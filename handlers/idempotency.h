// SPDX-License-Identifier: Apache-2.0
// idempotency: the key that makes a request safe to repeat, as the client gave it.
//
// What was done under a key, and what the key stands for (a fingerprint of the request as
// understood), is PostgreSQL's to remember: table idempotency_keys. Runs in: worker.

#ifndef TW_IDEMPOTENCY_H
#define TW_IDEMPOTENCY_H

#include "gateway/request.h"

// The Idempotency-Key header without the quotes that the IETF draft puts around it; else `id`, an
// id that the client made itself; NULL: there is none. False: the request has been answered: there
// is no key (`missing` tells what to send), there are two, or it is not 1 to 255 visible ASCII
// characters.
TW_MUST_USE bool tw_idempotency_key(struct tw_req *req, const struct tw_uuid *id,
                                    const char *missing, struct tw_str *key,
                                    struct tw_verdict *verdict);

#endif

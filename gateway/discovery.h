// SPDX-License-Identifier: Apache-2.0
// discovery: where an issuer's keys are, from its OpenID Connect discovery document.
//
// OpenID Connect Discovery 1.0 section 4.3: the document must name the issuer that was asked for,
// byte for byte, or one issuer could speak for another. Not for: fetching (jwks_fetch). Runs in:
// master. Pure.

#ifndef TW_DISCOVERY_H
#define TW_DISCOVERY_H

#include "gateway/base.h"

// The document's jwks_uri, to be freed; NULL with a reason in `err` when the document is not a
// strict JSON object, speaks of another issuer, or names a place that auth.issuers may not name.
TW_MUST_USE char *tw_discovery_jwks_uri(struct tw_str document, const char *issuer, char *err,
                                        size_t err_size);

#endif

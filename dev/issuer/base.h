// SPDX-License-Identifier: Apache-2.0
// base: how the issuer gives up, and how it reads a text of a JSON object.
//
// Not for: anything that one file alone uses. Exported names carry their module alone and no tw_:
// nothing of this program is ever linked with the gateway. It is a tool that runs once or serves
// until a signal, so what it cannot go on without ends it: die().

#ifndef ISSUER_BASE_H
#define ISSUER_BASE_H

#include <jansson.h>

#define MUST_USE __attribute__((warn_unused_result))

// Says "tillway-issuer: ..." on stderr and exits with 1.
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

// The text `name` of `object`, borrowed from it; "" when there is none.
const char *text_of(const json_t *object, const char *name);

#endif

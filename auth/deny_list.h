// SPDX-License-Identifier: Apache-2.0
// deny_list: tokens and principals that are refused although their tokens are good.
//
// For: stolen tokens and people who have left, until their tokens end by themselves. The text has a
// line for each: "jti ID" names one token, "sub ID" all tokens of a principal, of every issuer.
// Blank lines and lines that begin with '#' are skipped; ID is the rest of the line. A text with a
// line that means nothing is refused as a whole: the caller keeps the list it has.
// Immutable. Runs in: master (checking) and worker. Pure.

#ifndef TW_AUTH_DENY_LIST_H
#define TW_AUTH_DENY_LIST_H

#include "gateway/base.h"

#define TW_DENY_LIST_MAX_BYTES (1024 * 1024)

struct tw_deny_list; // opaque

struct tw_deny_list_fault {
    const char *reason; // static
    unsigned line;      // 0: none in particular
};

// The list, to be released by tw_deny_list_free; NULL with *fault when it is refused. `text` may be
// freed afterwards.
TW_MUST_USE struct tw_deny_list *tw_deny_list_parse(struct tw_str text,
                                                    struct tw_deny_list_fault *fault);

// Whether the list names this token's jti (may be empty) or its sub. NULL is an empty list.
TW_MUST_USE bool tw_deny_list_names(const struct tw_deny_list *list, struct tw_str jti,
                                    struct tw_str sub);

// NULL is allowed.
void tw_deny_list_free(struct tw_deny_list *list);

#endif

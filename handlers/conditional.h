// SPDX-License-Identifier: Apache-2.0
// conditional: entity tags against If-None-Match (RFC 9110 §13.1.2). Runs in: worker. Pure.

#ifndef TW_CONDITIONAL_H
#define TW_CONDITIONAL_H

#include "gateway/base.h"

// Does the header's value name this tag? `etag` is a quoted strong tag; the header is "*" or a list
// of tags, compared weakly (W/ makes no difference). An absent or broken header names nothing.
bool tw_etag_matches(struct tw_str header, struct tw_str etag);

#endif

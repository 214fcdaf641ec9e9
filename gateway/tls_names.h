// SPDX-License-Identifier: Apache-2.0
// tls_names: which certificate belongs to the name that a client asks for (SNI, RFC 6066 §3).
//
// Names are DNS names in any letter case, without a final dot; "*.example.com" stands for exactly
// one label in place of the star (RFC 6125 §6.4.3). An exact name goes before a wildcard, and
// whoever came first before the others. Pure. Runs in: worker, master and command line.

#ifndef TW_TLS_NAMES_H
#define TW_TLS_NAMES_H

#include "gateway/base.h"

#define TW_TLS_NAME_MAX_BYTES 253 // RFC 1035 §2.3.4, written out
#define TW_TLS_NAME_NONE      SIZE_MAX

struct tw_tls_names;

// Room for `most` names; NULL without memory.
TW_MUST_USE struct tw_tls_names *tw_tls_names_new(size_t most);
void tw_tls_names_free(struct tw_tls_names *names); // NULL is fine

// Adds a name; the text is copied. What is no name, or stands for more than one label otherwise
// than by a leading "*.", is left out.
void tw_tls_names_add(struct tw_tls_names *names, struct tw_str name, size_t value);

// To be called once, after the last name and before the first search.
void tw_tls_names_sort(struct tw_tls_names *names);

// The value of the best match; TW_TLS_NAME_NONE.
size_t tw_tls_names_find(const struct tw_tls_names *names, struct tw_str name);

#endif

// SPDX-License-Identifier: Apache-2.0
// negotiate: what a client says it sends and takes: Content-Type, Content-Encoding, Accept,
// Accept-Encoding.
//
// A field may come in several lines, which are one list (RFC 9110 §5.3): begin with TW_ACCEPT_NONE,
// add each line, then ask. What is not well-formed says nothing: to refuse a request for a header
// that old clients get wrong ("*; q=.2" of Java) would help nobody.
// Runs in: worker. Pure. Source: RFC 9110 §5.6, §8.3.1, §8.4, §12.4.2, §12.5.1, §12.5.3.

#ifndef TW_NEGOTIATE_H
#define TW_NEGOTIATE_H

#include "gateway/base.h"

// Weights in thousandths; TW_UNSAID where the client has not named it.
#define TW_UNSAID (-1)

struct tw_accept {
    int exact; // application/json; gzip
    int group; // application/*; not for codings
    int any;   // */*; *
    int other; // codings: identity
    bool said; // there was at least one element
    bool malformed;
};

#define TW_ACCEPT_NONE   \
    ((struct tw_accept){ \
        .exact = TW_UNSAID, .group = TW_UNSAID, .any = TW_UNSAID, .other = TW_UNSAID})

// Adds one line of Accept. Parameters of a range other than q make no difference.
void tw_accept_add_media(struct tw_accept *accept, struct tw_str line);

// Adds one line of Accept-Encoding.
void tw_accept_add_coding(struct tw_accept *accept, struct tw_str line);

// Whether application/json may be sent. True without a word, or with a malformed one.
TW_MUST_USE bool tw_accept_takes_json(const struct tw_accept *accept);

// Whether gzip is taken, and no less gladly than the plain text. False without a word.
TW_MUST_USE bool tw_accept_takes_gzip(const struct tw_accept *accept);

// Whether a Content-Type is one of `types`, a list such as "application/json, text/plain", in
// UTF-8: a charset that is named must be that one. Other parameters make no difference.
TW_MUST_USE bool tw_media_type_in(struct tw_str content_type, struct tw_str types);

// Whether one line of Content-Encoding names no coding but identity.
TW_MUST_USE bool tw_coding_is_identity(struct tw_str line);

#endif

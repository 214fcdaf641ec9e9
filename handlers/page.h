// SPDX-License-Identifier: Apache-2.0
// page: a page of a list, and what ends it: {"items": […], "next": …} and a Link (RFC 8288).
//
// A page is read with one row more than it was asked for: that row says whether there is a next.
// Runs in: worker.

#ifndef TW_PAGE_H
#define TW_PAGE_H

#include "gateway/json_out.h"
#include "gateway/request.h"

// The body of an answer with a text for each of `rows`, so large that it need not grow as a rule.
struct tw_json tw_page_body(struct tw_req *req, const struct tw_rows *rows);

// Writes the member "next" into the object that is open and adds the Link header: the request's own
// query with another `after`. `last` is the id of the page's last item; NULL: there is no next
// page.
void tw_page_next(struct tw_req *req, struct tw_json *json, const struct tw_uuid *last);

// The same for a list in another order: `after` is a cursor of unreserved characters (RFC 3986
// §2.3); p is NULL when there is no next page.
void tw_page_next_text(struct tw_req *req, struct tw_json *json, struct tw_str after);

// A cursor of two parts, "1795200000123457.ID": the number that the list is ordered by, and what
// tells equal ones apart. Made in the request's pool; taken apart into slices of it.
struct tw_str tw_cursor(struct tw_req *req, int64_t at, struct tw_str id);
TW_MUST_USE bool tw_cursor_parse(struct tw_str cursor, int64_t *at, struct tw_str *id);

// The same for a list that is ordered by a text, "ID.616263": its bytes in hex, so that the place
// in the list stays where it is whatever becomes of the row. Of the parts, `text` is valid UTF-8.
struct tw_str tw_cursor_of_text(struct tw_req *req, struct tw_str text, const struct tw_uuid *id);
TW_MUST_USE bool tw_cursor_parse_text(struct tw_req *req, struct tw_str cursor, struct tw_str *text,
                                      struct tw_uuid *id);

#endif

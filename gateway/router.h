// SPDX-License-Identifier: Apache-2.0
// router: from a request target to a row of THE route table, in one canonical form of the path.
//
// A path is canonical when it begins with '/', has no empty, "." or ".." segment, no trailing
// slash, and only unreserved characters, sub-delims without ';', ':' and '@'; percent-encoding is
// never needed by our routes and so never accepted in a path. What is not canonical is refused
// (400), not repaired: one path, one meaning, before authorization is asked. Runs in: worker; the
// master reads the table's names. Pure.

#ifndef TW_ROUTER_H
#define TW_ROUTER_H

#include "gateway/base.h"
#include "gateway/status.h"

#define TW_PATH_PARAMS_MAX 4

struct tw_req;
struct tw_verdict;

// Order matters: Allow lists them in this order. TW_OPTIONS belongs to every path and to no row:
// cors.c answers it.
enum tw_method { TW_GET, TW_POST, TW_PUT, TW_PATCH, TW_DELETE, TW_OPTIONS, TW_METHOD_COUNT };

#define TW_METHODS_TEXT_MAX 64

// Who may keep an answer (RFC 9111): errors, and what is not GET, are kept by nobody.
enum tw_cache {
    TW_CACHE_NEVER,      // no-store: whatever is personal
    TW_CACHE_REVALIDATE, // kept, but asked again each time, by the answer's ETag
};

#define TW_JSON       "application/json"
#define TW_JSON_PATCH "application/merge-patch+json, application/json" // RFC 7396
#define TW_NDJSON     "application/x-ndjson"                           // one JSON text a line

// As `takes` of a route whose body may be left out: TW_JSON, but this very text.
extern const char tw_json_or_nothing[];

struct tw_route {
    enum tw_method method;
    const char *pattern; // "/v1/products/{productId}"
    unsigned roles;      // bits of enum tw_role: any one suffices; TW_ROLE_ANY, TW_ROLE_PUBLIC
    struct tw_verdict (*handler)(struct tw_req *req);
    const char *takes; // media types of the body, as Accept lists them; NULL: there must be none
    enum tw_cache cache;
};

struct tw_route_table {
    const struct tw_route *rows;
    struct tw_str shared; // all patterns begin with it, and are longer: "/v1/"
    size_t n;             // at most TW_STATS_ROUTES_MAX - 1
};

// Splits an origin-form target into path and query (without '?'); checks that the path is canonical
// and the query is printable ASCII. TW_INVALID_TARGET or TW_OK.
TW_MUST_USE enum tw_status tw_router_target(struct tw_str target, struct tw_str *path,
                                            struct tw_str *query);

struct tw_match {
    const struct tw_route *route;             // NULL unless TW_OK
    struct tw_str params[TW_PATH_PARAMS_MAX]; // in the pattern's order; slices of `path`
    unsigned allowed;                         // 1 << enum tw_method, for TW_METHOD_NOT_ALLOWED
};

// TW_OK, TW_NOT_FOUND or TW_METHOD_NOT_ALLOWED (as for OPTIONS). HEAD is matched as GET. A path has
// one pattern, the first of the table that fits: "/v1/products/batch" stands before
// "/v1/products/{productId}".
TW_MUST_USE enum tw_status tw_router_match(const struct tw_route_table *table, struct tw_str method,
                                           struct tw_str path, struct tw_match *out);

const char *tw_method_name(enum tw_method method);

// The methods of a mask as Allow lists them: "GET, HEAD, OPTIONS". The result points into `out`.
struct tw_str tw_router_methods(unsigned allowed, char out[TW_METHODS_TEXT_MAX]);

#endif

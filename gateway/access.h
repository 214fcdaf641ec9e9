// SPDX-License-Identifier: Apache-2.0
// access: what a route asks for: THE table's word, or that of auth.routes where it names the route.
//
// One row per route, in the table's order; made once and never changed. Who passes is decided by
// auth/policy. Runs in: master (checking), worker and command line.

#ifndef TW_ACCESS_H
#define TW_ACCESS_H

#include <stdio.h>

#include "config/config.h"
#include "gateway/router.h"

struct tw_access {
    unsigned roles;         // bits of enum tw_role, TW_ROLE_ANY or TW_ROLE_PUBLIC
    struct tw_texts scopes; // a token must have one of them; none: not asked for
};

// As many rows as the table has, to be released by free(); borrows from `config`. NULL with one
// line in `err` when auth.routes names a route that does not exist.
TW_MUST_USE struct tw_access *tw_access_new(const struct tw_route_table *routes,
                                            const struct tw_config *config, char *err,
                                            size_t err_size);

// Writes a line for each route: "GET /v1/products cashier", with the lowest role that may use it.
void tw_access_print_routes(const struct tw_route_table *routes, FILE *out);

#endif

// SPDX-License-Identifier: Apache-2.0
// routes: THE table of what Tillway answers itself, one line per route.
// Runs in: worker; the master and the metrics read its patterns.

#ifndef TW_ROUTES_H
#define TW_ROUTES_H

#include "gateway/router.h"

extern const struct tw_route_table tw_routes;

#endif

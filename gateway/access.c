// SPDX-License-Identifier: Apache-2.0
#include "gateway/access.h"

#include <stdlib.h>

// Whether `text` is "METHOD pattern" of this route.
static bool names_route(const char *text, const struct tw_route *route)
{
    struct tw_str method = tw_str_of(tw_method_name(route->method));
    return strncmp(text, method.p, method.n) == 0 && text[method.n] == ' ' &&
           strcmp(text + method.n + 1, route->pattern) == 0;
}

static bool apply(const struct tw_route_access *line, const struct tw_route_table *routes,
                  struct tw_access *rows)
{
    for (size_t i = 0; i < routes->n; i++) {
        if (!names_route(line->route, &routes->rows[i]))
            continue;
        rows[i] = (struct tw_access){.roles = line->roles, .scopes = line->scopes};
        return true;
    }
    return false;
}

struct tw_access *tw_access_new(const struct tw_route_table *routes, const struct tw_config *config,
                                char *err, size_t err_size)
{
    struct tw_access *rows = calloc(routes->n + 1, sizeof(*rows));
    if (!rows) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < routes->n; i++)
        rows[i].roles = routes->rows[i].roles;
    for (size_t i = 0; i < config->n_route_access; i++) {
        const char *route = config->route_access[i].route;
        if (apply(&config->route_access[i], routes, rows))
            continue;
        snprintf(err, err_size,
                 "auth.routes[%zu].route: \"%s\" is no route; tillway routes lists them", i, route);
        free(rows);
        return NULL;
    }
    return rows;
}

// A role has the rights of those below it, so the lowest bit says it all.
static const char *lowest_role(unsigned roles)
{
    if (roles & TW_ROLE_PUBLIC)
        return "public";
    if (roles & TW_ROLE_ANY)
        return "any";
    return tw_role_name(roles & -roles);
}

void tw_access_print_routes(const struct tw_route_table *routes, FILE *out)
{
    for (size_t i = 0; i < routes->n; i++)
        fprintf(out, "%s %s %s\n", tw_method_name(routes->rows[i].method), routes->rows[i].pattern,
                lowest_role(routes->rows[i].roles));
}

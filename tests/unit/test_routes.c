// SPDX-License-Identifier: Apache-2.0
// routes: every row of THE table can be reached, has a handler, and admits somebody but not
// anybody.
#include "tests/unit/test_kit.h"

#include "auth/policy.h"
#include "gateway/shared.h"
#include "handlers/routes.h"

// A request's path for the pattern: its parameters' names without their braces.
static struct tw_str sample_path(const char *pattern, char out[128])
{
    size_t n = 0;
    for (; *pattern; pattern++)
        if (*pattern != '{' && *pattern != '}')
            out[n++] = *pattern;
    return (struct tw_str){out, n};
}

static void test_rows(void **state)
{
    (void)state;
    assert_true(tw_routes.n > 0 && tw_routes.n < TW_STATS_ROUTES_MAX);
    for (size_t i = 0; i < tw_routes.n; i++) {
        const struct tw_route *route = &tw_routes.rows[i];
        char text[128];
        struct tw_str path, query, sample = sample_path(route->pattern, text);
        struct tw_match match;
        assert_true(strlen(route->pattern) < sizeof text);
        assert_true(strncmp(route->pattern, "/v1/", 4) == 0);
        assert_true(strlen(route->pattern) > tw_routes.shared.n);
        assert_memory_equal(route->pattern, tw_routes.shared.p, tw_routes.shared.n);
        assert_int_equal(tw_router_target(sample, &path, &query), TW_OK);
        struct tw_str method = tw_str_of(tw_method_name(route->method));
        assert_int_equal(tw_router_match(&tw_routes, method, path, &match), TW_OK);
        if (match.route != route) // a row before it takes all its requests
            fail_msg("%s %s is never reached", method.p, route->pattern);
        assert_non_null(route->handler);
        assert_int_not_equal(route->method, TW_OPTIONS); // gateway/cors.c answers it before
        assert_int_not_equal(route->roles, 0);
        const unsigned roles = TW_ROLE_CASHIER | TW_ROLE_MANAGER | TW_ROLE_ADMIN | TW_ROLE_ANY;
        assert_int_equal(route->roles & ~roles, 0);
        // A body is for those who write; what may be kept is what was read.
        bool writes = route->method == TW_POST || route->method == TW_PUT ||
                      route->method == TW_PATCH;
        assert_true(writes || !route->takes);
        assert_true(route->method == TW_GET || route->cache == TW_CACHE_NEVER);
    }
}

// {name} is a whole segment, of letters, and there are no more than a match has room for.
static void test_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < tw_routes.n; i++) {
        const char *p = tw_routes.rows[i].pattern;
        unsigned params = 0;
        for (; (p = strpbrk(p, "{}")) != NULL; params++) {
            assert_true(p[0] == '{' && p[-1] == '/');
            size_t n = strspn(p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
            assert_true(n > 0 && p[n + 1] == '}' && (p[n + 2] == '\0' || p[n + 2] == '/'));
            p += n + 2;
        }
        assert_true(params <= TW_PATH_PARAMS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// config: who may come in and do what: issuers' rules, groups, routes, certificates, origins.
#include "tests/unit/test_config_kit.h"

#define AUTH "auth:\n"

static void issuers_rules(void **state)
{
    (void)state;
    unsetenv("TILLWAY_AUTH_ISSUERS");
    struct tw_config *config = load_ok(
        "auth:\n  issuers:\n"
        "    - {issuer: \"https://a\", audience: [x], algorithms: [PS256, EdDSA],\n"
        "       scopes: [pos/sell, openid], groups: [\"eu cashiers\"]}\n"
        "    - cognito: {region: cn-north-1, userPoolId: cn-north-1_A, clientIds: [x], groups: "
        "[g]}\n");
    const struct tw_issuer *one = &config->issuers[0], *pool = &config->issuers[1];
    assert_int_equal(one->algorithms, TW_ALGORITHM_PS256 | TW_ALGORITHM_EDDSA);
    assert_int_equal(one->scopes.n, 2);
    assert_string_equal(one->scopes.items[1], "openid");
    assert_string_equal(one->groups.items[0], "eu cashiers");
    assert_int_equal(pool->algorithms, TW_ALGORITHM_RS256);
    assert_int_equal(pool->scopes.n, 0);
    assert_int_equal(pool->groups.n, 1);
    assert_string_equal(pool->issuer,
                        "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_A");
    tw_config_free(config);
#define PLAIN(inside) "auth: {issuers: [{issuer: \"https://a\", audience: [x], " inside "}]}"
    refused_with(PLAIN("algorithms: [HS256]"), "\"HS256\" is none of RS256, ES256, PS256, EdDSA");
    refused_with(PLAIN("algorithms: []"), "is empty");
    refused_with(PLAIN("scopes: []"), "is empty");
    refused_with(PLAIN("groups: []"), "is empty");
    refused_with(PLAIN("scopes: [\"a b\"]"), "is not a scope");
    refused_with(PLAIN("scopes: ['a\"b']"), "is not a scope");
    refused_with("auth: {issuers: [{cognito: {region: r, userPoolId: r_A, clientIds: [x], "
                 "algorithms: [RS256]}}]}",
                 "cognito.algorithms: unknown key");
}

static void groups_to_roles(void **state)
{
    (void)state;
    struct tw_config *config = load_ok(AUTH
                                       "  roles:\n    claim: /realm_access/roles\n    groups:\n"
                                       "      - {group: till-staff, roles: [cashier]}\n"
                                       "      - {group: bosses, roles: [manager, admin]}\n");
    assert_string_equal(config->auth_roles_claim, "/realm_access/roles");
    assert_int_equal(config->n_group_roles, 2);
    assert_string_equal(config->group_roles[1].group, "bosses");
    assert_int_equal(config->group_roles[1].roles, TW_ROLE_MANAGER | TW_ROLE_ADMIN);
    tw_config_free(config);
#define GROUPS(inside) AUTH "  roles: {groups: [" inside "]}\n"
    refused_with(GROUPS("{group: a, roles: [Cashier]}"), "\"Cashier\" is not a role");
    refused_with(GROUPS("{group: a, roles: [any]}"), "\"any\" is not a role");
    refused_with(GROUPS("{group: a, roles: []}"), "must name at least one of");
    refused_with(GROUPS("{group: a}"), "roles: must name at least one of");
    refused_with(GROUPS("{roles: [admin]}"), "auth.roles.groups[0].group: is missing");
    refused_with(GROUPS("{group: a, roles: [admin]}, {group: a, roles: [cashier]}"),
                 "\"a\" has a line of its own above");
}

static void routes(void **state)
{
    (void)state;
    struct tw_config *config = load_ok(
        AUTH "  routes:\n"
             "    - {route: GET /v1/products, roles: [public]}\n"
             "    - {route: POST /v1/products, roles: [manager], scopes: [pos/catalogue, b]}\n"
             "    - {route: GET /v1/me, roles: [any]}\n");
    assert_int_equal(config->n_route_access, 3);
    assert_int_equal(config->route_access[0].roles, TW_ROLE_PUBLIC);
    assert_int_equal(config->route_access[1].roles, TW_ROLE_MANAGER);
    assert_int_equal(config->route_access[1].scopes.n, 2);
    assert_int_equal(config->route_access[2].roles, TW_ROLE_ANY);
    char *text = printed(config);
    assert_non_null(strstr(text, "  routes:\n"
                                 "    - {route: \"GET /v1/products\", roles: [public]}\n"));
    assert_non_null(strstr(text, "roles: [manager], scopes: [\"pos/catalogue\", \"b\"]}\n"));
    assert_non_null(strstr(text, "  certificates: []\n"));
    free(text);
    tw_config_free(config);
#define ROUTES(inside) AUTH "  routes: [{" inside "}]\n"
    refused_with(ROUTES("route: POST /v1/products, roles: [public]"), "only a GET route");
    refused_with(ROUTES("route: GET /v1/products, roles: [public], scopes: [a]"), "no token");
    refused_with(ROUTES("route: GET /a, roles: [any, cashier]"), "\"any\" is not a role");
    refused_with(ROUTES("route: GET /a, roles: [clerk]"), "\"clerk\" is not a role");
    refused_with(ROUTES("route: GET /a, role: [cashier]"), "did you mean \"roles\"?");
    refused_with(AUTH "  routes: {}\n", "must be a list");
}

static void certificates(void **state)
{
    (void)state;
    struct tw_config *config = load_ok(
        AUTH "  certificates:\n"
             "    - {subject: \"CN=till-7,O=Shop\", roles: [cashier], store: north}\n"
             "    - {subject: \"CN=office\", roles: [manager]}\n");
    assert_int_equal(config->n_certificate_roles, 2);
    assert_string_equal(config->certificate_roles[0].subject, "CN=till-7,O=Shop");
    assert_string_equal(config->certificate_roles[0].store, "north");
    assert_null(config->certificate_roles[1].store);
    tw_config_free(config);
    refused_with(AUTH "  certificates: [{roles: [cashier]}]\n", "subject: is missing");
}

static void client_certificates(void **state)
{
    (void)state;
    write_file("cert", "x");
#define LISTEN(inside) "listen: [{port: 1, tls: {certificate: cert, key: cert, " inside "}}]\n"
    struct tw_config *config = load_ok(LISTEN("clientCa: cert"));
    assert_string_equal(config->listens[0].tls_client_ca, "cert");
    assert_false(config->listens[0].tls_client_cert_required);
    tw_config_free(config);
    config = load_ok(LISTEN("clientCa: cert, clientCertificate: required"));
    assert_true(config->listens[0].tls_client_cert_required);
    tw_config_free(config);
    refused_with(LISTEN("clientCertificate: required"), "needs clientCa");
    refused_with(LISTEN("clientCa: cert, clientCertificate: always"),
                 "\"always\" is neither optional nor required");
    refused_with(LISTEN("clientCa: gone"), "listen[0].tls.clientCa: cannot read gone");
}

static void origins(void **state)
{
    (void)state;
    struct tw_config *config = load_ok(
        "cors: {origins: [\"https://till.example.com\", \"http://[::1]:3000\"]}\n");
    assert_int_equal(config->cors_origins.n, 2);
    tw_config_free(config);
    config = load_ok("cors: {origins: [\"*\"]}\n");
    tw_config_free(config);
#define CORS(inside) "cors: {" inside "}\n"
    static const char *const bad[] = {
        "https://a/",  "https://a/x", "a.example.com", "https://",    "https://A.example",
        "https://a:x", "https://a b", "https://a?x",   "https://u@a", "://a",
    };
    for (size_t i = 0; i < TW_COUNT(bad); i++) {
        char text[256];
        snprintf(text, sizeof text, CORS("origins: [\"%s\"]"), bad[i]);
        refused_with(text, "cors.origins: ");
    }
    refused_with(CORS("origins: [\"*\", \"https://a\"]"), "name no other beside it");
    refused_with(CORS("origins: [\"*\"], credentials: true"), "exclude each other");
    refused_with(CORS("origins: \"*\""), "must be a list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(issuers_rules), CONFIG_TEST(groups_to_roles),     CONFIG_TEST(routes),
        CONFIG_TEST(certificates),  CONFIG_TEST(client_certificates), CONFIG_TEST(origins),
    };
    return cmocka_run_group_tests(tests, enter_work_directory, leave_work_directory);
}

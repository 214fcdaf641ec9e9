// SPDX-License-Identifier: Apache-2.0
// test_config_sources: where values come from (several files, the environment, files named by the
// environment) and the two lists, which come from there as a whole.

#include "test_config_kit.h"

// --- files, environment, precedence --------------------------------------------------------

static void later_files_override_key_by_key(void **state)
{
    (void)state;
    write_file("a.yaml", "listen: [{port: 1}, {port: 2}]\n"
                         "db: {queue_max: 10, queue_timeout: 2s}\n");
    write_file("b.yaml", "db:\n  queue_max: 20\nlisten: [{port: 3}]\n");
    write_file("c.yaml", "log: {level: error}\n");
    setenv("TILLWAY_LOG_LEVEL", "debug", 1);
    struct tw_config *config = load_files(3);
    assert_non_null(config);
    assert_int_equal(config->db_queue_max, 20);
    assert_int_equal(config->db_queue_timeout_ms, 2000);
    assert_string_equal(config->log_level, "debug");
    assert_int_equal(config->n_listens, 1);
    assert_int_equal(config->listens[0].port, 3);
    assert_string_equal(config->origins[TW_OPTION_AT_db_queue_max], "b.yaml:2");
    assert_string_equal(config->origins[TW_OPTION_AT_db_queue_timeout_ms], "a.yaml:2");
    assert_string_equal(config->origins[TW_OPTION_AT_log_level], "TILLWAY_LOG_LEVEL");
    tw_config_free(config);
    write_file("a.yaml", "listen: [{port: 1, tls: {certificate: gone, key: gone}}]\n");
    tw_config_free(config = load_files(2)); // what a later file replaces need not exist
    assert_non_null(config);
}

static void missing_files(void **state)
{
    (void)state;
    const char *paths[] = {"absent.yaml", "."};
    assert_null(tw_config_load(paths, 2, err, sizeof err));
    assert_string_equal(err, "cannot read absent.yaml: No such file or directory\n"
                             "cannot read .: Is a directory");
}

static void values_from_files(void **state)
{
    (void)state;
    unsetenv("TILLWAY_DB_URL");
    write_file("secret", "host=db password='x y'\n");
    struct tw_config *config = load_env("TILLWAY_DB_URL_FILE", "secret");
    assert_non_null(config);
    assert_string_equal(config->db_url, "host=db password='x y'");
    assert_string_equal(config->origins[TW_OPTION_AT_db_url], "TILLWAY_DB_URL_FILE");
    tw_config_free(config);
    write_file("secret", "a\r\n");
    config = load_env("TILLWAY_DB_URL_FILE", "secret");
    assert_string_equal(config->db_url, "a");
    tw_config_free(config);
    write_file("secret", "a\n\n");
    assert_null(load_env("TILLWAY_DB_URL_FILE", "secret"));
    assert_string_equal(err, "TILLWAY_DB_URL_FILE: db.url: the value (hidden) contains a control "
                             "character or a line break");
    write_file("secret", "\n");
    assert_null(load_env("TILLWAY_DB_URL_FILE", "secret"));
    assert_string_equal(err, "TILLWAY_DB_URL_FILE: db.url: secret is empty");
    assert_null(load_env("TILLWAY_DB_URL_FILE", "gone"));
    assert_string_equal(err,
                        "TILLWAY_DB_URL_FILE: db.url: cannot read gone: No such file or directory");
    setenv("TILLWAY_DB_URL", "a", 1);
    assert_null(load_env("TILLWAY_DB_URL_FILE", "secret"));
    assert_string_equal(err, "TILLWAY_DB_URL: db.url: TILLWAY_DB_URL_FILE is set too; unset one of "
                             "them");
}

static void variables(void **state)
{
    (void)state;
    setenv("TILLWAY_PORT", "tcp://10.0.0.1:80", 1);
    setenv("TILLWAY_SERVICE_HOST", "10.0.0.1", 1);
    setenv("TILLWAY_ADMIN_PORT", "tcp://10.0.0.2:9464", 1);
    setenv("TILLWAY_LOG_LEVEL", "", 1);
    struct tw_config *config = load_env("TILLWAY_WORKERS", "2");
    assert_non_null(config);
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->admin_port, 9464);
    assert_string_equal(config->log_level, "info");
    tw_config_free(config);
    assert_null(load_env("TILLWAY_ADMIN_PORT", "http"));
    assert_string_equal(err,
                        "TILLWAY_ADMIN_PORT: admin.port: \"http\" is not a whole number: write "
                        "digits only");
    assert_null(load_env("TILLWAY_POS_DEFAULT_STORE", "\xff"));
    assert_non_null(strstr(err, "is not well-formed UTF-8"));
    setenv("TILLWAY_AUTH_ISSUERS", "[{issuer: \"https://a\", audience: [x]}, {isuer: b}]", 1);
    config = load_env("TILLWAY_LISTEN", "[{port: 1},\n {address: \"::1\", port: 2}]");
    assert_null(config);
    assert_string_equal(err, "TILLWAY_AUTH_ISSUERS:1: auth.issuers[1].isuer: unknown key; did you "
                             "mean \"issuer\"?");
    assert_null(load_env("TILLWAY_LISTEN", "{port: 1}"));
    assert_non_null(strstr(err, "TILLWAY_LISTEN:1: listen: must be a list"));
}

// --- lists ---------------------------------------------------------------------------------

static void listens(void **state)
{
    (void)state;
    write_file("cert", "");
    struct tw_config *config = load_ok(
        "listen:\n  - {port: 0}\n  - {port: 0}\n"
        "  - {address: \"::1\", port: 8443, tls: {certificate: cert, key: cert}}\n");
    assert_int_equal(config->n_listens, 3);
    assert_string_equal(config->listens[2].address, "::1");
    assert_string_equal(config->listens[2].certificates[0].certificate, "cert");
    assert_string_equal(config->listens[2].certificates[0].key, "cert");
    tw_config_free(config);
    refused("listen:\n  - port: 1\n    tls: {certificate: cert}\n",
            "a.yaml:3: listen[0].tls.key: is missing; TLS needs both certificate and key");
    refused("listen: [{port: 1, tls: {certificate: gone, key: .}}]\n",
            "a.yaml:1: listen[0].tls.certificate: cannot read gone: No such file or directory\n"
            "a.yaml:1: listen[0].tls.key: cannot read .: is a directory");
    refused("listen:\n  - {port: 1}\n  - {port: 1}\n",
            "a.yaml:3: listen[1]: the same port as listen[0], on the same address or on all; "
            "remove one");
    refused("listen:\n  - {address: 127.0.0.1, port: 1}\n  - {address: 0.0.0.0, port: 1}\n",
            "a.yaml:3: listen[1]: the same port as listen[0], on the same address or on all; "
            "remove one");
    tw_config_free(load_ok("listen: [{address: 0.0.0.0, port: 1}, {address: \"::\", port: 1}]\n"));
    refused("listen: [{port: 65536}]\n",
            "a.yaml:1: listen[0].port: \"65536\" is not a port: allowed is 0 to 65535");
    refused("listen: [{address: 127.0.0.1}]\n", "a.yaml:1: listen[0]: port is missing");
    refused_with("listen: [{address: localhost, port: 1}]", "is not a numeric IPv4 or IPv6");
    refused_with("listen: []", "a.yaml:1: listen: is empty; add");
    refused_with("listen: {port: 1}", "a.yaml:1: listen: must be a list");
    refused_with("listen:\n", "must be a list");
    refused_with("listen: [80]", "a.yaml:1: listen[0]: must be a mapping");
    refused_with("listen: [{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]",
                 "has 17 entries; at most 16");
}

static void cognito(void **state)
{
    (void)state;
    unsetenv("TILLWAY_AUTH_ISSUERS");
    struct tw_config *config = load_ok(
        "auth:\n  issuers:\n"
        "    - cognito: {region: eu-west-1, userPoolId: eu-west-1_Ab1, clientIds: [a, b],"
        " tokenUse: [access]}\n"
        "    - cognito: {region: eu-west-1, userPoolId: eu-west-1_Ab2, clientIds: [a]}\n");
    const struct tw_issuer *issuer = &config->issuers[0];
    assert_int_equal(config->n_issuers, 2);
    assert_string_equal(issuer->issuer,
                        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab1");
    assert_string_equal(
        issuer->jwks_uri,
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab1/.well-known/jwks.json");
    assert_null(issuer->jwks_file);
    assert_int_equal(issuer->n_audiences, 2);
    assert_string_equal(issuer->audiences[1], "b");
    assert_int_equal(issuer->token_uses, TW_TOKEN_USE_ACCESS);
    assert_int_equal(config->issuers[1].token_uses, TW_TOKEN_USE_ACCESS | TW_TOKEN_USE_ID);
    tw_config_free(config);
#define COGNITO(inside) "auth: {issuers: [{cognito: {" inside "}}]}"
    refused(COGNITO("region: eu-west-1, userPoolId: eu-west-1_A"),
            "a.yaml:1: auth.issuers[0].cognito.clientIds: must name at least one client; tokens "
            "made for others are refused");
    refused_with(COGNITO("region: eu-west-1, userPoolId: eu-west-1_A, clientIds: []"),
                 "clientIds: must name at least one client");
    refused_with(COGNITO("region: eu-west-1, userPoolId: eu-west-1_A, clientIds: x"),
                 "clientIds: must be a list");
    refused_with(COGNITO("region: eu-west-2, userPoolId: eu-west-1_A, clientIds: [x]"),
                 "userPoolId must begin with the region");
    refused_with(COGNITO("region: a/b, userPoolId: a/b_A, clientIds: [x]"),
                 "must be an AWS region");
    refused_with(COGNITO("userPoolId: eu-west-1_A, clientIds: [x]"), "cognito.region: is missing");
    refused_with(COGNITO("region: r, userPoolId: r_A, clientIds: [x], tokenUse: [refresh]"),
                 "\"refresh\" is neither access nor id");
    refused_with(COGNITO("region: r, userPoolId: r_A, clientIds: [x], tokenUse: []"), "is empty");
    refused_with(COGNITO("region: r, userPoolID: r_A, clientIds: [x]"),
                 "auth.issuers[0].cognito.userPoolID: unknown key; did you mean \"userPoolId\"?");
    refused_with("auth: {issuers: [{cognito: {}, issuer: x}]}", "must be the entry's only key");
}

static void other_issuers(void **state)
{
    (void)state;
    unsetenv("TILLWAY_AUTH_ISSUERS");
    write_file("keys", "{}");
    struct tw_config *config = load_ok(
        "auth:\n  issuers:\n"
        "    - {issuer: \"https://a/\", audience: [x]}\n"
        "    - {issuer: b, jwksFile: keys, clientIds: [x], tokenUse: [id]}\n"
        "    - {issuer: c, jwksUri: \"http://127.0.0.1:9/k\", audience: [x]}\n");
    assert_string_equal(config->issuers[0].issuer, "https://a/");
    assert_string_equal(config->issuers[0].discovery_uri,
                        "https://a/.well-known/openid-configuration");
    assert_null(config->issuers[0].jwks_uri);
    assert_int_equal(config->issuers[0].token_uses, 0);
    assert_int_equal(config->issuers[0].algorithms, TW_ALGORITHM_RS256 | TW_ALGORITHM_ES256);
    assert_null(config->issuers[2].discovery_uri);
    assert_string_equal(config->issuers[1].jwks_file, "keys");
    assert_null(config->issuers[1].jwks_uri);
    assert_int_equal(config->issuers[1].token_uses, TW_TOKEN_USE_ID);
    tw_config_free(config);
#define PLAIN(inside) "auth: {issuers: [{" inside "}]}"
    refused_with(PLAIN("issuer: \"https://a\""), "audience: must name at least one client");
    refused_with(PLAIN("audience: [x]"), "auth.issuers[0].issuer: is missing");
    refused_with(PLAIN("issuer: a, audience: [x]"), "it follows from issuer: set jwksUri");
    refused_with(PLAIN("issuer: a, jwksFile: gone, audience: [x]"), "jwksFile: cannot read gone");
    refused_with(PLAIN("issuer: a, jwksFile: keys, jwksUri: \"https://a\", audience: [x]"),
                 "exclude each other");
    refused_with(PLAIN("issuer: \"https://a\", audience: [x], clientIds: [x]"), "mean the same");
    refused_with("auth:\n  issuers:\n    - {issuer: \"https://a\", audience: [x]}\n"
                 "    - {issuer: \"https://a\", audience: [y]}\n",
                 "a.yaml:4: auth.issuers[1]: the same issuer as auth.issuers[0]");
}

static void places_of_keys(void **state)
{
    (void)state;
    static const char *const good[] = {
        "https://a",        "https://a.b:443/x?y=%20", "HTTPS://a/",     "http://localhost/k",
        "http://[::1]:80/", "http://127.1.2.3:9",      "https://[::2]/k"};
    static const char *const bad[] = {"",
                                      "a",
                                      "ftp://a",
                                      "https://",
                                      "https:///k",
                                      "https://a:",
                                      "https://a:0",
                                      "https://a:65536",
                                      "https://a:8x/",
                                      "https://u:p@a/",
                                      "https://a b",
                                      "https://a/#f",
                                      "https://a/\xc3\xa4",
                                      "https://[::1",
                                      "https://[]/",
                                      "https://::1/",
                                      "http://a/",
                                      "http://127.0.0.1.example.com/",
                                      "http://128.0.0.1/",
                                      "http://localhost.example.com/",
                                      "http://127.0.0.1@example.com/",
                                      "http://127.1/"};
    for (size_t i = 0; i < TW_COUNT(good); i++)
        assert_null(tw_config_jwks_uri_fault(good[i]));
    for (size_t i = 0; i < TW_COUNT(bad); i++)
        if (tw_config_jwks_uri_fault(bad[i]) == NULL)
            fail_msg("accepted: %s", bad[i]);
    assert_string_equal(tw_config_jwks_uri_fault("https://u@a/"),
                        "must not contain a user name or password");
    setenv("TILLWAY_AUTH_ISSUERS", "[{issuer: a, jwksUri: \"https://u:hidden@a\", audience: [x]}]",
           1);
    assert_null(tw_config_load(NULL, 0, err, sizeof err));
    assert_null(strstr(err, "hidden@"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(later_files_override_key_by_key),
        CONFIG_TEST(missing_files),
        CONFIG_TEST(values_from_files),
        CONFIG_TEST(variables),
        CONFIG_TEST(listens),
        CONFIG_TEST(cognito),
        CONFIG_TEST(other_issuers),
        CONFIG_TEST(places_of_keys),
    };
    return cmocka_run_group_tests(tests, enter_work_directory, leave_work_directory);
}

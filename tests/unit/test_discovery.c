// SPDX-License-Identifier: Apache-2.0
// discovery: only the right issuer's document, and only a place that may be fetched.
#include "tests/unit/test_kit.h"

#include "gateway/discovery.h"

#define ISSUER "https://id.example.com/realm"

static void expect_uri(const char *document, const char *expected)
{
    char err[256] = "";
    char *uri = tw_discovery_jwks_uri(tw_str_of(document), ISSUER, err, sizeof err);
    if (!uri || strcmp(uri, expected) != 0)
        fail_msg("%s: %s", document, uri ? uri : err);
    free(uri);
}

static void expect_refusal(const char *document, const char *expected)
{
    char err[256] = "";
    char *uri = tw_discovery_jwks_uri(tw_str_of(document), ISSUER, err, sizeof err);
    if (uri || !strstr(err, expected))
        fail_msg("%s: %s", document, uri ? uri : err);
}

static void test_good(void **state)
{
    (void)state;
    expect_uri("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://keys.example.com/a?b=c\"}",
               "https://keys.example.com/a?b=c");
    expect_uri("{\"jwks_uri\":\"https:\\/\\/a\\/k\",\"scopes_supported\":[\"openid\"],"
               "\"issuer\":\"https:\\/\\/id.example.com\\/realm\"}",
               "https://a/k");
    expect_uri("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"http://127.0.0.1:80/k\"}",
               "http://127.0.0.1:80/k");
}

static void test_not_json(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "",
        "[]",
        "null",
        "<html>",
        "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://a/k\"} x",
        "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://a/k\",\"jwks_uri\":\"https://b/k\"}",
        "{\"issuer\":\"x\",\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://a/k\"}",
        "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://a/k\\u0000.example.com\"}",
    };
    for (size_t i = 0; i < TW_COUNT(documents); i++)
        expect_refusal(documents[i], "strict JSON");
}

static void test_other_issuers(void **state)
{
    (void)state;
    static const char *const issuers[] = {
        "https://id.example.com/realm/", "https://id.example.com",
        "https://ID.example.com/realm",  "",
        "http://id.example.com/realm",   "https://id.example.com:443/realm",
    };
    for (size_t i = 0; i < TW_COUNT(issuers); i++) {
        char document[256];
        snprintf(document, sizeof document, "{\"issuer\":\"%s\",\"jwks_uri\":\"https://a/k\"}",
                 issuers[i]);
        expect_refusal(document, "another issuer");
    }
    expect_refusal("{\"jwks_uri\":\"https://a/k\"}", "names no issuer");
    expect_refusal("{\"issuer\":[\"" ISSUER "\"],\"jwks_uri\":\"https://a/k\"}", "names no issuer");
}

static void test_bad_places(void **state)
{
    (void)state;
    static const char *const places[][2] = {
        {"", "must begin with https"},
        {"/keys.json", "must begin with https"},
        {"file:///etc/passwd", "must begin with https"},
        {"http://keys.example.com/k", "must be https"},
        {"http://169.254.169.254/latest", "must be https"},
        {"https://user@keys.example.com/k", "user name"},
        {"https://keys.example.com/k#a", "fragment"},
        {"https:///k", "host"},
        {"https://keys.example.com/a b", "%XX"},
    };
    for (size_t i = 0; i < TW_COUNT(places); i++) {
        char document[256];
        snprintf(document, sizeof document, "{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"%s\"}",
                 places[i][0]);
        expect_refusal(document, places[i][1]);
    }
    expect_refusal("{\"issuer\":\"" ISSUER "\"}", "no jwks_uri");
    expect_refusal("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":null}", "no jwks_uri");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_other_issuers),
        cmocka_unit_test(test_bad_places),
    };
    return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}

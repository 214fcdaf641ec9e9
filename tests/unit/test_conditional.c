// SPDX-License-Identifier: Apache-2.0
// conditional: If-None-Match and If-Match as RFC 9110 §13.1 has them, with the tags of gzip.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/conditional.h"

static bool none_match(const char *header, bool gzip, struct tw_str *found)
{
    return tw_etag_none_match(tw_str_of(header), TW_STR("\"7\""), gzip, found);
}

static bool matches(const char *header)
{
    struct tw_str found;
    return none_match(header, true, &found);
}

static void test_matches(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "\"7\"",  "*", "W/\"7\"", " \"7\"", "\"6\", \"7\"", "\"a,b\",\"7\"", "W/\"1\" , W/\"7\"",
        ",\"7\","};
    for (size_t i = 0; i < TW_COUNT(yes); i++)
        if (!matches(yes[i]))
            fail_msg("%s names it", yes[i]);
}

static void test_does_not_match(void **state)
{
    (void)state;
    static const char *const no[] = {
        NULL, "",   "7",   "\"70\"",          "\"7",        "\"", "w/\"7\"", "\"6\" \"7",
        "**", "W/", "W/7", "\"6\", x, \"7\"", "\"a,\"7\"\""};
    for (size_t i = 0; i < TW_COUNT(no); i++)
        if (matches(no[i]))
            fail_msg("%s does not name it", no[i] ? no[i] : "(absent)");
}

// What a 304 names is the copy that the client has; a coding that it cannot read is none.
static void test_gzip(void **state)
{
    (void)state;
    static const struct {
        const char *header, *found, *found_without;
    } cases[] = {
        {"\"7\"", "\"7\"", "\"7\""},
        {"*", "\"7\"", "\"7\""},
        {"W/\"7\"", "\"7\"", "\"7\""},
        {"\"7-gzip\"", "\"7-gzip\"", NULL},
        {"W/\"7-gzip\"", "\"7-gzip\"", NULL},
        {"\"6\", \"7-gzip\", \"7\"", "\"7-gzip\"", "\"7\""},
        {"\"7-gzip-gzip\"", NULL, NULL},
        {"\"7-gzipx\"", NULL, NULL},
        {"\"-gzip\"", NULL, NULL},
        {"\"77-gzip\"", NULL, NULL},
        {"\"7-br\"", NULL, NULL},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        for (int gzip = 0; gzip < 2; gzip++) {
            struct tw_str found;
            const char *wanted = gzip ? cases[i].found : cases[i].found_without;
            assert_int_equal(none_match(cases[i].header, gzip, &found), wanted != NULL);
            assert_true(!wanted || tw_str_eq(found, tw_str_of(wanted)));
        }
    char text[sizeof("\"7\"" TW_ETAG_GZIP)];
    assert_true(tw_str_eq(tw_etag_of_gzip(TW_STR("\"7\""), text), TW_STR("\"7-gzip\"")));
}

// If-Match compares strongly, and 007 is not 7.
static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *header, *versions;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"*", "-1 "},
        {" *", "-1 "},
        {"\"7\"", "7 "},
        {"\"7-gzip\"", "7 "},
        {"\"1\",\"2\" , \"3\"", "1 2 3 "},
        {"W/\"7\"", ""},
        {"W/\"7\", \"8\"", "8 "},
        {"\"x\", \"9\"", "9 "},
        {"7", ""},
        {"\"07\"", ""},
        {"\"0\"", ""},
        {"\"-1\"", ""},
        {"\"+1\"", ""},
        {"\" 7\"", ""},
        {"\"\"", ""},
        {"\"-gzip\"", ""},
        {"\"7-gzip-gzip\"", ""},
        {"\"9223372036854775807\"", "9223372036854775807 "},
        {"\"9223372036854775808\"", ""},
        {"\"1\", \"2\", \"3\", \"4\", \"5\"", "1 2 3 4 "},
        {"\"7", ""},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        int64_t versions[4];
        char text[128] = "";
        size_t n = tw_etag_versions(tw_str_of(cases[i].header), versions, 4);
        for (size_t j = 0, at = 0; j < n; j++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%lld ", (long long)versions[j]);
        assert_string_equal(text, cases[i].versions);
    }
    assert_int_equal(tw_etag_versions(TW_STR("*"), NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_does_not_match),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

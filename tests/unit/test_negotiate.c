// SPDX-License-Identifier: Apache-2.0
// negotiate: Accept, Accept-Encoding, Content-Type and Content-Encoding as RFC 9110 has them.
#include "tests/unit/test_kit.h"

#include <stdlib.h>

#include "gateway/negotiate.h"

typedef void adder(struct tw_accept *accept, struct tw_str line);

// A copy of the line without a NUL behind, so that ASan sees a byte too far.
static void add(adder *add_line, struct tw_accept *accept, const char *line)
{
    size_t n = strlen(line);
    char *copy = malloc(n > 0 ? n : 1);
    assert_non_null(copy);
    memcpy(copy, line, n);
    add_line(accept, (struct tw_str){copy, n});
    free(copy);
}

static bool takes_json(const char *line)
{
    struct tw_accept accept = TW_ACCEPT_NONE;
    add(tw_accept_add_media, &accept, line);
    return tw_accept_takes_json(&accept);
}

static bool takes_gzip(const char *line)
{
    struct tw_accept accept = TW_ACCEPT_NONE;
    add(tw_accept_add_coding, &accept, line);
    return tw_accept_takes_gzip(&accept);
}

// ---- Accept -------------------------------------------------------------------------------------

static void test_accept_takes_json(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "",
        " ",
        ",",
        " , ,",
        "*/*",
        "application/*",
        "application/json",
        "APPLICATION/JSON",
        "application/json;q=1",
        "application/json;q=1.000",
        "application/json;q=0.001",
        "application/json ; q=0.5",
        "application/json;Q=0.5",
        "application/json;charset=utf-8",
        "application/json;v=\"a,b;c\\\"d\";q=0.1",
        "application/json;q=0.5;ext=1",
        "text/html,application/json",
        "text/html , application/json",
        "text/html;q=0.9,*/*;q=0.1",
        "application/*;q=0, application/json;q=0.1",
        "*/*;q=0, application/*;q=0.1",
        "application/json;q=0, application/json",
    };
    for (size_t i = 0; i < TW_COUNT(yes); i++)
        if (!takes_json(yes[i]))
            fail_msg("\"%s\" takes it", yes[i]);
}

static void test_accept_excludes_json(void **state)
{
    (void)state;
    static const char *const no[] = {
        "text/html",
        "text/html;q=0.5, text/*",
        "application/json;q=0",
        "application/json;q=0.",
        "application/json;q=0.000",
        "application/json;q=0, */*;q=1",
        "application/*;q=0, */*",
        "*/*;q=0",
        "application/json5",
        "application/jso",
        "application/problem+json",
        "text/json",
        "xapplication/json",
    };
    for (size_t i = 0; i < TW_COUNT(no); i++)
        if (takes_json(no[i]))
            fail_msg("\"%s\" excludes it", no[i]);
}

// As if there were none; each of them would exclude JSON otherwise.
static void test_accept_malformed(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "*",
        "text",
        "text/",
        "/html",
        "text//html",
        "text/html;q",
        "text/html;q=",
        "text/html;q=2",
        "text/html;q=1.001",
        "text/html;q=0.0001",
        "text/html;q=.5",
        "text/html;q=-1",
        "text/html;q=0,5x/",
        "text/html;q=1e0",
        "text/html;q=\"\"",
        "text/html;a=\"",
        "text/html;a=\"\\",
        "text/html;a=b c",
        "text/html;=b",
        "text/html;a =b",
        "text/html x",
        "text/html\x01",
        "text/h\xc3\xa4",
        "text/html, (",
        "text/html;q=0.5;q=x",
    };
    for (size_t i = 0; i < TW_COUNT(broken); i++)
        if (!takes_json(broken[i]))
            fail_msg("\"%s\" says nothing", broken[i]);
}

static void test_accept_lines(void **state)
{
    (void)state;
    struct tw_accept accept = TW_ACCEPT_NONE;
    assert_true(tw_accept_takes_json(&accept));
    add(tw_accept_add_media, &accept, "text/html");
    assert_false(tw_accept_takes_json(&accept));
    add(tw_accept_add_media, &accept, "");
    assert_false(tw_accept_takes_json(&accept));
    add(tw_accept_add_media, &accept, "application/*;q=0.2");
    assert_true(tw_accept_takes_json(&accept));
    add(tw_accept_add_media, &accept, "application/json;q=0");
    assert_false(tw_accept_takes_json(&accept));
    add(tw_accept_add_media, &accept, "*");
    assert_true(tw_accept_takes_json(&accept)); // malformed as a whole
}

// ---- Accept-Encoding ----------------------------------------------------------------------------

static void test_takes_gzip(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "gzip",
        "GZip",
        "x-gzip",
        "gzip, deflate, br",
        "br;q=1.0, gzip;q=0.8, *;q=0.1",
        "*",
        "*;q=0.5",
        "identity;q=0.5, gzip",
        "identity;q=0.5, gzip;q=0.5",
        "identity;q=0, *;q=0.1",
        "gzip;q=0.001",
        "gzip;q=0, x-gzip",
    };
    for (size_t i = 0; i < TW_COUNT(yes); i++)
        if (!takes_gzip(yes[i]))
            fail_msg("\"%s\" takes it", yes[i]);
}

static void test_takes_no_gzip(void **state)
{
    (void)state;
    static const char *const no[] = {
        "",
        "identity",
        "br, deflate",
        "gzip;q=0",
        "gzip;q=0.000",
        "*;q=0",
        "gzi",
        "gzipx",
        "gzip/x",
        "gzip;q=2",
        "gzip;q=0, *",
        "identity, gzip;q=0.9",
        "gzip x",
        "*, gzip;q=0.5",
        "gzip, br;q=",
        "gzip, @",
        "identity;q=1,*;q=0",
        "gzip;q=0.5, identity;q=0.6",
    };
    for (size_t i = 0; i < TW_COUNT(no); i++)
        if (takes_gzip(no[i]))
            fail_msg("\"%s\" does not take it", no[i]);
    struct tw_accept none = TW_ACCEPT_NONE;
    assert_false(tw_accept_takes_gzip(&none));
}

// ---- Content-Type -------------------------------------------------------------------------------

static bool is_type(const char *type, const char *types)
{
    return tw_media_type_in(tw_str_of(type), tw_str_of(types));
}

static void test_media_type(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "application/json",
        "Application/JSON",
        " application/json ",
        "application/json;",
        "application/json;;",
        "application/json; charset=utf-8",
        "application/json;CharSet=UTF-8",
        "application/json; charset=\"utf-8\"",
        "application/json; a=1; charset=utf-8; b=\"x;charset=y\"",
    };
    static const char *const no[] = {
        NULL,
        "",
        " ",
        "json",
        "application",
        "application/",
        "application/jsonx",
        "application/json/x",
        "text/json",
        "application/*",
        "*/*",
        "application/json,",
        "application/json, application/json",
        "application/json charset=utf-8",
        "application/json;charset",
        "application/json;charset=",
        "application/json;charset=\"utf-8",
        "application/json;charset=utf8",
        "application/json;charset=latin1",
        "application/json;charset=utf-8;charset=utf-16",
        "application/json;a=b c",
    };
    for (size_t i = 0; i < TW_COUNT(yes); i++)
        if (!is_type(yes[i], "application/json"))
            fail_msg("\"%s\" is it", yes[i]);
    for (size_t i = 0; i < TW_COUNT(no); i++)
        if (is_type(no[i], "application/json"))
            fail_msg("\"%s\" is not it", no[i] ? no[i] : "(absent)");
}

static void test_media_types(void **state)
{
    (void)state;
    static const char both[] = "application/merge-patch+json, application/json";
    assert_true(is_type("application/json", both));
    assert_true(is_type("application/merge-patch+json", both));
    assert_false(is_type("application/merge-patch", both));
    assert_false(is_type("application/json-patch+json", both));
}

// ---- Content-Encoding ---------------------------------------------------------------------------

static void test_coding(void **state)
{
    (void)state;
    static const char *const yes[] = {"", " ", "identity", "IDENTITY", "identity, identity", ","};
    static const char *const no[] = {
        "gzip", "identity,gzip", "gzip,identity", "identityx", "*", "identity gzip",
        ";",    "identity;q"};
    for (size_t i = 0; i < TW_COUNT(yes); i++)
        assert_true(tw_coding_is_identity(tw_str_of(yes[i])));
    for (size_t i = 0; i < TW_COUNT(no); i++)
        assert_false(tw_coding_is_identity(tw_str_of(no[i])));
}

// Whatever the bytes: an end, and no byte beyond.
static void test_any_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "a*/;,=\"\\ q01.\t\x80";
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        char line[24];
        size_t n = (size_t)(round % (int)sizeof(line));
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1103515245 + 12345;
            line[i] = bytes[(seed >> 16) % (sizeof(bytes) - 1)];
        }
        line[n] = '\0';
        (void)takes_json(line);
        (void)takes_gzip(line);
        assert_false(is_type(line, "application/json")); // it has no 'j'
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_takes_json),
        cmocka_unit_test(test_accept_excludes_json),
        cmocka_unit_test(test_accept_malformed),
        cmocka_unit_test(test_accept_lines),
        cmocka_unit_test(test_takes_gzip),
        cmocka_unit_test(test_takes_no_gzip),
        cmocka_unit_test(test_media_type),
        cmocka_unit_test(test_media_types),
        cmocka_unit_test(test_coding),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests_name("negotiate", tests, NULL, NULL);
}

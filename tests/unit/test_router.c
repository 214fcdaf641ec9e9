// SPDX-License-Identifier: Apache-2.0
// router: one spelling of a path, FAULTS H6's tricks refused, and the table's rows found.
#include "tests/unit/test_kit.h"

#include "gateway/router.h"

#define any NULL

static const struct tw_route rows[] = {
    {TW_GET, "/", 1, any, NULL, TW_CACHE_NEVER},
    {TW_GET, "/v1/products", 1, any, NULL, TW_CACHE_NEVER},
    {TW_POST, "/v1/products", 1, any, NULL, TW_CACHE_NEVER},
    {TW_GET, "/v1/products/lookup", 1, any, NULL, TW_CACHE_NEVER},
    {TW_GET, "/v1/products/{productId}", 1, any, NULL, TW_CACHE_NEVER},
    {TW_PATCH, "/v1/products/{productId}", 1, any, NULL, TW_CACHE_NEVER},
    {TW_DELETE, "/v1/products/{productId}", 1, any, NULL, TW_CACHE_NEVER},
    {TW_PUT, "/v1/{a}/{b}/{c}/{d}", 1, any, NULL, TW_CACHE_NEVER},
    {TW_POST, "/v1/transactions/{id}/refunds", 1, any, NULL, TW_CACHE_NEVER},
};
static const struct tw_route_table table = {rows, TW_STR(""), TW_COUNT(rows)};

static struct tw_match match;

static enum tw_status route(const char *method, const char *path)
{
    memset(&match, 0xA5, sizeof match);
    return tw_router_match(&table, tw_str_of(method), tw_str_of(path), &match);
}

static bool accepts(struct tw_str target)
{
    struct tw_str path, query;
    return tw_router_target(target, &path, &query) == TW_OK;
}

// ---- targets ------------------------------------------------------------------------------------

static void test_path_and_query(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/", "/", ""},
        {"/?", "/", ""},
        {"/v1/products", "/v1/products", ""},
        {"/v1/products?limit=5", "/v1/products", "limit=5"},
        {"/v1/products?a=/../%2e;b?c", "/v1/products", "a=/../%2e;b?c"},
        {"/a-b._~!$&'()*+,=:@/0", "/a-b._~!$&'()*+,=:@/0", ""},
        {"/...", "/...", ""},
        {"/.a/..b/c./d..", "/.a/..b/c./d..", ""},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_str path, query, target = tw_str_of(cases[i].target);
        assert_int_equal(tw_router_target(target, &path, &query), TW_OK);
        kit_assert_str(path, cases[i].path);
        kit_assert_str(query, cases[i].query);
        assert_ptr_equal(path.p, target.p); // a slice, no copy
    }
}

static void test_tricks(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "*",
        "v1/products",
        "?a=b",
        "//",
        "//v1/products",
        "/v1//products",
        "/v1/products/",
        "/v1/products//",
        "/v1/products/?a=b",
        "/.",
        "/..",
        "/./",
        "/v1/./products",
        "/v1/../v1/products",
        "/v1/products/..",
        "/v1/products/.",
        "/v1/products/../../admin",
        "/v1/%70roducts",
        "/v1/products%2f",
        "/v1%2Fproducts",
        "/%2e%2e/products",
        "/v1/%2e/products",
        "/v1/%252e/products",
        "/v1/products%00",
        "/v1/products%",
        "/v1/products/%zz",
        "/v1/products;jsessionid=1",
        "/v1;a/products",
        "/v1/products/;",
        "/v1\\products",
        "\\v1\\products",
        "/v1/products\\..",
        "/v1/\xc0\xae\xc0\xae/products",
        "/v1/\xe0\x80\xaf",
        "/v1/caf\xc3\xa9",
        "/v1/\xef\xbc\x8f",
        "/v1/pro ducts",
        "/v1/products ",
        " /v1/products",
        "/v1/products\t",
        "/v1/products\r\n",
        "/v1/products#a",
        "/v1/products?a#b",
        "/v1/products?a b",
        "/v1/products?a\x7f",
        "/v1/products?\xc3\xa9",
        "/v1/products?a\n",
        "/v1/<products>",
        "/v1/{productId}",
        "/v1/pro|ducts",
        "/v1/\"products\"",
        "/v1/pro^ducts",
        "/v1/pro`ducts",
        "/v1/[products]",
        "http://till.example/v1/products",
        "https://till.example",
        "till.example:443",
    };
    for (size_t i = 0; i < TW_COUNT(refused); i++)
        if (accepts(tw_str_of(refused[i])))
            fail_msg("accepted \"%s\"", refused[i]);
    assert_false(accepts(TW_STR("/v1/products\0")));
    assert_false(accepts(TW_STR("/v1/products?a\0b")));
    assert_false(accepts(tw_str_of(NULL)));
}

// What RFC 3986 calls pchar, without ';' and '%': 26 + 26 + 10 letters and digits and 16 others.
static void test_every_byte(void **state)
{
    (void)state;
    unsigned in_path = 0, in_query = 0;
    for (unsigned c = 0; c < 256; c++) {
        char path[] = "/aXb", query[] = "/a?X";
        path[2] = query[3] = (char)c;
        in_path += accepts((struct tw_str){path, 4}) && c != '/' && c != '?';
        in_query += accepts((struct tw_str){query, 4});
    }
    assert_int_equal(in_path, 26 + 26 + 10 + strlen("-._~!$&'()*+,=:@"));
    assert_int_equal(in_query, 0x7f - 0x21 - 1); // printable ASCII without '#'
}

// ---- matching -----------------------------------------------------------------------------------

static void assert_route(const char *method, const char *path, size_t row)
{
    assert_int_equal(route(method, path), TW_OK);
    assert_ptr_equal(match.route, &rows[row]);
}

static void test_rows(void **state)
{
    (void)state;
    assert_route("GET", "/", 0);
    assert_route("GET", "/v1/products", 1);
    assert_route("HEAD", "/v1/products", 1);
    assert_route("POST", "/v1/products", 2);
    assert_route("GET", "/v1/products/lookup", 3); // the earlier row wins
    assert_route("GET", "/v1/products/lookups", 4);
    kit_assert_str(match.params[0], "lookups");
    assert_route("DELETE", "/v1/products/lookups", 6);
    kit_assert_str(match.params[0], "lookups");
    assert_route("PUT", "/v1/w/x/y/z", 7);
    static const char *const params[] = {"w", "x", "y", "z"};
    for (size_t i = 0; i < TW_COUNT(params); i++)
        kit_assert_str(match.params[i], params[i]);
    assert_route("POST", "/v1/transactions/7/refunds", 8);
    kit_assert_str(match.params[0], "7");
}

static void test_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v1",          "/v1/product",   "/v1/productss",      "/v1/products/1/2",
        "/V1/products", "/v1/Products",  "/v2/products",       "/products",
        "/v1/w/x/y",    "/v1/w/x/y/z/a", "/v1/transactions/7", "/v1/transactions/7/refund",
    };
    for (size_t i = 0; i < TW_COUNT(paths); i++) {
        assert_int_equal(route("GET", paths[i]), TW_NOT_FOUND);
        assert_null(match.route);
        assert_int_equal(match.allowed, 0);
    }
}

// What all patterns share is looked at once, and decides as it does within each of them.
static void test_shared(void **state)
{
    (void)state;
    static const struct tw_route_table of_v1 = {rows + 1, TW_STR("/v1/"), TW_COUNT(rows) - 1};
    static const char *const paths[] = {
        "/v1/products", "/v1/products/x", "/v1/a/b/c/d", "/v1/transactions", "/v1/",
        "/v1",          "/v2/products",   "/v",          "/xv1/products",    "/v1/productsx",
        "/v1/p"};
    for (size_t i = 0; i < TW_COUNT(paths); i++) {
        struct tw_match shared;
        enum tw_status status = route("GET", paths[i]);
        assert_int_equal(tw_router_match(&of_v1, TW_STR("GET"), tw_str_of(paths[i]), &shared),
                         status);
        assert_ptr_equal(shared.route, match.route);
        assert_int_equal(shared.allowed, match.allowed);
    }
    assert_int_equal(tw_router_match(&of_v1, TW_STR("GET"), TW_STR(""), &match), TW_NOT_FOUND);
}

static void test_method_not_allowed(void **state)
{
    (void)state;
    static const char *const methods[] = {"PUT",   "get",     "Get",   "GETS", "GE",      "",
                                          "HEADS", "OPTIONS", "TRACE", "head", "CONNECT", "GET "};
    for (size_t i = 0; i < TW_COUNT(methods); i++) {
        assert_int_equal(route(methods[i], "/v1/products"), TW_METHOD_NOT_ALLOWED);
        assert_null(match.route);
        assert_int_equal(match.allowed, 1u << TW_GET | 1u << TW_POST | 1u << TW_OPTIONS);
    }
    assert_int_equal(route("POST", "/v1/products/1"), TW_METHOD_NOT_ALLOWED);
    assert_int_equal(match.allowed,
                     1u << TW_GET | 1u << TW_PATCH | 1u << TW_DELETE | 1u << TW_OPTIONS);
    // A path has one pattern: a product is never called "lookup".
    assert_int_equal(route("DELETE", "/v1/products/lookup"), TW_METHOD_NOT_ALLOWED);
    assert_int_equal(match.allowed, 1u << TW_GET | 1u << TW_OPTIONS);
    assert_int_equal(route("HEAD", "/v1/transactions/7/refunds"), TW_METHOD_NOT_ALLOWED);
    assert_int_equal(match.allowed, 1u << TW_POST | 1u << TW_OPTIONS);
}

static void test_method_names(void **state)
{
    (void)state;
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    assert_int_equal(TW_COUNT(names), TW_METHOD_COUNT);
    for (size_t i = 0; i < TW_COUNT(names); i++)
        assert_string_equal(tw_method_name((enum tw_method)i), names[i]);
}

// What Allow lists; the longest list fits.
static void test_methods_text(void **state)
{
    (void)state;
    static const struct {
        unsigned allowed;
        const char *text;
    } cases[] = {
        {0, ""},
        {1u << TW_GET, "GET, HEAD"},
        {1u << TW_POST, "POST"},
        {1u << TW_POST | 1u << TW_OPTIONS, "POST, OPTIONS"},
        {1u << TW_DELETE | 1u << TW_GET, "GET, HEAD, DELETE"},
        {(1u << TW_METHOD_COUNT) - 1, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
    };
    char text[TW_METHODS_TEXT_MAX];
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        assert_true(strlen(cases[i].text) <= sizeof text);
        kit_assert_str(tw_router_methods(cases[i].allowed, text), cases[i].text);
    }
}

// ---- property -----------------------------------------------------------------------------------

// Canonical in other words than the router's: only the allowed letters, then by segments.
static bool is_canonical(struct tw_str path)
{
    char text[128];
    assert_true(path.n < sizeof text - 1);
    memcpy(text, path.p, path.n);
    memcpy(text + path.n, "/", 2); // with a '/' behind it every segment ends in one
    if (strcmp(text, "//") == 0)
        return true;
    if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                     "-._~!$&'()*+,=:@/") != path.n + 1)
        return false;
    return path.n > 0 && text[0] == '/' && !strstr(text, "//") && !strstr(text, "/./") &&
           !strstr(text, "/../");
}

// Random targets out of the pieces that tricks are made of: what gets through to a row is
// canonical, and so are its parameters; what is canonical is never refused.
static void test_what_matches_is_canonical(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "/",    "/",  "/v1", "/products", "/lookup", "/transactions", "/refunds", "/7", ".",
        "..",   "/.", "/..", "%2e",       "%2f",     "%00",           ";",        "\\", "\xc0\xaf",
        "a",    "?",  "#",   " ",         "@",       "/%2e%2e",       "~",        "{",  "//",
        "\x01",
    };
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
    unsigned matched = 0, refused = 0;
    for (int i = 0; i < 2000000; i++) {
        char text[128] = "";
        size_t n = 0;
        for (uint64_t left = 1 + kit_below(6); left > 0; left--) {
            const char *piece = pieces[kit_below(kit_below(4) ? 8 : TW_COUNT(pieces))];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        struct tw_str path, query;
        bool accepted = tw_router_target((struct tw_str){text, n}, &path, &query) == TW_OK;
        assert_true(!accepted || is_canonical(path));
        assert_true(accepted || query.n > 0 || !is_canonical(path));
        refused += !accepted;
        struct tw_str method = tw_str_of(methods[kit_below(TW_COUNT(methods))]);
        if (!accepted || tw_router_match(&table, method, path, &match) != TW_OK)
            continue;
        matched++;
        const char *open = match.route->pattern;
        for (size_t k = 0; (open = strchr(open, '{')) != NULL; k++, open++) {
            struct tw_str param = match.params[k];
            assert_true(param.p > path.p && param.p + param.n <= path.p + path.n);
            assert_true(param.n > 0 && !memchr(param.p, '/', param.n));
        }
    }
    assert_in_range(matched, 20000, 1000000);
    assert_in_range(refused, 500000, 1900000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_and_query),     cmocka_unit_test(test_tricks),
        cmocka_unit_test(test_every_byte),         cmocka_unit_test(test_rows),
        cmocka_unit_test(test_not_found),          cmocka_unit_test(test_shared),
        cmocka_unit_test(test_method_not_allowed), cmocka_unit_test(test_method_names),
        cmocka_unit_test(test_methods_text),       cmocka_unit_test(test_what_matches_is_canonical),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// deny_list: what a text names, and which texts are refused as a whole.
#include "tests/unit/test_auth_kit.h"

#include "auth/deny_list.h"

static bool names(const char *text, const char *jti, const char *sub)
{
    struct tw_deny_list_fault fault;
    struct tw_deny_list *list = tw_deny_list_parse(tw_str_of(text), &fault);
    assert_non_null(list);
    assert_null(fault.reason);
    bool named = tw_deny_list_names(list, tw_str_of(jti), tw_str_of(sub));
    tw_deny_list_free(list);
    return named;
}

static void test_what_is_named(void **state)
{
    (void)state;
    static const char text[] = "# stolen till\n"
                               "jti 1f2e\n"
                               "\n"
                               "  sub\t anna \r\n"
                               "sub CN=till 7,O=Shop\n"
                               "  # sub otto\n"
                               "jti x";
    assert_true(names(text, "1f2e", "otto"));
    assert_true(names(text, "x", "otto"));
    assert_true(names(text, "", "anna"));
    assert_true(names(text, "0", "CN=till 7,O=Shop"));
    assert_false(names(text, "0", "otto"));
    assert_false(names(text, "anna", "1f2e")); // a jti is no sub
    assert_false(names(text, "", ""));
    assert_false(names(text, "1f2", "ann"));
    assert_false(names("", "1", "1"));
    assert_false(tw_deny_list_names(NULL, TW_STR("1"), TW_STR("1")));
}

static void test_refused_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
    } cases[] = {
        {"jti\n", 1}, {"sub ", 1},           {"jti 1\nsub\n", 2},
        {"anna", 1},  {"jti 1\n\nJTI 2", 3}, {"subject anna", 1},
        {"jti:1", 1}, {"{\"jti\":1}", 1},    {"sub a\n\xff\n", 0},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_deny_list_fault fault;
        assert_null(tw_deny_list_parse(tw_str_of(cases[i].text), &fault));
        assert_non_null(fault.reason);
        assert_int_equal(fault.line, cases[i].line);
    }
}

static void test_large_lists(void **state)
{
    (void)state;
    struct tw_deny_list_fault fault;
    char *text = malloc(TW_DENY_LIST_MAX_BYTES + 1), id[16];
    size_t n = 0;
    for (unsigned i = 0; n + 32 < TW_DENY_LIST_MAX_BYTES; i++)
        n += (size_t)sprintf(text + n, "jti %06u\n", i * 7919 % 95000);
    struct tw_deny_list *list = tw_deny_list_parse((struct tw_str){text, n}, &fault);
    assert_non_null(list);
    for (unsigned i = 0; i < 95000; i += 997) {
        snprintf(id, sizeof id, "%06u", i);
        assert_true(tw_deny_list_names(list, tw_str_of(id), TW_STR("s")));
    }
    assert_false(tw_deny_list_names(list, TW_STR("095001"), TW_STR("s")));
    tw_deny_list_free(list);
    memset(text, '\n', TW_DENY_LIST_MAX_BYTES + 1);
    assert_null(tw_deny_list_parse((struct tw_str){text, TW_DENY_LIST_MAX_BYTES + 1}, &fault));
    assert_non_null(strstr(fault.reason, "1 MiB"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_named),
        cmocka_unit_test(test_refused_texts),
        cmocka_unit_test(test_large_lists),
    };
    return cmocka_run_group_tests_name("auth deny list", tests, NULL, NULL);
}

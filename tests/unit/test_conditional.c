// SPDX-License-Identifier: Apache-2.0
// conditional: If-None-Match as RFC 9110 §13.1.2 has it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handlers/conditional.h"

static bool matches(const char *header)
{
    return tw_etag_matches(tw_str_of(header), TW_STR("\"7\""));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_does_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// policy: every pair of a set of granted roles and a required mask.
#include "tests/unit/test_auth_kit.h"

#include "auth/policy.h"

#define C TW_ROLE_CASHIER
#define M TW_ROLE_MANAGER
#define A TW_ROLE_ADMIN

static bool allows(unsigned roles, unsigned required)
{
    const struct tw_principal principal = {.roles = roles, .references = 1};
    return tw_policy_allows(&principal, required);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(tw_role_by_name(TW_STR("cashier")), C);
    assert_int_equal(tw_role_by_name(TW_STR("manager")), M);
    assert_int_equal(tw_role_by_name(TW_STR("admin")), A);
    assert_int_equal(tw_role_by_name(TW_STR("Admin")), 0);
    assert_int_equal(tw_role_by_name(TW_STR("admin ")), 0);
    assert_int_equal(tw_role_by_name(TW_STR("adm")), 0);
    assert_int_equal(tw_role_by_name(TW_STR("")), 0);
    assert_string_equal(tw_role_name(C), "cashier");
    assert_string_equal(tw_role_name(M), "manager");
    assert_string_equal(tw_role_name(A), "admin");
    assert_null(tw_role_name(0));
    assert_null(tw_role_name(C | M));
    assert_null(tw_role_name(TW_ROLE_ANY));
}

static void test_every_pair(void **state)
{
    (void)state;
    for (unsigned granted = 0; granted < 8; granted++)
        for (unsigned required = 0; required < 8; required++) {
            // In words: the highest role granted must reach the lowest role required.
            unsigned highest = granted & A ? A : granted & M ? M : granted & C;
            unsigned lowest = required & C ? C : required & M ? M : required & A;
            bool expected = required != 0 && highest != 0 && highest >= lowest;
            if (allows(granted, required) != expected)
                fail_msg("granted %u, required %u", granted, required);
        }
}

static void test_deny_by_default_and_any(void **state)
{
    (void)state;
    assert_false(allows(C | M | A, 0));
    assert_false(allows(A, 8)); // a bit that is no role
    assert_false(allows(8 | TW_ROLE_ANY, C));
    assert_true(allows(0, TW_ROLE_ANY));
    assert_true(allows(C, TW_ROLE_ANY | A));
    assert_false(tw_policy_allows(NULL, TW_ROLE_ANY));
    assert_false(tw_policy_allows(NULL, C));
    assert_false(tw_policy_allows(NULL, 0));
}

static void test_effective_roles(void **state)
{
    (void)state;
    assert_int_equal(tw_policy_effective_roles(0), 0);
    assert_int_equal(tw_policy_effective_roles(C), C);
    assert_int_equal(tw_policy_effective_roles(M), C | M);
    assert_int_equal(tw_policy_effective_roles(A), C | M | A);
    assert_int_equal(tw_policy_effective_roles(8 | TW_ROLE_ANY), 0);
}

static unsigned roles_by(const char *groups, const struct tw_group_roles *lines, size_t n)
{
    struct tw_claims claims;
    const struct tw_claim_names names = {.groups = "g", .store = "s"};
    char *payload = kit_format("{\"sub\":\"s\",\"exp\":1%s%s}", *groups ? ",\"g\":" : "", groups);
    assert_null(tw_claims_parse(tw_str_of(payload), &names, &claims));
    unsigned roles = tw_policy_roles_of_groups(&claims, lines, n);
    tw_claims_dispose(&claims);
    free(payload);
    return roles;
}

static unsigned roles_of(const char *groups)
{
    return roles_by(groups, NULL, 0);
}

// auth.roles.groups replaces the groups that are called like roles.
static void test_groups_of_other_names(void **state)
{
    (void)state;
    const struct tw_group_roles lines[] = {{"till-staff", C}, {"boss", M | A}, {"eu cashiers", C}};
    assert_int_equal(roles_by("[\"till-staff\"]", lines, 3), C);
    assert_int_equal(roles_by("[\"x\",\"boss\",\"till-staff\"]", lines, 3), C | M | A);
    assert_int_equal(roles_by("[\"eu cashiers\"]", lines, 3), C);
    assert_int_equal(roles_by("\"eu cashiers\"", lines, 3), 0);
    assert_int_equal(roles_by("[\"admin\",\"cashier\"]", lines, 3), 0);
}

static void test_groups(void **state)
{
    (void)state;
    assert_int_equal(roles_of(""), 0);
    assert_int_equal(roles_of("[]"), 0);
    assert_int_equal(roles_of("\"manager\""), M);
    assert_int_equal(roles_of("[\"cashier\",\"admin\",\"cashier\"]"), C | A);
    assert_int_equal(roles_of("[\"eu-west-1_abc_Google\",\"ADMIN\",\"cashier,admin\"]"), 0);
    // One string is a list of words; within an array a space is part of the group's name.
    assert_int_equal(roles_of("\" cashier  admin \""), C | A);
    assert_int_equal(roles_of("[\"cashier admin\"]"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_deny_by_default_and_any),
        cmocka_unit_test(test_effective_roles),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_groups_of_other_names),
    };
    return cmocka_run_group_tests_name("auth policy", tests, NULL, NULL);
}

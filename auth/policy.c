// SPDX-License-Identifier: Apache-2.0
#include "auth/policy.h"

static unsigned roles_of_group(struct tw_str group, const struct tw_group_roles *lines, size_t n)
{
    if (n == 0)
        return tw_role_by_name(group);
    for (size_t i = 0; i < n; i++)
        if (tw_str_eq(group, tw_str_of(lines[i].group)))
            return lines[i].roles;
    return 0;
}

unsigned tw_policy_roles_of_groups(const struct tw_claims *claims,
                                   const struct tw_group_roles *lines, size_t n)
{
    unsigned granted = 0;
    for (size_t i = 0; i < tw_claims_group_count(claims); i++)
        granted |= roles_of_group(tw_claims_group(claims, i), lines, n);
    return granted;
}

unsigned tw_policy_effective_roles(unsigned granted)
{
    unsigned effective = 0;
#define XX(NAME, name, bit, rights) effective |= granted & (bit) ? (rights) : 0u;
    TW_ROLE_MAP(XX)
#undef XX
    return effective;
}

bool tw_policy_allows(const struct tw_principal *principal, unsigned required_roles_mask)
{
    if (!principal)
        return false;
    if (required_roles_mask & TW_ROLE_ANY)
        return true;
    return (tw_policy_effective_roles(principal->roles) & required_roles_mask) != 0;
}

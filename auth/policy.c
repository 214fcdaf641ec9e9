// SPDX-License-Identifier: Apache-2.0
#include "auth/policy.h"

// THE table of roles: `implies` lists all rights of the role, its own among them.
static const struct role {
    const char *name;
    unsigned bit, implies;
} roles[] = {
    {"cashier", TW_ROLE_CASHIER, TW_ROLE_CASHIER},
    {"manager", TW_ROLE_MANAGER, TW_ROLE_MANAGER | TW_ROLE_CASHIER},
    {"admin", TW_ROLE_ADMIN, TW_ROLE_ADMIN | TW_ROLE_MANAGER | TW_ROLE_CASHIER},
};

unsigned tw_role_by_name(struct tw_str name)
{
    for (size_t i = 0; i < TW_COUNT(roles); i++)
        if (tw_str_eq(name, tw_str_of(roles[i].name)))
            return roles[i].bit;
    return 0;
}

const char *tw_role_name(unsigned role)
{
    for (size_t i = 0; i < TW_COUNT(roles); i++)
        if (roles[i].bit == role)
            return roles[i].name;
    return NULL;
}

unsigned tw_policy_roles_of_groups(const struct tw_claims *claims)
{
    unsigned granted = 0;
    for (size_t i = 0; i < tw_claims_group_count(claims); i++)
        granted |= tw_role_by_name(tw_claims_group(claims, i));
    return granted;
}

unsigned tw_policy_effective_roles(unsigned granted)
{
    unsigned effective = 0;
    for (size_t i = 0; i < TW_COUNT(roles); i++)
        if (granted & roles[i].bit)
            effective |= roles[i].implies;
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

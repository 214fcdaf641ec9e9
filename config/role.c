// SPDX-License-Identifier: Apache-2.0
#include "config/role.h"

static const struct {
    const char *name;
    unsigned bit;
} roles[] = {
#define XX(NAME, name, bit, rights) {name, bit},
    TW_ROLE_MAP(XX)
#undef XX
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

// SPDX-License-Identifier: Apache-2.0
// role: THE list of roles, which routes ask for and tokens grant.
//
// Bits of a set. A manager has the rights of a cashier, an admin those of everybody; who may pass
// is decided in auth/policy. Runs in: master, worker and command line. Constant data.

#ifndef TW_ROLE_H
#define TW_ROLE_H

#include "gateway/base.h"

// XX(NAME, name, bit, rights): `rights` are the bits of all roles whose rights it has, its own
// among them.
#define TW_ROLE_MAP(XX)          \
    XX(CASHIER, "cashier", 1, 1) \
    XX(MANAGER, "manager", 2, 3) \
    XX(ADMIN, "admin", 4, 7)

enum tw_role {
#define XX(NAME, name, bit, rights) TW_ROLE_##NAME = (bit),
    TW_ROLE_MAP(XX)
#undef XX
};

// For a route's mask only. ANY: every principal with a valid token, with or without a role.
// PUBLIC: everybody, and nobody is asked for a token.
#define TW_ROLE_ANY    0x80000000u
#define TW_ROLE_PUBLIC 0x40000000u

// The bit of a role's name (letter case counts); 0 when unknown.
unsigned tw_role_by_name(struct tw_str name);

// The name of one role bit; NULL when it is not exactly one known role.
const char *tw_role_name(unsigned role);

#endif

// SPDX-License-Identifier: Apache-2.0
// policy: which role may do what another role may do, and whether a principal may pass.
//
// The one place that decides it: a route says which roles it is for, a token says which it grants,
// and nobody else compares the two. Denies by default.
// Not for: scopes of a single resource (the store predicate stands in every SQL statement).
// Runs in: master (checking the configuration) and worker. Pure.

#ifndef TW_AUTH_POLICY_H
#define TW_AUTH_POLICY_H

#include "auth/principal.h"

// Bits of a set. A manager has the rights of a cashier, an admin those of everybody.
enum tw_role { TW_ROLE_CASHIER = 1, TW_ROLE_MANAGER = 2, TW_ROLE_ADMIN = 4 };

// For a route's mask only: every principal with a valid token, with or without a role.
#define TW_ROLE_ANY 0x80000000u

// The bit of a role's name ("cashier", "manager", "admin"; letter case counts); 0 when unknown.
unsigned tw_role_by_name(struct tw_str name);

// The name of one role bit; NULL when it is not exactly one known role.
const char *tw_role_name(unsigned role);

// The roles that a token's groups grant: a group has the role of its own name. Others grant
// nothing.
unsigned tw_policy_roles_of_groups(const struct tw_claims *claims);

// `roles` and every role they imply: {manager} → {manager, cashier}. What a client may be shown.
unsigned tw_policy_effective_roles(unsigned roles);

// May this principal pass where one of the roles in `required_roles_mask` is asked for? A mask of 0
// lets nobody pass. NULL is allowed and never passes.
TW_MUST_USE bool tw_policy_allows(const struct tw_principal *principal,
                                  unsigned required_roles_mask);

#endif

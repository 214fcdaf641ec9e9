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
#include "config/role.h"

// The roles that a token's groups grant, by `n` lines of auth.roles.groups; without lines a group
// has the role of its own name. Others grant nothing.
unsigned tw_policy_roles_of_groups(const struct tw_claims *claims,
                                   const struct tw_group_roles *lines, size_t n);

// `roles` and every role they imply: {manager} → {manager, cashier}. What a client may be shown.
unsigned tw_policy_effective_roles(unsigned roles);

// May this principal pass where one of the roles in `required_roles_mask` is asked for? A mask of 0
// lets nobody pass. NULL is allowed and never passes.
TW_MUST_USE bool tw_policy_allows(const struct tw_principal *principal,
                                  unsigned required_roles_mask);

#endif

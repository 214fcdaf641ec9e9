// SPDX-License-Identifier: Apache-2.0
// seccomp: what a worker may not ask of the kernel, whoever drives it.
//
// A list of what is refused, not of what is allowed: a call that nobody thought of, of a new libc
// or library, must not cost a sale. Refused are: other programs and processes, other users,
// namespaces and mounts, changes to files, memory that can be written and executed, new listening
// sockets, and those parts of the kernel that a server never needs (docs/operations.md). A refused
// call fails with EPERM; nobody is killed by it. The kernel's cache of calls that are always
// allowed makes the rest free of charge. Runs in: worker, once, before it does anything.

#ifndef TW_SECCOMP_H
#define TW_SECCOMP_H

#include "gateway/base.h"

enum tw_seccomp_mode {
    TW_SECCOMP_OFF,
    TW_SECCOMP_LOG,     // allowed, but the kernel's audit log tells
    TW_SECCOMP_ENFORCE, // refused, and the kernel's audit log tells
};

enum tw_seccomp_mode tw_seccomp_mode_of(const char *name);

// For this process and all its threads to come, for good; PR_SET_NO_NEW_PRIVS must be set. False
// with errno when the kernel cannot.
TW_MUST_USE bool tw_seccomp_install(enum tw_seccomp_mode mode);

#endif

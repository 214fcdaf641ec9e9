// SPDX-License-Identifier: Apache-2.0
//
// Sources: seccomp(2), libseccomp's manual, systemd's groups of system calls (@privileged, @mount,
// @keyring, @raw-io, @debug …). Names that this machine's kernel or libseccomp does not know are
// left out.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // CLONE_THREAD
#endif
#include "gateway/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

// The sanitizers' runtime looks for leaks from a process of its own, and runs a symbolizer.
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

static const char *const processes[] = {
    "execve", "execveat", "fork", "vfork", "ptrace",
};

static const char *const refused[] = {
    // other processes
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "move_pages",
    "migrate_pages",
    "personality",
    // other users
    "setuid",
    "setreuid",
    "setresuid",
    "setfsuid",
    "setgid",
    "setregid",
    "setresgid",
    "setfsgid",
    "setgroups",
    "capset",
    // the machine
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "vhangup",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "stime",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vm86",
    "vm86old",
    "nfsservctl",
    "lookup_dcookie",
    "uselib",
    "_sysctl",
    // namespaces and mounts
    "unshare",
    "setns",
    "chroot",
    "pivot_root",
    "mount",
    "umount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    // keys, and what is large, new and has had many holes
    "add_key",
    "request_key",
    "keyctl",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "fanotify_init",
    "name_to_handle_at",
    "open_by_handle_at",
    "memfd_create",
    "memfd_secret",
    "remap_file_pages",
    // changes to files
    "creat",
    "truncate",
    "mknod",
    "mknodat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "utime",
    "utimes",
    "utimensat",
    "futimesat",
    // more doors: those that are open came from the master
    "listen",
};

struct builder {
    scmp_filter_ctx filter;
    uint32_t action;
    bool good;
};

static void add(struct builder *builder, const char *name, unsigned n, struct scmp_arg_cmp a)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || number < 0) // not of this architecture
        return;
    builder->good &= seccomp_rule_add_array(builder->filter, builder->action, number, n, &a) == 0;
}

static void add_all(struct builder *builder, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add(builder, names[i], 0, (struct scmp_arg_cmp){0});
}

// Where all bits of `mask` that are in argument `i` are `value`.
static void add_masked(struct builder *builder, const char *name, unsigned i, uint64_t mask,
                       uint64_t value)
{
    add(builder, name, 1, SCMP_CMP(i, SCMP_CMP_MASKED_EQ, mask, value));
}

// To itself it may: abort() does.
static void add_signals(struct builder *builder)
{
    uint64_t self = (uint64_t)getpid();
    add(builder, "kill", 1, SCMP_CMP(0, SCMP_CMP_NE, self));
    add(builder, "tgkill", 1, SCMP_CMP(0, SCMP_CMP_NE, self));
}

// A thread it may make: the resolver does. The flags of clone3 stand in memory, where no filter can
// look; libc takes clone when there is no clone3.
static void add_clone(struct builder *builder)
{
    add_masked(builder, "clone", 0, CLONE_THREAD, 0);
    if (builder->action == SCMP_ACT_LOG)
        return;
    uint32_t before = builder->action;
    builder->action = SCMP_ACT_ERRNO(ENOSYS);
    add(builder, "clone3", 0, (struct scmp_arg_cmp){0});
    builder->action = before;
}

static void add_opening(struct builder *builder)
{
    static const struct {
        const char *name;
        unsigned flags; // which argument
    } calls[] = {{"open", 1}, {"openat", 2}};
    for (size_t i = 0; i < TW_COUNT(calls); i++) {
        add_masked(builder, calls[i].name, calls[i].flags, O_ACCMODE, O_WRONLY);
        add_masked(builder, calls[i].name, calls[i].flags, O_ACCMODE, O_RDWR);
        add_masked(builder, calls[i].name, calls[i].flags, O_CREAT, O_CREAT);
    }
    add(builder, "openat2", 0, (struct scmp_arg_cmp){0});
}

static void add_memory(struct builder *builder)
{
    add_masked(builder, "mmap", 2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC);
    add_masked(builder, "mprotect", 2, PROT_EXEC, PROT_EXEC);
    add_masked(builder, "pkey_mprotect", 2, PROT_EXEC, PROT_EXEC);
    add_masked(builder, "shmat", 2, SHM_EXEC, SHM_EXEC);
}

static void add_sockets(struct builder *builder)
{
    static const int kept[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    for (int family = 0; family <= AF_NETLINK; family++) {
        bool is_kept = false;
        for (size_t i = 0; i < TW_COUNT(kept); i++)
            is_kept |= kept[i] == family;
        if (!is_kept)
            add(builder, "socket", 1, SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)family));
    }
    add(builder, "socket", 1, SCMP_CMP(0, SCMP_CMP_GT, AF_NETLINK));
}

static void add_rules(struct builder *builder)
{
    if (!HAS_SANITIZER) {
        add_all(builder, processes, TW_COUNT(processes));
        add_clone(builder);
    }
    add_all(builder, refused, TW_COUNT(refused));
    add_signals(builder);
    add_opening(builder);
    add_memory(builder);
    add_sockets(builder);
    add(builder, "prlimit64", 1, SCMP_CMP(0, SCMP_CMP_NE, 0));
    add_masked(builder, "ioctl", 1, UINT32_MAX, TIOCSTI); // puts words into a terminal's mouth
    add_masked(builder, "ioctl", 1, UINT32_MAX, TIOCLINUX);
}

enum tw_seccomp_mode tw_seccomp_mode_of(const char *name)
{
    if (strcmp(name, "off") == 0)
        return TW_SECCOMP_OFF;
    return strcmp(name, "log") == 0 ? TW_SECCOMP_LOG : TW_SECCOMP_ENFORCE;
}

bool tw_seccomp_install(enum tw_seccomp_mode mode)
{
    struct builder builder = {
        .filter = mode == TW_SECCOMP_OFF ? NULL : seccomp_init(SCMP_ACT_ALLOW),
        .action = mode == TW_SECCOMP_LOG ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(EPERM),
        .good = true,
    };
    if (mode == TW_SECCOMP_OFF)
        return true;
    if (!builder.filter) {
        errno = ENOMEM;
        return false;
    }
    // Other architectures' calls (x32, i386) are refused, too, instead of killing. What a filter
    // costs by default on older kernels, a slower processor, is not its purpose. What is too old
    // for one of these does without it.
    (void)seccomp_attr_set(builder.filter, SCMP_FLTATR_ACT_BADARCH, builder.action);
    (void)seccomp_attr_set(builder.filter, SCMP_FLTATR_CTL_NNP, 0);
    (void)seccomp_attr_set(builder.filter, SCMP_FLTATR_CTL_LOG, 1);
    (void)seccomp_attr_set(builder.filter, SCMP_FLTATR_CTL_SSB, 1);
    (void)seccomp_attr_set(builder.filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    add_rules(&builder);
    int error = builder.good ? -seccomp_load(builder.filter) : EINVAL;
    seccomp_release(builder.filter);
    errno = error;
    return error == 0;
}

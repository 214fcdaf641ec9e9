// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // setresuid, pipe2
#endif
#include "gateway/account.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- names --------------------------------------------------------------------------------------

// Decimal, but not -1, which means "no change" to the kernel.
static bool is_number(const char *text, uint32_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *out = (uint32_t)value;
    return *end == '\0' && errno == 0 && value < UINT32_MAX;
}

static bool find_group(const char *name, gid_t *gid, char *err, size_t err_size)
{
    uint32_t number;
    const struct group *entry = getgrnam(name);
    if (entry) {
        *gid = entry->gr_gid;
        return true;
    }
    if (is_number(name, &number)) {
        *gid = number;
        return true;
    }
    snprintf(err, err_size,
             "group: there is no group \"%s\" here; create it (groupadd --system %s), or leave it "
             "empty for the user's own",
             name, name);
    return false;
}

static void find_groups_of(const char *name, struct tw_account *account)
{
    account->n_groups = TW_ACCOUNT_GROUPS_MAX;
    // Further ones are given up: fewer rights, never more.
    if (getgrouplist(name, account->gid, account->groups, &account->n_groups) < 0)
        account->n_groups = TW_ACCOUNT_GROUPS_MAX;
}

static bool find_user(const struct tw_config *config, struct tw_account *account, char *err,
                      size_t err_size)
{
    uint32_t number;
    const char *name = config->user;
    bool is_numeric = is_number(name, &number), has_group = config->group[0] != '\0';
    const struct passwd *entry = getpwnam(name);
    if (!entry && is_numeric)
        entry = getpwuid(number);
    if (!entry && !(is_numeric && has_group)) {
        snprintf(err, err_size,
                 is_numeric ? "user: nobody has the number %s here: name a `group` too"
                            : "user: there is no user \"%s\" here; create it (useradd --system "
                              "%s), or leave it empty to stay who starts the gateway",
                 name, name);
        return false;
    }
    account->uid = entry ? entry->pw_uid : number;
    account->gid = entry ? entry->pw_gid : 0;
    char *found = entry ? strdup(entry->pw_name) : NULL; // the next lookup overwrites it
    bool good = !has_group || find_group(config->group, &account->gid, err, err_size);
    if (good && found) {
        find_groups_of(found, account);
    } else {
        account->groups[0] = account->gid;
        account->n_groups = 1;
    }
    free(found);
    return good;
}

bool tw_account_find(const struct tw_config *config, struct tw_account *account, char *err,
                     size_t err_size)
{
    *account = (struct tw_account){.changes = false};
    if (config->user[0] == '\0') {
        if (config->group[0] == '\0')
            return true;
        snprintf(err, err_size, "group: it needs a `user`");
        return false;
    }
    if (!find_user(config, account, err, err_size))
        return false;
    account->changes = account->uid != geteuid() || account->gid != getegid();
    return true;
}

// ---- becoming -----------------------------------------------------------------------------------

static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    // A kernel without ambient capabilities has none to clear.
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, none) == 0;
}

// Groups first: afterwards there is no right to change them.
static bool change_ids(const struct tw_account *account)
{
    return setgroups((size_t)account->n_groups, account->groups) == 0 &&
           setresgid(account->gid, account->gid, account->gid) == 0 &&
           setresuid(account->uid, account->uid, account->uid) == 0;
}

bool tw_account_become(const struct tw_account *account)
{
    int dumpable = prctl(PR_GET_DUMPABLE);
    if (account && account->changes && !change_ids(account))
        return false;
    if (geteuid() != 0 && !drop_capabilities())
        return false;
    // The kernel took it away with the ids; a worker that hangs shall leave a core (FAULTS P2).
    if (dumpable == 1)
        (void)prctl(PR_SET_DUMPABLE, 1);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

// ---- trying it out ------------------------------------------------------------------------------

// What workers read by themselves. The rest (certificates, keys, lists) comes from the master.
#define FILES_MAX 2

struct verdict {
    int error; // 0: all is well
    int file;  // which of the files; -1: the account
};

static void files_of(const struct tw_config *config, const char *files[FILES_MAX],
                     const char *names[FILES_MAX])
{
    files[0] = config->db_password_file;
    names[0] = "db.password_file";
    files[1] = config->fleet_ca_file;
    names[1] = "fleet.ca_file";
}

static struct verdict try_out(const struct tw_account *account, const char *files[FILES_MAX])
{
    if (!tw_account_become(account))
        return (struct verdict){errno, -1};
    for (int i = 0; i < FILES_MAX; i++) {
        int fd = files[i][0] ? open(files[i], O_RDONLY | O_CLOEXEC) : -1;
        if (files[i][0] && fd < 0)
            return (struct verdict){errno, i};
        if (fd >= 0)
            close(fd);
    }
    return (struct verdict){0, -1};
}

static struct verdict ask_child(const struct tw_account *account, const char *files[FILES_MAX])
{
    struct verdict verdict = {EAGAIN, -1};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return (struct verdict){errno, -1};
    pid_t pid = fork();
    if (pid == 0) {
        verdict = try_out(account, files);
        _exit(write(ends[1], &verdict, sizeof(verdict)) == (ssize_t)sizeof(verdict) ? 0 : 1);
    }
    close(ends[1]);
    if (pid < 0)
        verdict.error = errno;
    else if (read(ends[0], &verdict, sizeof(verdict)) != (ssize_t)sizeof(verdict))
        verdict = (struct verdict){EAGAIN, -1};
    close(ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return verdict;
}

bool tw_account_check(const struct tw_config *config, char *err, size_t err_size)
{
    struct tw_account account;
    const char *files[FILES_MAX], *names[FILES_MAX];
    if (!tw_account_find(config, &account, err, err_size))
        return false;
    if (!account.changes)
        return true;
    files_of(config, files, names);
    struct verdict verdict = ask_child(&account, files);
    if (verdict.error == 0)
        return true;
    if (verdict.file >= 0)
        snprintf(err, err_size, "%s: \"%s\" must be readable by %s, as workers read it: %s",
                 names[verdict.file], files[verdict.file], config->user, strerror(verdict.error));
    else
        snprintf(err, err_size,
                 "user: cannot become \"%s\": %s; start as root, or leave `user` empty",
                 config->user, strerror(verdict.error));
    return false;
}

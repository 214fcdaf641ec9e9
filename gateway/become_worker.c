// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // close_range
#endif
#include "gateway/become_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/schedule.h"
#include "gateway/seccomp.h"

static void close_between(int first, int last)
{
    if (first > last || close_range((unsigned)first, (unsigned)last, 0) == 0)
        return;
    // A kernel before 5.9, or a sandbox that does not know the call.
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > 65536)
        limit = 65536;
    for (int fd = first; fd <= last && fd < limit; fd++)
        close(fd);
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void close_all_but(const struct tw_heritage *heritage)
{
    size_t n = heritage->n_listen_fds;
    int *keep = malloc((n + 2) * sizeof(keep[0]));
    if (!keep)
        abort();
    memcpy(keep, heritage->listen_fds, n * sizeof(keep[0]));
    keep[n++] = heritage->ipc_fd;
    if (heritage->log_fd >= 0)
        keep[n++] = heritage->log_fd;
    qsort(keep, n, sizeof(keep[0]), compare_ints);
    int next = STDERR_FILENO + 1;
    for (size_t i = 0; i < n; i++) {
        close_between(next, keep[i] - 1);
        next = keep[i] + 1 > next ? keep[i] + 1 : next;
    }
    close_between(next, INT32_MAX);
    free(keep);
}

// Handlers of the master must not run here: libevent's would write into the pipe by which the
// master learns of its own signals.
static void reset_signals(const sigset_t *mask)
{
    static const int handled[] = {SIGCHLD, SIGUSR1, SIGUSR2};
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < TW_COUNT(handled); i++)
        (void)signal(handled[i], SIG_DFL);
    for (size_t i = 0; i < TW_COUNT(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
}

// Gives up what it will never need. Without the account's rights it must not go on; a kernel
// without filters is no reason not to sell.
static bool confine(const struct tw_heritage *heritage)
{
    if (!tw_account_become(heritage->account)) {
        tw_log(TW_LEVEL_ERROR, "worker_failed", "cannot become \"%s\": %s", heritage->config->user,
               strerror(errno));
        return false;
    }
    if (!tw_seccomp_install(tw_seccomp_mode_of(heritage->config->seccomp)))
        tw_log(TW_LEVEL_WARN, "seccomp_failed", "no filter of system calls: %s", strerror(errno));
    return true;
}

_Noreturn void tw_become_worker(const struct tw_heritage *heritage, const struct tw_log_setup *log,
                                const sigset_t *signal_mask)
{
    char name[16];
    snprintf(name, sizeof(name), "tillway-w%u", heritage->worker_index);
    (void)prctl(PR_SET_NAME, name);
    tw_schedule_as_before();
    reset_signals(signal_mask);
    close_all_but(heritage);
    tw_log_open("worker", (int)heritage->worker_index, log);
    if (!confine(heritage))
        exit(1);
    exit(tw_worker_run(heritage));
}

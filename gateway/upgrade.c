// SPDX-License-Identifier: Apache-2.0
//
// The variable: words separated by blanks. Version, control, need; the admin port's descriptor,
// address and port; how many listeners and rows; address and port of each listener; the
// descriptors row by row.
#include "gateway/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/schedule.h"

#define VARIABLE  "TILLWAY_UPGRADE"
#define VERSION   1
#define ROWS_MAX  4096
#define EXIT_EXEC 127 // as a shell says it

// ---- the old one --------------------------------------------------------------------------------

static char *describe(const struct tw_inheritance *give)
{
    const struct tw_sockets *sockets = &give->sockets;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "%d %d %u %d %s %u %zu %u", VERSION, give->control_fd, give->need, give->admin_fd,
            give->admin.address, give->admin.port, sockets->n_listens, sockets->n_rows);
    for (size_t i = 0; i < sockets->n_listens; i++)
        fprintf(out, " %s %u", sockets->names[i].address, sockets->names[i].port);
    for (size_t i = 0; i < sockets->n_rows * sockets->n_listens; i++)
        fprintf(out, " %d", sockets->fds[i]);
    bool done = fclose(out) == 0;
    if (done)
        return text;
    free(text);
    return NULL;
}

static void set_close_on_exec(const struct tw_inheritance *of, int flag)
{
    (void)fcntl(of->control_fd, F_SETFD, flag);
    (void)fcntl(of->admin_fd, F_SETFD, flag);
    for (size_t i = 0; i < of->sockets.n_rows * of->sockets.n_listens; i++)
        (void)fcntl(of->sockets.fds[i], F_SETFD, flag);
}

// The child: never returns.
static _Noreturn void become(char *const *argv, const struct tw_inheritance *give, const char *text,
                             const sigset_t *mask)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2};
    set_close_on_exec(give, 0);
    tw_schedule_as_before();
    for (size_t i = 0; i < TW_COUNT(handled); i++)
        (void)signal(handled[i], SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    if (setenv(VARIABLE, text, 1) == 0)
        (void)execvp(argv[0], argv);
    fprintf(stderr, "tillway: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(EXIT_EXEC);
}

pid_t tw_upgrade_start(char *const *argv, const struct tw_inheritance *give)
{
    sigset_t all, before;
    char *text = describe(give);
    if (!text) {
        errno = ENOMEM;
        return -1;
    }
    sigfillset(&all);
    fflush(NULL);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, give, text, &before);
    int error = errno;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    free(text);
    errno = error;
    return pid;
}

// ---- the new one --------------------------------------------------------------------------------

static bool take_number(const char **text, long min, long max, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(*text, &end, 10);
    bool good = end != *text && errno == 0 && *out >= min && *out <= max;
    *text = end;
    return good;
}

static bool take_int(const char **text, int max, int *out)
{
    long value;
    bool good = take_number(text, 0, max, &value);
    *out = good ? (int)value : -1;
    return good;
}

static bool take_name(const char **text, struct tw_socket_name *name)
{
    long port;
    *text += strspn(*text, " ");
    size_t n = strcspn(*text, " ");
    if (n == 0 || n >= sizeof(name->address))
        return false;
    memcpy(name->address, *text, n);
    name->address[n] = '\0';
    *text += n;
    if (!take_number(text, 0, UINT16_MAX, &port))
        return false;
    name->port = (uint16_t)port;
    return true;
}

static bool take_sockets(const char **text, struct tw_sockets *sockets)
{
    int n_listens, n_rows;
    if (!take_int(text, TW_CONFIG_LISTEN_MAX, &n_listens) || !take_int(text, ROWS_MAX, &n_rows))
        return false;
    sockets->n_listens = (size_t)n_listens;
    sockets->n_rows = (unsigned)n_rows;
    for (size_t i = 0; i < sockets->n_listens; i++)
        if (!take_name(text, &sockets->names[i]))
            return false;
    size_t n = sockets->n_rows * sockets->n_listens;
    sockets->fds = calloc(n + 1, sizeof(sockets->fds[0]));
    for (size_t i = 0; sockets->fds && i < n; i++)
        if (!take_int(text, INT_MAX, &sockets->fds[i]))
            return false;
    return sockets->fds != NULL;
}

static bool parse(const char *text, struct tw_inheritance *out)
{
    int version, need;
    if (!take_int(&text, INT_MAX, &version) || version != VERSION ||
        !take_int(&text, INT_MAX, &out->control_fd) || !take_int(&text, INT_MAX, &need) ||
        !take_int(&text, INT_MAX, &out->admin_fd) || !take_name(&text, &out->admin))
        return false;
    out->need = (uint32_t)need;
    return take_sockets(&text, &out->sockets);
}

bool tw_upgrade_inherit(struct tw_inheritance *out)
{
    const char *text = getenv(VARIABLE);
    *out = (struct tw_inheritance){.control_fd = -1, .admin_fd = -1};
    bool good = text && parse(text, out);
    (void)unsetenv(VARIABLE);
    if (good) {
        set_close_on_exec(out, FD_CLOEXEC);
        return true;
    }
    free(out->sockets.fds);
    *out = (struct tw_inheritance){.control_fd = -1, .admin_fd = -1};
    return false;
}

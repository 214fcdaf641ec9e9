// SPDX-License-Identifier: Apache-2.0
#include "gateway/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAGS (O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

// For reading as well, if that is allowed: what a full disk has torn can then be found (log.c), and
// a FIFO needs nobody at its other end.
static int open_either(const char *path, int flags)
{
    int fd = open(path, O_RDWR | flags, 0640);
    return fd >= 0 || (errno != EACCES && errno != EPERM) ? fd : open(path, O_WRONLY | flags, 0640);
}

static int fail(const char *path, char *err, size_t err_size)
{
    (void)snprintf(err, err_size, "log.file: cannot open \"%s\": %s", path, strerror(errno));
    return -1;
}

int tw_log_file_open(const char *path, char *err, size_t err_size)
{
    int fd = open_either(path, FLAGS | O_CREAT);
    return fd >= 0 ? fd : fail(path, err, err_size);
}

// Whether a file could be made beside it.
static bool has_place(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = strdup(path);
    if (!directory)
        return false;
    directory[slash ? slash - path : 0] = '\0';
    bool has = access(!slash ? "." : slash == path ? "/" : directory, W_OK | X_OK) == 0;
    free(directory);
    return has;
}

bool tw_log_file_check(const struct tw_config *config, char *err, size_t err_size)
{
    const char *path = config->log_file;
    if (path[0] == '\0')
        return true;
    int fd = open_either(path, FLAGS);
    if (fd >= 0)
        close(fd);
    else if (errno != ENOENT || !has_place(path))
        return fail(path, err, err_size) >= 0;
    return true;
}

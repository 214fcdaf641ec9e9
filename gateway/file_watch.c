// SPDX-License-Identifier: Apache-2.0
#include "gateway/file_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/shared.h"

#define INTERVAL_S  1
#define YOUNG_S     2  // a change this short ago may have been followed by one that looks alike
#define SAY_AGAIN_S 60 // the same reason is not logged more often than this
#define REASON_MAX  256

// What a file looked like; two that differ mean that it must be read.
struct stamp {
    int error; // errno, and nothing else is known
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct file {
    struct tw_watched_file is;
    struct stamp stamp;     // of the last reading
    bool young;             // it had changed just before that
    char fault[REASON_MAX]; // why it could not be used; "" when it could
    uint64_t said_us;       // when that was logged
};

struct tw_file_watch {
    struct event *timer;
    _Atomic uint64_t *refused;
    size_t n;
    struct file files[];
};

// ---- reading ------------------------------------------------------------------------------------

static struct stamp stamp_of(const struct stat *status)
{
    return (struct stamp){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .modified = status->st_mtim,
        .changed = status->st_ctim,
    };
}

// Up to `max_bytes` + 1 of them; false with errno.
static bool read_all(int fd, char *buffer, size_t max_bytes, size_t *n)
{
    *n = 0;
    while (*n <= max_bytes) {
        ssize_t got = read(fd, buffer + *n, max_bytes + 1 - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        *n += (size_t)got;
    }
    return true;
}

static char *read_open(int fd, size_t max_bytes, size_t *n, char *err, size_t err_size)
{
    char *text = malloc(max_bytes + 1);
    if (text && read_all(fd, text, max_bytes, n) && *n <= max_bytes)
        return text;
    if (text && *n > max_bytes)
        snprintf(err, err_size, "it is larger than %zu KiB", max_bytes / 1024);
    else
        snprintf(err, err_size, "%s", strerror(errno));
    free(text);
    return NULL;
}

// The text as from tw_file_read, with what the file looked like before it was read. O_NONBLOCK is
// for FIFOs and devices.
static char *read_stamped(const char *path, size_t max_bytes, size_t *n, struct stamp *stamp,
                          char *err, size_t err_size)
{
    struct stat status;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) != 0) {
        *stamp = (struct stamp){.error = errno};
        snprintf(err, err_size, "%s", strerror(errno));
    } else {
        *stamp = stamp_of(&status);
        if (S_ISREG(status.st_mode))
            text = read_open(fd, max_bytes, n, err, err_size);
        else
            snprintf(err, err_size, "it is not a regular file");
    }
    if (fd >= 0)
        close(fd);
    return text;
}

char *tw_file_read(const char *path, size_t max_bytes, size_t *n, char *err, size_t err_size)
{
    struct stamp ignored;
    return read_stamped(path, max_bytes, n, &ignored, err, err_size);
}

// ---- watching -----------------------------------------------------------------------------------

static bool is_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
    return a->error == b->error && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && is_time(a->modified, b->modified) &&
           is_time(a->changed, b->changed);
}

static bool has_changed(const struct file *file)
{
    struct stat status;
    struct stamp now = {0};
    if (stat(file->is.path, &status) == 0)
        now = stamp_of(&status);
    else
        now.error = errno;
    return !is_same(&now, &file->stamp);
}

// Reads it and puts it in force; false with a reason in `err`.
static bool take(struct file *file, char *err, size_t err_size)
{
    const struct tw_watched_file *is = &file->is;
    int64_t now_s = tw_unix_s();
    size_t n;
    char *text = read_stamped(is->path, is->max_bytes, &n, &file->stamp, err, err_size);
    int64_t changed_s = file->stamp.changed.tv_sec;
    bool done = text && is->take(is->arg, (struct tw_str){text, n}, err, err_size);
    file->young = file->stamp.error == 0 && changed_s <= now_s && now_s - changed_s < YOUNG_S;
    free(text);
    return done;
}

static void say(struct tw_file_watch *watch, struct file *file, const char *fault)
{
    uint64_t now_us = tw_now_us();
    bool was_bad = file->fault[0] != '\0', is_bad = *fault != '\0';
    bool again = is_bad && strcmp(fault, file->fault) == 0 &&
                 now_us - file->said_us < SAY_AGAIN_S * UINT64_C(1000000);
    if (again || (!is_bad && !was_bad))
        return;
    snprintf(file->fault, sizeof(file->fault), "%s", fault);
    file->said_us = now_us;
    if (!is_bad) {
        tw_log(TW_LEVEL_INFO, "file_usable", "\"%s\" (%s) can be used again", file->is.path,
               file->is.name);
        return;
    }
    tw_cell_add(watch->refused, 1);
    tw_log(TW_LEVEL_ERROR, "file_refused", "cannot use \"%s\" (%s): %s; the previous content stays",
           file->is.path, file->is.name, fault);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tw_file_watch *watch = arg;
    for (size_t i = 0; i < watch->n; i++) {
        struct file *file = &watch->files[i];
        char fault[REASON_MAX] = "";
        if (!file->young && !has_changed(file))
            continue;
        bool done = take(file, fault, sizeof(fault));
        say(watch, file, done ? "" : fault);
    }
}

static bool take_all(struct tw_file_watch *watch, char *err, size_t err_size)
{
    for (size_t i = 0; i < watch->n; i++) {
        const struct tw_watched_file *is = &watch->files[i].is;
        char fault[REASON_MAX] = "";
        if (!take(&watch->files[i], fault, sizeof(fault))) {
            snprintf(err, err_size, "cannot use \"%s\" (%s): %s", is->path, is->name, fault);
            return false;
        }
    }
    return true;
}

struct tw_file_watch *tw_file_watch_start(struct event_base *base,
                                          const struct tw_watched_file *files, size_t n,
                                          _Atomic uint64_t *refused, char *err, size_t err_size)
{
    const struct timeval interval = {.tv_sec = INTERVAL_S};
    struct tw_file_watch *watch = calloc(1, sizeof(*watch) + n * sizeof(watch->files[0]));
    snprintf(err, err_size, "cannot watch files: out of memory");
    if (!watch)
        return NULL;
    watch->refused = refused;
    watch->n = n;
    for (size_t i = 0; i < n; i++)
        watch->files[i].is = files[i];
    watch->timer = event_new(base, -1, EV_PERSIST, on_tick, watch);
    if (watch->timer && (n == 0 || event_add(watch->timer, &interval) == 0) &&
        take_all(watch, err, err_size))
        return watch;
    tw_file_watch_free(watch);
    return NULL;
}

void tw_file_watch_free(struct tw_file_watch *watch)
{
    if (watch && watch->timer)
        event_free(watch->timer);
    free(watch);
}

// SPDX-License-Identifier: Apache-2.0
// file_watch: reads small files again when they change on disk.
//
// Looks once a second at what the path leads to (so a symbolic link that Kubernetes swaps counts)
// and reads it when device, inode, size or times differ, once more when it had changed just before,
// as clocks of file systems are coarse. A file that cannot be read or that is refused changes
// nothing: one line in the log, and it is tried again when it changes again. Whoever writes such a
// file should rename it into place: half a file may look like a whole one for a second.
// Not for: large files, directories, what a file means. Never blocks on a FIFO or a device. Runs
// in: master, on libevent; tw_file_read also on the command line.

#ifndef TW_FILE_WATCH_H
#define TW_FILE_WATCH_H

#include <stdatomic.h>

#include "gateway/base.h"

struct event_base;
struct tw_file_watch;

// Judges a text and puts it in force; false with a reason in `err`. It must not end the watch.
typedef bool tw_file_take(void *arg, struct tw_str text, char *err, size_t err_size);

struct tw_watched_file {
    const char *path;
    const char *name; // of the option that names it, for the log
    size_t max_bytes;
    tw_file_take *take;
    void *arg;
};

// Reads all files at once and then watches them. `files` is copied, what it points to is borrowed.
// `refused` counts the log lines about files that could not be used. NULL with one line in `err`
// when one of them cannot be used now.
TW_MUST_USE struct tw_file_watch *tw_file_watch_start(struct event_base *base,
                                                      const struct tw_watched_file *files, size_t n,
                                                      _Atomic uint64_t *refused, char *err,
                                                      size_t err_size);

// NULL is fine.
void tw_file_watch_free(struct tw_file_watch *watch);

// A regular file's whole text of at most `max_bytes`, to be freed; NULL with a reason in `err`.
TW_MUST_USE char *tw_file_read(const char *path, size_t max_bytes, size_t *n, char *err,
                               size_t err_size);

#endif

// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // prlimit
#endif

#include "gateway/process_stats.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

// Reads the first line of /proc/PID/name; false when it cannot be read.
static bool read_line(pid_t pid, const char *name, char *out, int size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool got = fgets(out, size, file) != NULL;
    (void)fclose(file);
    return got;
}

// Two decimal numbers with a space between; false when the text begins otherwise.
static bool two_numbers(const char *text, uint64_t out[2])
{
    char *rest;
    out[0] = strtoull(text, &rest, 10);
    if (rest == text || *rest != ' ')
        return false;
    text = rest;
    out[1] = strtoull(text, &rest, 10);
    return rest > text;
}

static bool read_memory(pid_t pid, struct tw_process_stats *stats)
{
    char line[256];
    uint64_t pages[2], page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!read_line(pid, "statm", line, sizeof(line)) || !two_numbers(line, pages))
        return false;
    stats->virtual_bytes = pages[0] * page_bytes;
    stats->resident_bytes = pages[1] * page_bytes;
    return true;
}

// Fields 14 and 15 are user and system time. The name in the second field may hold anything.
static bool read_cpu(pid_t pid, struct tw_process_stats *stats)
{
    char line[1024];
    uint64_t ticks[2];
    const char *at = read_line(pid, "stat", line, sizeof(line)) ? strrchr(line, ')') : NULL;
    for (unsigned field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (!at || !two_numbers(at + 1, ticks))
        return false;
    stats->cpu_us = (ticks[0] + ticks[1]) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    return true;
}

// Not every master may: a worker of another user asks for CAP_SYS_PTRACE.
static void read_fds(pid_t pid, struct tw_process_stats *stats)
{
    char path[64];
    struct rlimit limit;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));)
        stats->open_fds += entry->d_name[0] != '.';
    (void)closedir(dir);
    if (pid == getpid())
        stats->open_fds--; // the directory's own
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0)
        stats->max_fds = (uint64_t)limit.rlim_cur;
}

struct tw_process_stats tw_process_read_brief(pid_t pid)
{
    struct tw_process_stats stats = {0};
    stats.is_known = read_memory(pid, &stats) && read_cpu(pid, &stats);
    return stats;
}

struct tw_process_stats tw_process_read(pid_t pid)
{
    struct tw_process_stats stats = {0};
    stats.is_known = read_memory(pid, &stats) && read_cpu(pid, &stats);
    if (stats.is_known)
        read_fds(pid, &stats);
    return stats;
}

// ---- watch --------------------------------------------------------------------------------------

struct slot {
    pid_t pid;
    uint64_t read_us;
    struct tw_process_stats stats;
};

struct tw_process_watch {
    unsigned n;
    struct slot slots[];
};

struct tw_process_watch *tw_process_watch_new(unsigned n)
{
    struct tw_process_watch *watch = calloc(1, sizeof(*watch) + n * sizeof(watch->slots[0]));
    if (watch)
        watch->n = n;
    return watch;
}

const struct tw_process_stats *tw_process_look(struct tw_process_watch *watch, unsigned slot,
                                               pid_t pid, uint64_t now_us)
{
    struct slot *of = &watch->slots[slot];
    if (of->pid != pid || now_us - of->read_us >= TW_PROCESS_READ_US)
        *of = (struct slot){pid, now_us, tw_process_read(pid)};
    return &of->stats;
}

void tw_process_watch_free(struct tw_process_watch *watch)
{
    free(watch);
}

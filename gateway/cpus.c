// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // CPU_ALLOC and its kin
#endif
#include "gateway/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned affinity_cpus(void)
{
    for (int possible = 1024; possible <= 1 << 16; possible *= 2) {
        cpu_set_t *set = CPU_ALLOC(possible);
        if (!set)
            return 1;
        size_t size = CPU_ALLOC_SIZE(possible);
        CPU_ZERO_S(size, set);
        bool known = sched_getaffinity(0, size, set) == 0;
        int n = known ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (known)
            return n > 0 ? (unsigned)n : 1;
    }
    return 1;
}

static bool read_line(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool found = fgets(out, (int)size, file) != NULL;
    fclose(file);
    return found;
}

// Microseconds per period to whole CPUs; 0 stands for "no limit".
static unsigned cpus_of(long quota_us, long period_us)
{
    if (quota_us <= 0 || period_us <= 0)
        return 0;
    long cpus = quota_us / period_us + (quota_us % period_us ? 1 : 0);
    return cpus < 1 ? 1 : (unsigned)(cpus > 65536 ? 65536 : cpus);
}

static unsigned quota_v2(const char *directory)
{
    char path[PATH_MAX], line[128];
    snprintf(path, sizeof(path), "%s/cpu.max", directory);
    if (!read_line(path, line, sizeof(line)))
        return 0;
    char *end;
    long quota_us = strtol(line, &end, 10); // "max 100000" yields 0: no limit
    return cpus_of(quota_us, strtol(end, NULL, 10));
}

static unsigned quota_v1(const char *directory)
{
    char path[PATH_MAX], quota[64], period[64];
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", directory);
    if (!read_line(path, quota, sizeof(quota)))
        return 0;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", directory);
    if (!read_line(path, period, sizeof(period)))
        return 0;
    return cpus_of(strtol(quota, NULL, 10), strtol(period, NULL, 10)); // -1: no limit
}

static unsigned least(unsigned a, unsigned b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

// The smallest quota from the group `path` up to the root. In a container the path may be the
// host's and not be there: then only the root counts, which is the container's own group.
static unsigned quota_upwards(const char *root, const char *path,
                              unsigned (*quota)(const char *directory))
{
    char directory[PATH_MAX];
    unsigned cpus = quota(root);
    int n = snprintf(directory, sizeof(directory), "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof(directory))
        return cpus;
    for (size_t root_n = strlen(root); strlen(directory) > root_n;) {
        cpus = least(cpus, quota(directory));
        *strrchr(directory, '/') = '\0';
    }
    return cpus;
}

// Whether the comma separated list names the controller "cpu".
static bool names_cpu(const char *controllers)
{
    for (const char *name = controllers; name; name = strchr(name, ',')) {
        name += *name == ',' ? 1 : 0;
        if (strcspn(name, ",") == 3 && memcmp(name, "cpu", 3) == 0)
            return true;
    }
    return false;
}

// One line of the membership: "0::/group" (version 2) or "4:cpu,cpuacct:/group" (version 1).
static unsigned quota_of_line(char *line, const char *root)
{
    char v1[PATH_MAX];
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return 0;
    *path++ = '\0';
    controllers++;
    if (*controllers == '\0')
        return quota_upwards(root, path, quota_v2);
    if (!names_cpu(controllers))
        return 0;
    snprintf(v1, sizeof(v1), "%s/cpu", root);
    return quota_upwards(v1, path, quota_v1);
}

unsigned tw_cpus_quota(const char *membership, const char *root)
{
    char line[PATH_MAX];
    unsigned cpus = 0;
    FILE *file = fopen(membership, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        cpus = least(cpus, quota_of_line(line, root));
    fclose(file);
    return cpus;
}

unsigned tw_cpus_available(void)
{
    unsigned quota = tw_cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    unsigned cpus = affinity_cpus();
    return quota != 0 && quota < cpus ? quota : cpus;
}

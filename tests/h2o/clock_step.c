// SPDX-License-Identifier: Apache-2.0
//
// clock_step: for LD_PRELOAD. The time of day is an hour later as soon as the
// file that $CLOCK_STEPPED names exists; with $CLOCK_YOUNG the monotonic clock
// begins a second before the process, as if the machine had just been started.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    static int (*real)(struct timeval *, void *);
    const char *stepped = getenv("CLOCK_STEPPED");

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "gettimeofday");
    int ret = real(tv, zone);
    if (stepped != NULL && access(stepped, F_OK) == 0)
        tv->tv_sec += 3600;
    return ret;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    static int (*real)(clockid_t, struct timespec *);
    static time_t began;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int ret = real(clock, ts);
    if (clock == CLOCK_MONOTONIC && getenv("CLOCK_YOUNG") != NULL) {
        if (began == 0)
            began = ts->tv_sec - 1;
        ts->tv_sec -= began;
    }
    return ret;
}

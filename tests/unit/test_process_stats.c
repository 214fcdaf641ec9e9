// SPDX-License-Identifier: Apache-2.0
// process_stats: this process is what it knows of itself; a watch does not read it all the time.
#include "tests/unit/test_kit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/process_stats.h"

static void test_this_process(void **state)
{
    (void)state;
    struct rlimit limit;
    struct tw_process_stats before = tw_process_read(getpid());
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct tw_process_stats after = tw_process_read(getpid());
    assert_true(fd >= 0 && before.is_known && after.is_known);
    assert_int_equal(after.open_fds, before.open_fds + 1);
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(after.max_fds, limit.rlim_cur);
    assert_true(after.resident_bytes > 4096 && after.virtual_bytes >= after.resident_bytes);
    clock_t until = clock() + CLOCKS_PER_SEC / 10;
    while (clock() < until)
        continue;
    assert_in_range(tw_process_read(getpid()).cpu_us - before.cpu_us, 50000, 60000000);
}

static void test_who_has_gone_is_not_known(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(tw_process_read(pid).is_known);
}

static void test_a_watch_reads_once_a_second_and_each_process_anew(void **state)
{
    (void)state;
    struct tw_process_watch *watch = tw_process_watch_new(2);
    assert_non_null(watch);
    uint64_t fds = tw_process_look(watch, 1, getpid(), 5000000)->open_fds;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(tw_process_look(watch, 1, getpid(), 5999999)->open_fds, fds);
    assert_int_equal(tw_process_look(watch, 1, getpid(), 6000000)->open_fds, fds + 1);
    close(fd);
    assert_true(tw_process_look(watch, 1, getppid(), 6000001)->is_known);
    assert_int_equal(tw_process_look(watch, 1, getpid(), 6000002)->open_fds, fds);
    tw_process_watch_free(watch);
    tw_process_watch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_this_process),
        cmocka_unit_test(test_who_has_gone_is_not_known),
        cmocka_unit_test(test_a_watch_reads_once_a_second_and_each_process_anew),
    };
    return cmocka_run_group_tests_name("process_stats", tests, NULL, NULL);
}

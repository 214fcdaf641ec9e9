// SPDX-License-Identifier: Apache-2.0
// cpus: the control groups' quota, of both versions, against files that look like the kernel's.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "gateway/cpus.h"

static char root[] = "/tmp/tillway-cpus-XXXXXX";

static const char *in_root(const char *path)
{
    static char full[256];
    snprintf(full, sizeof(full), "%s%s", root, path);
    return full;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(in_root(path), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static unsigned quota(const char *membership)
{
    char path[256];
    put("/membership", membership);
    snprintf(path, sizeof(path), "%s", in_root("/membership"));
    return tw_cpus_quota(path, root);
}

static int make_tree(void **state)
{
    static const char *const directories[] = {"/pod", "/pod/box", "/cpu", "/cpu/pod"};
    (void)state;
    if (!mkdtemp(root))
        return -1;
    for (size_t i = 0; i < TW_COUNT(directories); i++)
        if (mkdir(in_root(directories[i]), 0700) != 0)
            return -1;
    put("/pod/cpu.max", "250000 100000\n");
    put("/pod/box/cpu.max", "max 100000\n");
    put("/cpu/cpu.cfs_quota_us", "-1\n");
    put("/cpu/cpu.cfs_period_us", "100000\n");
    put("/cpu/pod/cpu.cfs_quota_us", "150000\n");
    put("/cpu/pod/cpu.cfs_period_us", "100000\n");
    return 0;
}

static int remove_tree(void **state)
{
    static const char *const paths[] = {
        "/membership",
        "/pod/cpu.max",
        "/pod/box/cpu.max",
        "/cpu/cpu.cfs_quota_us",
        "/cpu/cpu.cfs_period_us",
        "/cpu/pod/cpu.cfs_quota_us",
        "/cpu/pod/cpu.cfs_period_us",
        "/pod/box",
        "/pod",
        "/cpu/pod",
        "/cpu",
        "",
    };
    (void)state;
    for (size_t i = 0; i < TW_COUNT(paths); i++)
        if (remove(in_root(paths[i])) != 0)
            return -1;
    return 0;
}

static void version_2_counts_up_to_the_root_and_rounds_up(void **state)
{
    (void)state;
    assert_int_equal(quota("0::/pod\n"), 3);
    assert_int_equal(quota("0::/pod/box\n"), 3);
    assert_int_equal(quota("0::/\n"), 0);
}

static void version_1_is_read_by_controller(void **state)
{
    (void)state;
    assert_int_equal(quota("3:cpuacct,cpu:/pod\n1:name=systemd:/pod\n"), 2);
    assert_int_equal(quota("3:cpuset:/pod\n"), 0);
    assert_int_equal(quota("3:cpu:/\n"), 0);
}

static void the_smaller_of_both_counts(void **state)
{
    (void)state;
    assert_int_equal(quota("4:cpu:/pod\n0::/pod\n"), 2);
}

static void what_cannot_be_read_does_not_limit(void **state)
{
    (void)state;
    assert_int_equal(quota("0::/elsewhere/deep\n"), 0);
    assert_int_equal(quota("nonsense\n:::\n0::relative\n"), 0);
    assert_int_equal(tw_cpus_quota("/nonexistent", root), 0);
}

static void there_is_at_least_one(void **state)
{
    (void)state;
    assert_true(tw_cpus_available() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_counts_up_to_the_root_and_rounds_up),
        cmocka_unit_test(version_1_is_read_by_controller),
        cmocka_unit_test(the_smaller_of_both_counts),
        cmocka_unit_test(what_cannot_be_read_does_not_limit),
        cmocka_unit_test(there_is_at_least_one),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}

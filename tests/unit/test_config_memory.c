// SPDX-License-Identifier: Apache-2.0
// test_config_memory: every single allocation of a load fails once; the load must say so, not die.
//
// A reload runs in the master while workers serve, so want of memory may cost the reload only.
// Replaces malloc and its kin by ones that count (glibc); under a sanitizer, which needs its own,
// the program only loads once. Blocks are counted as well: a failed load must leave none behind.

#include "test_config_kit.h"

#include <errno.h>

#if defined(__SANITIZE_ADDRESS__)
#define COUNTING 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define COUNTING 0
#endif
#endif
#ifndef COUNTING
#define COUNTING 1
#endif

static long countdown; // > 0: that many more calls, the last of which fails
static bool failed;
static long live_blocks;

#if COUNTING

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static bool fails_now(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *block)
{
    live_blocks += block != NULL;
    return block;
}

void *malloc(size_t n)
{
    return fails_now() ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    if (fails_now())
        return NULL;
    return p == NULL ? counted(__libc_malloc(n)) : __libc_realloc(p, n);
}

void free(void *p)
{
    live_blocks -= p != NULL;
    __libc_free(p);
}

#endif

static void nth_allocation_fails(void **state)
{
    (void)state;
    const char *paths[] = {"a.yaml", "b.yaml"};
    write_file("a.yaml", "listen: [{address: 127.0.0.1, port: 1}, {port: 2}]\n"
                         "auth: {issuers: [{issuer: \"https://a\", audience: [x, y]}]}\n"
                         "db: {url: \"postgresql:///pos\"}\nlog: {level: warn}\n");
    write_file("b.yaml", "listen: [{address: \"::\", port: 3}]\n");
    write_file("secret", "postgresql:///other\n");
    unsetenv("TILLWAY_DB_URL");
    setenv("TILLWAY_DB_URL_FILE", "secret", 1);
    long n = 0;
    struct tw_config *config = NULL;
    while (config == NULL) {
        countdown = ++n;
        failed = false;
        long before = live_blocks;
        config = tw_config_load(paths, 2, err, sizeof err);
        bool told = countdown == 0;
        countdown = 0;
        assert_true(config != NULL || live_blocks == before);
        assert_true(told == failed || !COUNTING);
        if (config == NULL && strstr(err, "emory") == NULL)
            fail_msg("allocation %ld: %s", n, err);
        assert_true(config == NULL || !failed); // a snapshot is never made of half the values
    }
    assert_string_equal(err, "");
    assert_true(n > 100 || !COUNTING);
    tw_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(nth_allocation_fails),
    };
    return cmocka_run_group_tests(tests, enter_work_directory, leave_work_directory);
}

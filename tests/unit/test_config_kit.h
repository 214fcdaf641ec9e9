// SPDX-License-Identifier: Apache-2.0
// test_config_kit: loading small texts and judging the answer; shared by the test_config programs.
//
// Each program (cmocka) links config/*.c, gateway/base.c and libyaml, and is started in the root of
// the tree. It works in a directory of its own under /tmp. Each test begins with an environment
// that lacks nothing but holds no other TILLWAY_ variable, so that a one-line file is a whole
// configuration and the lines in errors are the test's own.

#ifndef TW_TEST_CONFIG_KIT_H
#define TW_TEST_CONFIG_KIT_H

#include "config/config.h"
#include "config/internal.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ISSUERS "[{issuer: \"https://id.example.com\", audience: [till]}]"
#define KIT     static __attribute__((unused))

extern char **environ;

static char sample_path[PATH_MAX];
static char work_directory[] = "/tmp/tillway-test-config-XXXXXX";
static char err[8192];

KIT void clear_environment(void)
{
    for (char **entry = environ; *entry != NULL;) {
        char name[128];
        if (strncmp(*entry, "TILLWAY_", 8) != 0) {
            entry++;
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*entry, "="), *entry);
        unsetenv(name);
        entry = environ;
    }
}

KIT int fresh_environment(void **state)
{
    (void)state;
    clear_environment();
    setenv("TILLWAY_DB_URL", "postgresql:///pos", 1);
    setenv("TILLWAY_AUTH_ISSUERS", ISSUERS, 1);
    return 0;
}

KIT void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

KIT struct tw_config *load_files(size_t n)
{
    static const char *const names[] = {"a.yaml", "b.yaml", "c.yaml"};
    return tw_config_load(names, n, err, sizeof err);
}

// A snapshot that must load.
KIT struct tw_config *load_ok(const char *yaml)
{
    write_file("a.yaml", yaml);
    struct tw_config *config = load_files(1);
    if (config == NULL)
        fail_msg("refused: %s\n%s", yaml, err);
    assert_string_equal(err, "");
    return config;
}

// The whole error text must be `expected`.
KIT void refused(const char *yaml, const char *expected)
{
    write_file("a.yaml", yaml);
    struct tw_config *config = load_files(1);
    if (config != NULL)
        fail_msg("accepted: %s", yaml);
    assert_string_equal(err, expected);
}

KIT void refused_with(const char *yaml, const char *part)
{
    write_file("a.yaml", yaml);
    struct tw_config *config = load_files(1);
    if (config != NULL)
        fail_msg("accepted: %s", yaml);
    if (strstr(err, part) == NULL)
        fail_msg("\"%s\" not in: %s", part, err);
}

KIT struct tw_config *load_env(const char *name, const char *value)
{
    setenv(name, value, 1);
    struct tw_config *config = tw_config_load(NULL, 0, err, sizeof err);
    unsetenv(name);
    return config;
}

KIT char *printed(const struct tw_config *config)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    tw_config_print(config, out);
    fclose(out);
    return text;
}

// Group set-up and tear-down: a directory of our own, and the sample's place.
KIT int enter_work_directory(void **state)
{
    (void)state;
    if (realpath("config/tillway.yaml", sample_path) == NULL) {
        fprintf(stderr, "start this program in the root of the tree\n");
        return -1;
    }
    return mkdtemp(work_directory) != NULL ? chdir(work_directory) : -1;
}

KIT int leave_work_directory(void **state)
{
    static const char *const names[] = {"a.yaml", "b.yaml", "c.yaml", "secret", "cert", "keys"};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(names); i++)
        unlink(names[i]);
    return chdir("/") == 0 ? rmdir(work_directory) : -1;
}

#define CONFIG_TEST(name) cmocka_unit_test_setup(name, fresh_environment)

#endif

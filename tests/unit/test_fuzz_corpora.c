// SPDX-License-Identifier: Apache-2.0
// What the fuzzers have found so far, once more: each file of tests/fuzz/corpus through its target.
// A promise that is broken ends the program (tests/fuzz/targets.c).
#include "tests/unit/test_kit.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "tests/fuzz/targets.h"

#define INPUT_MAX_BYTES (1024 * 1024)

typedef void (*target)(struct tw_str input);

static void replay_file(const char *path, target function)
{
    char *buffer = malloc(INPUT_MAX_BYTES);
    FILE *file = fopen(path, "r");
    if (!file || !buffer)
        fail_msg("%s: %s", path, strerror(errno));
    size_t n = fread(buffer, 1, INPUT_MAX_BYTES, file);
    fclose(file);
    char *exact = malloc(n ? n : 1); // so that a sanitizer sees every byte too many
    memcpy(exact, buffer, n);
    free(buffer);
    function((struct tw_str){exact, n});
    free(exact);
}

static void replay(const char *name, target function)
{
    char directory[256], path[768];
    size_t n = 0;
    snprintf(directory, sizeof directory, "tests/fuzz/corpus/%s", name);
    DIR *files = opendir(directory);
    if (!files)
        fail_msg("%s: %s (start this program in the root of the tree)", directory, strerror(errno));
    for (const struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        replay_file(path, function);
        n++;
    }
    closedir(files);
    assert_true(n > 0);
}

#define XX(name)                          \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        replay(#name, tw_fuzz_##name);    \
    }
TW_FUZZ_TARGETS(XX)
#undef XX

int main(void)
{
    const struct CMUnitTest tests[] = {
#define XX(name) cmocka_unit_test(test_##name),
        TW_FUZZ_TARGETS(XX)
#undef XX
    };
    return cmocka_run_group_tests_name("fuzz corpora", tests, NULL, NULL);
}

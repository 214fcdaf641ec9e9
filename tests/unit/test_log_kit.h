// SPDX-License-Identifier: Apache-2.0
// test_log_kit: what the log's tests share. Each case logs in a child process, whose standard
// output is a pipe, a file or a socket of the case's choice.
#ifndef TW_TEST_LOG_KIT_H
#define TW_TEST_LOG_KIT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // pipe2
#endif
#include "tests/unit/test_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/log.h"

#define LINE_MAX_BYTES 4096

// What children tell their parent besides the log.
static struct {
    uint64_t dropped, sent;
    bool enough; // has been read
} * report;

KIT int make_report(void **state)
{
    (void)state;
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    signal(SIGPIPE, SIG_IGN); // as master and workers do
    return report == MAP_FAILED ? -1 : 0;
}

KIT int clear_report(void **state)
{
    (void)state;
    memset(report, 0, sizeof *report);
    return 0;
}

// Runs `body` in a child with `fd` as its standard output; it must end within 20 s.
KIT pid_t begin(int fd, void (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    alarm(20);
    if (dup2(fd, STDOUT_FILENO) < 0)
        _exit(90);
    close(fd);
    body();
    _exit(0);
}

KIT void finish(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("child ended with %#x", (unsigned)status);
}

static char *text;
static size_t text_n;

KIT void read_all(int fd)
{
    size_t cap = 64 * 1024;
    ssize_t n;
    free(text);
    text = malloc(cap);
    text_n = 0;
    while ((n = read(fd, text + text_n, cap - text_n)) > 0 || (n < 0 && errno == EINTR)) {
        text_n += n > 0 ? (size_t)n : 0;
        if (cap - text_n < 4096)
            text = realloc(text, cap *= 2);
        assert_non_null(text);
    }
}

KIT int temporary_file(void)
{
    char name[] = "/tmp/tillway-test-log-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

// Everything that `body` logs to a file, which takes all.
KIT void capture(void (*body)(void))
{
    int fd = temporary_file();
    finish(begin(fd, body));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    read_all(fd);
    close(fd);
}

// Line number i as an object, to be released; the test fails when it is not one.
KIT json_t *line(size_t i)
{
    const char *p = text, *end = text + text_n;
    for (; i > 0 && p; i--)
        p = (p = memchr(p, '\n', (size_t)(end - p))) ? p + 1 : NULL;
    const char *stop = p && p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    if (!stop)
        fail_msg("no such line");
    json_error_t error;
    json_t *json = json_loadb(p, (size_t)(stop - p), JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %.*s", error.text, (int)(stop - p), p);
    return json;
}

// Checks that all is whole lines of one object each, short enough for a pipe; returns how many.
KIT size_t count_lines(void)
{
    size_t n = 0;
    for (const char *p = text, *end = text + text_n; p < end; n++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        assert_non_null(stop);
        assert_true(stop - p < LINE_MAX_BYTES);
        json_error_t error;
        json_t *json = json_loadb(p, (size_t)(stop - p), JSON_REJECT_DUPLICATES, &error);
        if (!json)
            fail_msg("%s: %.*s", error.text, (int)(stop - p), p);
        json_decref(json);
        p = stop + 1;
    }
    return n;
}

KIT void open_log(const char *process, int worker, enum tw_level level)
{
    tw_log_open(process, worker, &(struct tw_log_setup){.level = level, .fd = -1});
}

KIT void assert_text(const json_t *json, const char *key, const char *expected)
{
    const char *value = json_string_value(json_object_get(json, key));
    if (!value || strcmp(value, expected) != 0)
        fail_msg("%s is %s, not %s", key, value ? value : "absent", expected);
}
#define LOG_TEST(name) cmocka_unit_test_setup(name, clear_report)

#endif

// SPDX-License-Identifier: Apache-2.0
// log: every line is a JSON object whatever goes in, none is torn or doubled, and nobody waits for
// the reader: what it does not take is dropped and counted.
//
// Standard output is the log's only way out, so each case logs in a child process whose standard
// output is a pipe, a file or a socket of the case's choice.
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/log.h"

#define LINE_MAX_BYTES 4096

// What children tell their parent besides the log.
static struct {
    uint64_t dropped, sent;
} * report;

static int make_report(void **state)
{
    (void)state;
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    signal(SIGPIPE, SIG_IGN); // as master and workers do
    return report == MAP_FAILED ? -1 : 0;
}

static int clear_report(void **state)
{
    (void)state;
    memset(report, 0, sizeof *report);
    return 0;
}

// Runs `body` in a child with `fd` as its standard output; it must end within 20 s.
static pid_t begin(int fd, void (*body)(void))
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

static void finish(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("child ended with %#x", (unsigned)status);
}

static char *text;
static size_t text_n;

static void read_all(int fd)
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

static int temporary_file(void)
{
    char name[] = "/tmp/tillway-test-log-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

// Everything that `body` logs to a file, which takes all.
static void capture(void (*body)(void))
{
    int fd = temporary_file();
    finish(begin(fd, body));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    read_all(fd);
    close(fd);
}

// Line number i as an object, to be released; the test fails when it is not one.
static json_t *line(size_t i)
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
static size_t count_lines(void)
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

static void assert_text(const json_t *json, const char *key, const char *expected)
{
    const char *value = json_string_value(json_object_get(json, key));
    if (!value || strcmp(value, expected) != 0)
        fail_msg("%s is %s, not %s", key, value ? value : "absent", expected);
}

static void log_access_levels(void)
{
    tw_log_open("worker", 0, TW_LEVEL_WARN);
    tw_log_access(&(struct tw_log_access){.http_status = 200});
    tw_log_access(&(struct tw_log_access){.http_status = 503, .level = TW_LEVEL_WARN});
    tw_log_flush();
}

static void test_access_lines_have_the_level_of_their_status(void **state)
{
    (void)state;
    capture(log_access_levels);
    assert_int_equal(count_lines(), 1);
    json_t *json = line(0);
    assert_text(json, "level", "warn");
    json_decref(json);
}

// ---- what a line holds --------------------------------------------------------------------------

static void log_events(void)
{
    tw_log_open("worker", 3, TW_LEVEL_INFO);
    tw_log(TW_LEVEL_DEBUG, "unseen", "x");
    tw_log(TW_LEVEL_WARN, "db_connection_lost", "%s: \"%d\"\n", "why", 7);
    tw_log_open("master", -1, TW_LEVEL_ERROR);
    tw_log(TW_LEVEL_WARN, "unseen", "x");
    tw_log_access(&(struct tw_log_access){.method = TW_STR("GET")}); // is of level info
    tw_log(TW_LEVEL_ERROR, "e", "%s", "");
    tw_log_open("tillway", -1, TW_LEVEL_DEBUG);
    tw_log(TW_LEVEL_DEBUG, "d", "x");
}

static void test_events(void **state)
{
    (void)state;
    int64_t before_ms = tw_unix_ms();
    char from[TW_ISO8601_LEN + 1] = "", to[TW_ISO8601_LEN + 1] = "";
    capture(log_events);
    tw_iso8601_utc(before_ms, from);
    tw_iso8601_utc(tw_unix_ms(), to);
    assert_int_equal(count_lines(), 3);
    json_t *json = line(0);
    assert_text(json, "level", "warn");
    assert_text(json, "kind", "event");
    assert_text(json, "process", "worker");
    assert_text(json, "event", "db_connection_lost");
    assert_text(json, "message", "why: \"7\"\n");
    assert_int_equal(json_integer_value(json_object_get(json, "worker")), 3);
    const char *time = json_string_value(json_object_get(json, "time"));
    assert_true(strcmp(time, from) >= 0 && strcmp(time, to) <= 0);
    assert_int_equal(json_object_size(json), 7);
    json_decref(json);
    json = line(1);
    assert_text(json, "level", "error");
    assert_text(json, "process", "master");
    assert_text(json, "message", "");
    assert_null(json_object_get(json, "worker"));
    json_decref(json);
    json = line(2);
    assert_text(json, "level", "debug");
    assert_text(json, "process", "tillway");
    json_decref(json);
}

static void log_requests(void)
{
    struct tw_log_access entry = {
        .request_id = TW_STR("r-1"),
        .method = TW_STR("POST"),
        .path = TW_STR("/v1/transactions"),
        .route = TW_STR("/v1/transactions"),
        .protocol = TW_STR("HTTP/2"),
        .peer = TW_STR("192.0.2.1"),
        .client = TW_STR("198.51.100.1"),
        .code = TW_STR("total-mismatch"),
        .subject = TW_STR("caf\xc3\xa9"),
        .traceparent = TW_STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        .http_status = 422,
        .bytes_sent = UINT64_C(5000000000),
        .duration_us = 1234,
    };
    tw_log_open("worker", 0, TW_LEVEL_INFO);
    tw_log_access(&entry);
    entry = (struct tw_log_access){.method = TW_STR("GET")};
    tw_log_access(&entry);
    tw_log_flush();
}

static void test_requests(void **state)
{
    (void)state;
    capture(log_requests);
    assert_int_equal(count_lines(), 2);
    json_t *json = line(0);
    assert_text(json, "level", "info");
    assert_text(json, "kind", "access");
    assert_text(json, "requestId", "r-1");
    assert_text(json, "method", "POST");
    assert_text(json, "path", "/v1/transactions");
    assert_text(json, "route", "/v1/transactions");
    assert_text(json, "protocol", "HTTP/2");
    assert_text(json, "peer", "192.0.2.1");
    assert_text(json, "client", "198.51.100.1");
    assert_text(json, "code", "total-mismatch");
    assert_text(json, "sub", "caf\xc3\xa9");
    assert_text(json, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 422);
    assert_int_equal(json_integer_value(json_object_get(json, "bytes")), 5000000000);
    assert_int_equal(json_integer_value(json_object_get(json, "durationUs")), 1234);
    assert_int_equal(json_object_size(json), 18);
    json_decref(json);
    json = line(1);
    assert_int_equal(json_object_size(json), 9); // the five of every line, and four more
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 0);
    json_decref(json);
}

// The buffer's clock is kept over a second; its times must not run backwards or stand still.
static void log_for_a_while(void)
{
    struct tw_log_access entry = {.method = TW_STR("GET")};
    tw_log_open("worker", 0, TW_LEVEL_INFO);
    for (int64_t end_ms = tw_unix_ms() + 1100; tw_unix_ms() < end_ms; usleep(10000))
        tw_log_access(&entry);
    tw_log_flush();
}

static void test_times(void **state)
{
    (void)state;
    char last[TW_ISO8601_LEN + 1] = "", first[TW_ISO8601_LEN + 1] = "";
    capture(log_for_a_while);
    size_t n = count_lines(), steps = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *json = line(i);
        const char *time = json_string_value(json_object_get(json, "time"));
        assert_true(strcmp(time, last) >= 0);
        steps += strcmp(time, last) > 0;
        snprintf(last, sizeof last, "%s", time);
        if (i == 0)
            snprintf(first, sizeof first, "%s", time);
        json_decref(json);
    }
    assert_true(steps > n / 2);
    assert_true(strncmp(first, last, strlen("2026-11-20T12:34:56")) < 0);
}

// ---- whatever goes in ---------------------------------------------------------------------------

static struct tw_str random_bytes(char *out, size_t max)
{
    size_t n = kit_below(max + 1);
    uint64_t kind = kit_below(3);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(kind == 0 ? kit_below(256) : kind == 1 ? kit_below(128) : 0x7f);
    return (struct tw_str){out, n};
}

static void log_any_bytes(void)
{
    static char bytes[9][3000];
    tw_log_open("worker", 0, TW_LEVEL_INFO);
    for (int i = 0; i < 5000; i++) {
        size_t max = kit_below(sizeof bytes[0]) >> kit_below(12);
        struct tw_log_access entry = {
            .request_id = random_bytes(bytes[0], max),
            .method = random_bytes(bytes[1], max),
            .path = random_bytes(bytes[2], max),
            .route = random_bytes(bytes[3], max),
            .protocol = random_bytes(bytes[4], max),
            .peer = random_bytes(bytes[5], max),
            .code = random_bytes(bytes[6], max),
            .subject = random_bytes(bytes[7], max),
            .traceparent = random_bytes(bytes[8], max),
            .http_status = (unsigned)kit_random(),
            .bytes_sent = kit_random(),
            .duration_us = kit_random(),
        };
        tw_log_access(&entry);
        struct tw_str message = random_bytes(bytes[0], max);
        tw_log(TW_LEVEL_INFO, "any", "%.*s", (int)message.n, message.p);
    }
    report->dropped = tw_log_take_dropped();
}

// A request cannot write itself out of the log by long or odd fields: every line is there.
static void test_any_bytes(void **state)
{
    (void)state;
    capture(log_any_bytes);
    assert_int_equal(count_lines() + report->dropped, 10000);
    assert_int_equal(report->dropped, 0);
}

static void log_long_fields(void)
{
    static char plain[9000], euros[9000], quotes[9000], controls[9000];
    memset(plain, 'p', sizeof plain);
    memset(quotes, '"', sizeof quotes);
    memset(controls, 0x7f, sizeof controls);
    for (size_t i = 0; i < sizeof euros; i++)
        euros[i] = "\xe2\x82\xac"[i % 3];
    const char *const all[] = {plain, euros, quotes, controls};
    tw_log_open("worker", 4095, TW_LEVEL_INFO);
    for (size_t i = 0; i < TW_COUNT(all); i++) {
        struct tw_str value = {all[i], sizeof plain};
        struct tw_log_access entry = {TW_LEVEL_ERROR, value,      value,     value,    value,
                                      value,          value,      value,     value,    value,
                                      value,          UINT32_MAX, INT64_MAX, INT64_MAX};
        tw_log_access(&entry);
        tw_log(TW_LEVEL_ERROR, "long", "x%.*s", (int)value.n, value.p);
    }
}

// Long fields are cut, between characters, each by itself.
static void test_long_fields(void **state)
{
    (void)state;
    static const char *const beginnings[] = {"p", "\xe2\x82\xac", "\"", "\x7f"};
    static const char *const keys[] = {"requestId", "method", "path", "route", "protocol",
                                       "peer",      "client", "code", "sub",   "traceparent"};
    capture(log_long_fields);
    assert_int_equal(count_lines(), 2 * TW_COUNT(beginnings));
    for (size_t i = 0; i < TW_COUNT(beginnings); i++) {
        json_t *access = line(2 * i), *event = line(2 * i + 1);
        size_t unit = strlen(beginnings[i]);
        for (size_t k = 0; k < TW_COUNT(keys); k++) {
            const json_t *value = json_object_get(access, keys[k]);
            size_t n = json_string_length(value);
            assert_true(n > 0 && n < 9000 && n % unit == 0);
            for (size_t at = 0; at < n; at += unit)
                assert_memory_equal(json_string_value(value) + at, beginnings[i], unit);
        }
        assert_true(json_string_length(json_object_get(access, "path")) >= 333);
        const json_t *message = json_object_get(event, "message");
        size_t n = json_string_length(message);
        assert_true(n > 500 && n < 9000 && (n - 1) % unit == 0);
        assert_int_equal(json_string_value(message)[0], 'x');
        assert_memory_equal(json_string_value(message) + n - unit, beginnings[i], unit);
        json_decref(access);
        json_decref(event);
    }
}

// ---- whatever the reader does -------------------------------------------------------------------

// Numbered lines, a few of them in one flush; counts what was sent and what was dropped.
static void log_many(void)
{
    static char path[300];
    memset(path, '/', sizeof path);
    tw_log_open("worker", (int)(getpid() % 1000), TW_LEVEL_INFO);
    for (uint64_t i = 0; i < 20000; i++) {
        struct tw_log_access entry = {.path = {path, 1 + i % sizeof path}, .duration_us = i};
        tw_log_access(&entry);
        if (i % 40 == 0)
            tw_log_flush();
        __atomic_add_fetch(&report->sent, 1, __ATOMIC_RELAXED);
    }
    tw_log_flush();
    __atomic_add_fetch(&report->dropped, tw_log_take_dropped(), __ATOMIC_RELAXED);
}

static void assert_accounted(void)
{
    size_t written = count_lines();
    assert_true(report->sent >= 20000);
    assert_int_equal(written + report->dropped, report->sent);
}

// The reader has stopped: the writer goes on, and all that did not fit is counted.
static void test_stopped_reader(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    finish(begin(fds[1], log_many));
    close(fds[1]);
    read_all(fds[0]);
    close(fds[0]);
    assert_accounted();
    assert_true(report->dropped > 10000 && text_n > 30000);
}

static void log_many_then_one_more(void)
{
    log_many();
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1) // until the parent has read
        _exit(91);
    tw_log(TW_LEVEL_INFO, "again", "x");
    report->sent++;
}

static void test_reader_comes_back(void **state)
{
    (void)state;
    int fds[2], go[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    int stdin_before = dup(STDIN_FILENO);
    dup2(go[0], STDIN_FILENO);
    pid_t child = begin(fds[1], log_many_then_one_more);
    dup2(stdin_before, STDIN_FILENO);
    close(stdin_before);
    close(go[0]);
    close(fds[1]);
    while (__atomic_load_n(&report->dropped, __ATOMIC_RELAXED) == 0)
        usleep(1000);
    char *first = malloc(1 << 20);
    ssize_t first_n = read(fds[0], first, 1 << 20);
    assert_true(first_n > 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    close(go[1]);
    read_all(fds[0]);
    close(fds[0]);
    finish(child);
    char *joined = malloc((size_t)first_n + text_n);
    memcpy(joined, first, (size_t)first_n);
    memcpy(joined + first_n, text, text_n);
    free(first);
    free(text);
    text = joined;
    text_n += (size_t)first_n;
    assert_accounted();
    json_t *json = line(count_lines() - 1);
    assert_text(json, "event", "again");
    json_decref(json);
}

// Three processes, one pipe, a reader in small sips: lines of one do not get into another's.
static void test_three_writers(void **state)
{
    (void)state;
    int fds[2];
    pid_t children[3];
    size_t cap = 32 << 20;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    for (size_t i = 0; i < TW_COUNT(children); i++)
        children[i] = begin(fds[1], log_many);
    close(fds[1]);
    free(text);
    text = malloc(cap);
    text_n = 0;
    for (ssize_t n; (n = read(fds[0], text + text_n, 1 + text_n % 1500)) > 0;) {
        text_n += (size_t)n;
        assert_true(cap - text_n > 1500);
    }
    close(fds[0]);
    for (size_t i = 0; i < TW_COUNT(children); i++)
        finish(children[i]);
    assert_int_equal(report->sent, 60000);
    assert_accounted();
    assert_true(count_lines() > 1000);
}

static void test_reader_gone(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    finish(begin(fds[1], log_many));
    close(fds[1]);
    assert_int_equal(report->dropped, report->sent);
}

// A service manager often gives a socket, which cannot be opened anew; nor may it ever block.
static void test_socket(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    finish(begin(fds[1], log_many));
    close(fds[1]);
    read_all(fds[0]);
    close(fds[0]);
    assert_accounted();
    assert_true(report->dropped > 1000 && text_n > 30000);
}

static void log_many_as_nobody(void)
{
    if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(92);
    int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK);
    if (fd >= 0 || errno != EACCES)
        _exit(93); // else the case tests nothing
    log_many();
}

// A pipe of another user's, as in a container that is not root: it cannot be opened anew either.
static void test_pipe_of_another_user(void **state)
{
    (void)state;
    int fds[2];
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    finish(begin(fds[1], log_many_as_nobody));
    assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK); // it is shared: not ours to change
    close(fds[1]);
    read_all(fds[0]);
    close(fds[0]);
    assert_accounted();
    assert_true(report->dropped > 10000 && text_n > 30000);
}

// ---- files and forks ----------------------------------------------------------------------------

static void test_shared_flags_stay(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    finish(begin(fds[1], log_events));
    assert_false(fcntl(fds[1], F_GETFL) & (O_NONBLOCK | O_APPEND));
    close(fds[0]);
    close(fds[1]);
}

// Two processes with one file that nobody opened for appending: no line overwrites another.
static void test_file(void **state)
{
    (void)state;
    char name[64];
    int fd = temporary_file();
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int again = open(name, O_WRONLY | O_CLOEXEC);
    assert_true(again >= 0);
    pid_t one = begin(fd, log_many), two = begin(again, log_many);
    finish(one);
    finish(two);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    read_all(fd);
    close(fd);
    close(again);
    assert_int_equal(count_lines(), 40000);
}

static void log_then_fork(void)
{
    struct tw_log_access entry = {.method = TW_STR("PARENT")};
    tw_log_open("master", -1, TW_LEVEL_INFO);
    tw_log_access(&entry);
    if (!tw_log_pending())
        _exit(94);
    pid_t child = fork();
    if (child == 0) {
        tw_log_open("worker", 1, TW_LEVEL_INFO);
        if (tw_log_pending())
            _exit(95);
        entry.method = TW_STR("CHILD");
        tw_log_access(&entry);
        tw_log_flush();
        _exit(tw_log_pending() ? 96 : 0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        _exit(97);
    tw_log_flush();
}

static void test_fork(void **state)
{
    (void)state;
    capture(log_then_fork);
    assert_int_equal(count_lines(), 2);
    json_t *child = line(0), *parent = line(1);
    assert_text(child, "method", "CHILD");
    assert_text(child, "process", "worker");
    assert_text(parent, "method", "PARENT");
    assert_text(parent, "process", "master");
    json_decref(child);
    json_decref(parent);
}

static void log_without_flushing(void)
{
    struct tw_log_access entry = {.path = TW_STR("/v1/products")};
    tw_log_open("worker", 0, TW_LEVEL_INFO);
    for (int i = 0; i < 10000; i++)
        tw_log_access(&entry); // far more than the buffer holds
    tw_log_flush();
    report->dropped = tw_log_take_dropped();
    report->sent = tw_log_take_dropped(); // taken once
}

static void test_buffer_full(void **state)
{
    (void)state;
    capture(log_without_flushing);
    assert_int_equal(count_lines() + report->dropped, 10000);
    assert_int_equal(report->sent, 0);
}

#define LOG_TEST(name) cmocka_unit_test_setup(name, clear_report)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_events),
        LOG_TEST(test_access_lines_have_the_level_of_their_status),
        LOG_TEST(test_requests),
        LOG_TEST(test_times),
        LOG_TEST(test_any_bytes),
        LOG_TEST(test_long_fields),
        LOG_TEST(test_stopped_reader),
        LOG_TEST(test_reader_comes_back),
        LOG_TEST(test_three_writers),
        LOG_TEST(test_reader_gone),
        LOG_TEST(test_socket),
        LOG_TEST(test_pipe_of_another_user),
        LOG_TEST(test_shared_flags_stay),
        LOG_TEST(test_file),
        LOG_TEST(test_fork),
        LOG_TEST(test_buffer_full),
    };
    int failed = cmocka_run_group_tests_name("log", tests, make_report, NULL);
    free(text);
    return failed;
}

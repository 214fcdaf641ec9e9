// SPDX-License-Identifier: Apache-2.0
// log: no line is torn or doubled, and nobody waits for the reader: what it does not take, or a
// disk does not, is dropped and counted.
#include "tests/unit/test_log_kit.h"

#include "gateway/log_file.h"

// ---- whatever the reader does -------------------------------------------------------------------

// Lines, a few of them in one flush; counts what was sent and what was dropped.
static void log_lines(uint64_t n)
{
    static char path[300];
    memset(path, '/', sizeof path);
    for (uint64_t i = 0; i < n; i++) {
        struct tw_log_access entry = {.path = {path, 1 + i % sizeof path}, .duration_us = i};
        tw_log_access(&entry);
        if (i % 40 == 0)
            tw_log_flush();
        __atomic_add_fetch(&report->sent, 1, __ATOMIC_RELAXED);
    }
    tw_log_flush();
    __atomic_add_fetch(&report->dropped, tw_log_take_dropped(), __ATOMIC_RELAXED);
}

static void log_many(void)
{
    open_log("worker", (int)(getpid() % 1000), TW_LEVEL_INFO);
    log_lines(20000);
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

static void log_until_enough_is_read(void)
{
    open_log("worker", (int)(getpid() % 1000), TW_LEVEL_INFO);
    do
        log_lines(10000);
    while (!__atomic_load_n(&report->enough, __ATOMIC_RELAXED));
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
        children[i] = begin(fds[1], log_until_enough_is_read);
    close(fds[1]);
    free(text);
    text = malloc(cap);
    text_n = 0;
    for (ssize_t n; (n = read(fds[0], text + text_n, 1 + text_n % 1500)) > 0;) {
        text_n += (size_t)n;
        __atomic_store_n(&report->enough, text_n > 1 << 20, __ATOMIC_RELAXED);
        assert_true(cap - text_n > 1500);
    }
    close(fds[0]);
    for (size_t i = 0; i < TW_COUNT(children); i++)
        finish(children[i]);
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

// ---- files --------------------------------------------------------------------------------------

static void log_one(void)
{
    open_log("worker", 3, TW_LEVEL_INFO);
    tw_log(TW_LEVEL_WARN, "e", "x");
}

static void test_shared_flags_stay(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    finish(begin(fds[1], log_one));
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

// ---- a terminal ---------------------------------------------------------------------------------

static void log_for_people(void)
{
    const struct tw_log_setup setup = {TW_LEVEL_INFO, TW_LOG_TEXT, -1};
    (void)unsetenv("NO_COLOR");
    tw_log_open("worker", 0, &setup);
    tw_log(TW_LEVEL_WARN, "e", "\x1b[2J");
    (void)setenv("NO_COLOR", "1", 1);
    tw_log_open("worker", 0, &setup);
    tw_log(TW_LEVEL_WARN, "e", "x");
}

// Colours are for terminals, and ours alone.
static void test_terminal(void **state)
{
    (void)state;
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0);
    int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(theirs >= 0);
    finish(begin(theirs, log_for_people));
    close(theirs);
    read_all(ours); // ends with EIO when nobody has the other end
    close(ours);
    assert_true(text_n > 100 && text_n < 1000);
    text[text_n] = '\0';
    assert_non_null(strstr(text, " \x1b[33mWARN \x1b[0m worker0  event  e \\x1b[2J\r\n"));
    assert_non_null(strstr(text, " WARN  worker0  event  e x\r\n"));
    capture(log_for_people);
    assert_null(memchr(text, '\x1b', text_n));
}

// ---- log.file -----------------------------------------------------------------------------------

static const char *log_path;

static int open_log_file(void)
{
    char err[256];
    int fd = tw_log_file_open(log_path, err, sizeof err);
    if (fd < 0)
        _exit(98);
    tw_log_open("worker", 0, &(struct tw_log_setup){.level = TW_LEVEL_INFO, .fd = fd});
    return fd;
}

static char *temporary_path(char name[64])
{
    snprintf(name, 64, "/tmp/tillway-test-log-%d", (int)getpid());
    unlink(name);
    log_path = name;
    return name;
}

static void read_file(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    read_all(fd);
    close(fd);
}

static void log_and_rotate(void)
{
    char other[80];
    int fd = open_log_file();
    snprintf(other, sizeof other, "%s.1", log_path);
    for (int i = 0; i < 100; i++)
        tw_log_access(&(struct tw_log_access){.duration_us = 1});
    if (rename(log_path, other) != 0)
        _exit(99);
    for (int i = 0; i < 100; i++)
        tw_log_access(&(struct tw_log_access){.duration_us = 2}); // still to the renamed one
    int next = tw_log_file_open(log_path, (char[8]){0}, 8);
    tw_log_replace(fd, next);
    close(fd);
    tw_log(TW_LEVEL_INFO, "next", "x");
    report->dropped = tw_log_take_dropped();
}

// What is written to a renamed file stays there, and nothing of it is lost.
static void test_rotation(void **state)
{
    (void)state;
    char name[64], other[80];
    snprintf(other, sizeof other, "%s.1", temporary_path(name));
    finish(begin(STDERR_FILENO, log_and_rotate));
    read_file(other);
    assert_int_equal(count_lines(), 200);
    read_file(name);
    assert_int_equal(count_lines(), 1);
    assert_int_equal(report->dropped, 0);
    unlink(name);
    unlink(other);
}

static void set_disk_bytes(rlim_t n)
{
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){n, RLIM_INFINITY}) != 0)
        _exit(89);
}

// A limit on a file's size does what a full disk does: part of a write, then none.
static void log_to_a_full_disk(void)
{
    open_log_file();
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t bytes = 10000; bytes < 100000; bytes += 10007) {
        set_disk_bytes(bytes);
        for (int i = 0; i < 300; i++, report->sent++) {
            tw_log_access(&(struct tw_log_access){.path = TW_STR("/v1/products")});
            if (i % 7 == 0)
                tw_log_flush();
        }
        tw_log_flush();
    }
    set_disk_bytes(RLIM_INFINITY);
    tw_log(TW_LEVEL_INFO, "room", "again");
    report->sent++;
    report->dropped = tw_log_take_dropped();
}

// FAULTS P7: lines are lost, and counted, but none is torn; with room they go on.
static void test_full_disk(void **state)
{
    (void)state;
    char name[64];
    temporary_path(name);
    finish(begin(STDERR_FILENO, log_to_a_full_disk));
    read_file(name);
    assert_int_equal(count_lines() + report->dropped, report->sent);
    assert_true(report->dropped > 100 && text_n > 50000);
    json_t *json = line(count_lines() - 1);
    assert_text(json, "event", "room");
    json_decref(json);
    unlink(name);
}

static void log_to_full_device(void)
{
    open_log_file();
    for (int i = 0; i < 1000; i++)
        tw_log_access(&(struct tw_log_access){.path = TW_STR("/")});
    tw_log(TW_LEVEL_INFO, "e", "x");
    report->dropped = tw_log_take_dropped();
}

static void test_full_device(void **state)
{
    (void)state;
    log_path = "/dev/full";
    finish(begin(STDERR_FILENO, log_to_full_device));
    assert_int_equal(report->dropped, 1001);
}

// Standard output as a file that cannot be read: a torn line at least ends before the next one.
static void log_to_full_standard_output(void)
{
    open_log("worker", 0, TW_LEVEL_INFO);
    (void)signal(SIGXFSZ, SIG_IGN);
    set_disk_bytes(1000);
    for (int i = 0; i < 20; i++)
        tw_log_access(&(struct tw_log_access){.path = TW_STR("/v1/products")});
    tw_log_flush();
    set_disk_bytes(RLIM_INFINITY);
    tw_log(TW_LEVEL_INFO, "room", "again");
}

static void test_torn_standard_output(void **state)
{
    (void)state;
    char name[64];
    int fd = open(temporary_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    finish(begin(fd, log_to_full_standard_output));
    close(fd);
    read_file(name);
    assert_true(text_n > 1001 && text[1000] == '\n' && text[999] != '\n');
    memmove(text, text + 1001, text_n -= 1001);
    json_t *json = line(0);
    assert_text(json, "event", "room");
    json_decref(json);
    unlink(name);
}

// ---- forks --------------------------------------------------------------------------------------

static void log_then_fork(void)
{
    struct tw_log_access entry = {.method = TW_STR("PARENT")};
    open_log("master", -1, TW_LEVEL_INFO);
    tw_log_access(&entry);
    if (!tw_log_pending())
        _exit(94);
    pid_t child = fork();
    if (child == 0) {
        open_log("worker", 1, TW_LEVEL_INFO);
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
    open_log("worker", 0, TW_LEVEL_INFO);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_stopped_reader),
        LOG_TEST(test_reader_comes_back),
        LOG_TEST(test_three_writers),
        LOG_TEST(test_reader_gone),
        LOG_TEST(test_socket),
        LOG_TEST(test_pipe_of_another_user),
        LOG_TEST(test_shared_flags_stay),
        LOG_TEST(test_file),
        LOG_TEST(test_terminal),
        LOG_TEST(test_rotation),
        LOG_TEST(test_full_disk),
        LOG_TEST(test_full_device),
        LOG_TEST(test_torn_standard_output),
        LOG_TEST(test_fork),
        LOG_TEST(test_buffer_full),
    };
    int failed = cmocka_run_group_tests_name("log_out", tests, make_report, NULL);
    free(text);
    return failed;
}

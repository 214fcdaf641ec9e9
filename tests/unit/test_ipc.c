// SPDX-License-Identifier: Apache-2.0
// ipc: one packet is one message, nobody waits, and end of file is told from silence.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // pipe2
#endif
#include "tests/unit/test_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/ipc.h"

static int fds[2];

static int open_pair(void **state)
{
    (void)state;
    return tw_ipc_pair(fds) ? 0 : -1;
}

static int close_pair(void **state)
{
    (void)state;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void assert_next(int fd, uint32_t kind, uint32_t argument)
{
    struct tw_ipc_message message;
    assert_int_equal(tw_ipc_read(fd, &message), TW_IPC_READ_MESSAGE);
    assert_int_equal(message.kind, kind);
    assert_int_equal(message.argument, argument);
}

static void test_flags(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
}

// A descriptor comes with its message, to whoever asks for it; others' copies are closed.
static void test_descriptors(void **state)
{
    (void)state;
    struct tw_ipc_message message;
    int passed, ends[2];
    char byte = 0;
    assert_int_equal(tw_ipc_read_fd(fds[1], &message, &passed), TW_IPC_READ_NOTHING);
    assert_int_equal(passed, -1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(tw_ipc_send(fds[0], TW_IPC_DRAIN, 5));
    assert_true(tw_ipc_send_fd(fds[0], TW_IPC_LOG_FILE, ends[1]));
    assert_true(tw_ipc_send_fd(fds[0], TW_IPC_LOG_FILE, ends[1]));
    close(ends[1]);
    assert_int_equal(tw_ipc_read_fd(fds[1], &message, &passed), TW_IPC_READ_MESSAGE);
    assert_int_equal(message.argument, 5);
    assert_int_equal(passed, -1);
    assert_int_equal(tw_ipc_read_fd(fds[1], &message, &passed), TW_IPC_READ_MESSAGE);
    assert_int_equal(message.kind, TW_IPC_LOG_FILE);
    assert_true(passed >= 0 && (fcntl(passed, F_GETFD) & FD_CLOEXEC));
    assert_int_equal(write(passed, "x", 1), 1);
    close(passed);
    assert_next(fds[1], TW_IPC_LOG_FILE, 0); // by tw_ipc_read, which wants none
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 0); // nobody holds the other end any more
    close(ends[0]);
}

static void test_messages_in_order_both_ways(void **state)
{
    (void)state;
    struct tw_ipc_message message;
    assert_int_equal(tw_ipc_read(fds[0], &message), TW_IPC_READ_NOTHING);
    assert_true(tw_ipc_send(fds[0], TW_IPC_DRAIN, 0));
    assert_true(tw_ipc_send(fds[1], TW_IPC_UNKNOWN_KID, 7));
    assert_true(tw_ipc_send(fds[1], TW_IPC_UNKNOWN_KID, UINT32_MAX));
    assert_next(fds[1], TW_IPC_DRAIN, 0);
    assert_int_equal(tw_ipc_read(fds[1], &message), TW_IPC_READ_NOTHING);
    assert_next(fds[0], TW_IPC_UNKNOWN_KID, 7);
    assert_next(fds[0], TW_IPC_UNKNOWN_KID, UINT32_MAX);
    assert_int_equal(tw_ipc_read(fds[0], &message), TW_IPC_READ_NOTHING);
}

// What was sent before the end is still read; sending to nobody is false, not SIGPIPE.
static void test_end_of_file(void **state)
{
    (void)state;
    struct tw_ipc_message message;
    assert_true(tw_ipc_send(fds[0], TW_IPC_DRAIN, 3));
    close(fds[0]);
    assert_next(fds[1], TW_IPC_DRAIN, 3);
    assert_int_equal(tw_ipc_read(fds[1], &message), TW_IPC_READ_CLOSED);
    assert_int_equal(tw_ipc_read(fds[1], &message), TW_IPC_READ_CLOSED);
    signal(SIGPIPE, SIG_DFL);
    assert_false(tw_ipc_send(fds[1], TW_IPC_UNKNOWN_KID, 1));
    fds[0] = dup(fds[1]); // for close_pair
}

static void test_end_of_the_other_process(void **state)
{
    (void)state;
    struct tw_ipc_message message;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        _exit(tw_ipc_send(fds[1], TW_IPC_UNKNOWN_KID, 5) ? 0 : 1);
    }
    close(fds[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_next(fds[0], TW_IPC_UNKNOWN_KID, 5);
    assert_int_equal(tw_ipc_read(fds[0], &message), TW_IPC_READ_CLOSED);
    fds[1] = dup(fds[0]);
}

// A reader that is stuck costs messages, never time; none is torn or doubled.
static void test_full_is_refused(void **state)
{
    (void)state;
    struct tw_ipc_message message;
    uint32_t sent = 0;
    alarm(10);
    while (tw_ipc_send(fds[0], TW_IPC_UNKNOWN_KID, sent))
        sent++;
    alarm(0);
    assert_true(errno == EAGAIN);
    assert_true(sent > 0);
    for (uint32_t i = 0; i < sent; i++)
        assert_next(fds[1], TW_IPC_UNKNOWN_KID, i);
    assert_int_equal(tw_ipc_read(fds[1], &message), TW_IPC_READ_NOTHING);
    assert_true(tw_ipc_send(fds[0], TW_IPC_DRAIN, 0));
    assert_next(fds[1], TW_IPC_DRAIN, 0);
}

// A packet of another size is no message: whoever sends that is not our other half. It does not
// run into the next one.
static void test_odd_packets(void **state)
{
    (void)state;
    struct tw_ipc_message message;
    char odd[sizeof(message) - 1] = {1};
    assert_int_equal(send(fds[0], odd, sizeof odd, 0), (ssize_t)sizeof odd);
    assert_true(tw_ipc_send(fds[0], TW_IPC_UNKNOWN_KID, 9));
    assert_int_equal(tw_ipc_read(fds[1], &message), TW_IPC_READ_CLOSED);
    assert_next(fds[1], TW_IPC_UNKNOWN_KID, 9);
}

static void test_no_descriptors_left(void **state)
{
    (void)state;
    struct rlimit before, none;
    int pair[2] = {-1, -1};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = 0;
    bool made = tw_ipc_pair(pair);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(made);
    assert_int_equal(error, EMFILE);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(test_flags),
        PAIR_TEST(test_descriptors),
        PAIR_TEST(test_messages_in_order_both_ways),
        PAIR_TEST(test_end_of_file),
        PAIR_TEST(test_end_of_the_other_process),
        PAIR_TEST(test_full_is_refused),
        PAIR_TEST(test_odd_packets),
        cmocka_unit_test(test_no_descriptors_left),
    };
    return cmocka_run_group_tests_name("ipc", tests, NULL, NULL);
}

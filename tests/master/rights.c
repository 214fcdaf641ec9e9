// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // unshare, AF_PACKET's kin
#endif
#include "tests/master/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base.h"

static int error_of(long result)
{
    return result == -1 ? errno : 0;
}

static int closed(int fd)
{
    int error = error_of(fd);
    if (fd >= 0)
        close(fd);
    return error;
}

// ---- refused ------------------------------------------------------------------------------------

static int try_exec(void)
{
    static char name[] = "true";
    char *const argv[] = {name, NULL};
    return error_of(execv("/bin/true", argv));
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    int error = error_of(pid);
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    return error;
}

static int try_clone3(void)
{
    return error_of(syscall(SYS_clone3, NULL, 0));
}

static int try_ptrace(void)
{
    return error_of(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int try_kill(void)
{
    return error_of(kill(getppid(), 0));
}

static int try_setuid(void)
{
    return error_of(syscall(SYS_setuid, 0)); // not libc's, which asks every thread
}

static int try_unshare(void)
{
    return error_of(unshare(CLONE_NEWUSER));
}

static int try_bpf(void)
{
    return error_of(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_write_file(void)
{
    return closed(open("/dev/null", O_WRONLY | O_CLOEXEC));
}

static int try_make_file(void)
{
    return closed(open("/tmp", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int try_make_directory(void)
{
    return error_of(mkdir("/tmp", 0700));
}

static int map(int protection)
{
    void *memory = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return errno;
    int error = error_of(mprotect(memory, 4096, protection | PROT_EXEC));
    (void)munmap(memory, 4096);
    return error;
}

static int try_map_code(void)
{
    return map(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int try_turn_data_into_code(void)
{
    return map(PROT_READ);
}

static int try_packet_socket(void)
{
    return closed(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int try_x25_socket(void)
{
    return closed(socket(AF_X25, SOCK_STREAM, 0));
}

static int try_listen(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = fd >= 0 ? error_of(listen(fd, 1)) : 0;
    close(fd);
    return error;
}

static int try_limit_master(void)
{
    struct rlimit limit;
    return error_of(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

// ---- needed -------------------------------------------------------------------------------------

static void *nothing(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    return error ? error : pthread_join(thread, NULL);
}

static int try_read_file(void)
{
    return closed(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int try_resolve(void)
{
    struct addrinfo *found = NULL;
    int error = getaddrinfo("localhost", "80", NULL, &found);
    if (found)
        freeaddrinfo(found);
    return error;
}

static int try_udp_socket(void)
{
    return closed(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int try_own_limit(void)
{
    struct rlimit limit;
    return error_of(getrlimit(RLIMIT_NOFILE, &limit));
}

int tw_try(const char *word)
{
    static const struct {
        const char *word;
        int (*act)(void);
    } tries[] = {
        {"exec", try_exec},
        {"fork", try_fork},
        {"clone3", try_clone3},
        {"ptrace", try_ptrace},
        {"kill", try_kill},
        {"setuid", try_setuid},
        {"unshare", try_unshare},
        {"bpf", try_bpf},
        {"write-file", try_write_file},
        {"make-file", try_make_file},
        {"make-directory", try_make_directory},
        {"map-code", try_map_code},
        {"data-into-code", try_turn_data_into_code},
        {"packet-socket", try_packet_socket},
        {"x25-socket", try_x25_socket},
        {"listen", try_listen},
        {"limit-master", try_limit_master},
        {"thread", try_thread},
        {"read-file", try_read_file},
        {"resolve", try_resolve},
        {"udp-socket", try_udp_socket},
        {"own-limit", try_own_limit},
    };
    for (size_t i = 0; i < TW_COUNT(tries); i++)
        if (strcmp(tries[i].word, word) == 0)
            return tries[i].act();
    return -1;
}

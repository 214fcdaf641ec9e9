// SPDX-License-Identifier: Apache-2.0
// harness: the real master with a worker that behaves badly on command, for test_master.py.
//
//   harness -c FILE [-c FILE]...
//
// The worker accepts on its listening sockets and obeys one line per connection:
//   who          "INDEX PID"                   fds        its open descriptors
//   exit N       leave with code N             signal N   raise a signal
//   spin         never turn the loop again     ready N    say these TW_READY_* bits
//   stubborn     ignore being told to drain    metrics    set one gauge and one counter to 7
//   linger       when told to drain, close the listening sockets but stay
//   try WORD        do what a worker may not, or must (rights.c): 0, or errno
//   kid I N      report N unknown key ids      keys I     generation and text of slot I's document
// TILLWAY_HARNESS_START=die: leave with code 3 at once; =unready: say no bits; =mute: never turn.
// The same word may stand in the file that TILLWAY_HARNESS_MODE names, for workers to come. Not
// for: anything else. Blocking reads and asserts are fine here.

#include <assert.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/heritage.h"
#include "gateway/ipc.h"
#include "gateway/log.h"
#include "tests/master/rights.h"

struct worker {
    const struct tw_heritage *heritage;
    struct tw_worker_page *page;
    bool stubborn;
    bool linger;
    bool draining;
    bool waits;
};

static void spin(void)
{
    for (volatile unsigned turns = 0;; turns++)
        ;
}

static void list_fds(FILE *out)
{
    DIR *directory = opendir("/proc/self/fd");
    assert(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
            fprintf(out, "%s ", entry->d_name);
    closedir(directory);
    fprintf(out, "connection=%d\n", fileno(out));
}

static void show_keys(const struct worker *worker, size_t issuer, FILE *out)
{
    char *text = malloc(TW_DOCUMENT_MAX_BYTES);
    size_t n = 0;
    uint64_t generation = 0;
    assert(text);
    if (!tw_shared_document_read(worker->heritage->shared, issuer, text, &n, &generation))
        n = 0;
    fprintf(out, "%u %.*s\n", (unsigned)generation, (int)n, text);
    free(text);
}

static void report_kids(const struct worker *worker, unsigned issuer, unsigned n, FILE *out)
{
    unsigned sent = 0;
    for (unsigned i = 0; i < n; i++)
        sent += tw_ipc_send(worker->heritage->ipc_fd, TW_IPC_UNKNOWN_KID, issuer);
    fprintf(out, "%u\n", sent);
}

static void obey(struct worker *worker, const char *line, FILE *out)
{
    unsigned a = 0, b = 0;
    char word[16] = "", what[32] = "";
    sscanf(line, "%15s %u %u", word, &a, &b);
    if (sscanf(line, "try %31s", what) == 1)
        fprintf(out, "%d\n", tw_try(what));
    if (strcmp(word, "exit") == 0)
        exit((int)a);
    if (strcmp(word, "signal") == 0)
        raise((int)a);
    if (strcmp(word, "spin") == 0)
        spin();
    if (strcmp(word, "who") == 0)
        fprintf(out, "%u %d\n", worker->heritage->worker_index, (int)getpid());
    if (strcmp(word, "fds") == 0)
        list_fds(out);
    if (strcmp(word, "ready") == 0)
        atomic_store(&worker->page->ready, a);
    if (strcmp(word, "stubborn") == 0)
        worker->stubborn = true;
    if (strcmp(word, "linger") == 0)
        worker->linger = true;
    if (strcmp(word, "metrics") == 0) {
        tw_metric_set(worker->page, TW_METRIC_CONNECTIONS_OPEN, 7);
        tw_metric_set(worker->page, TW_METRIC_CONNECTIONS_ACCEPTED, 7);
        tw_stats_request(worker->page, 1, 200, 1500);
    }
    if (strcmp(word, "kid") == 0)
        report_kids(worker, a, b, out);
    if (strcmp(word, "keys") == 0)
        show_keys(worker, a, out);
}

static void serve_one(struct worker *worker, int listen_fd)
{
    char line[128];
    const struct timeval patience = {.tv_sec = 1};
    int fd = accept(listen_fd, NULL, NULL);
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    FILE *stream = fdopen(fd, "r+");
    assert(stream);
    if (fgets(line, sizeof(line), stream))
        obey(worker, line, stream);
    fprintf(stream, "ok\n");
    fclose(stream);
}

static void linger(const struct worker *worker)
{
    for (size_t i = 0; i < worker->heritage->n_listen_fds; i++)
        close(worker->heritage->listen_fds[i]);
    for (;;) {
        atomic_store(&worker->page->heartbeat_us, tw_now_us());
        poll(NULL, 0, 50);
    }
}

static void hear_master(struct worker *worker)
{
    struct tw_ipc_message message;
    enum tw_ipc_read got = tw_ipc_read(worker->heritage->ipc_fd, &message);
    bool told = got == TW_IPC_READ_MESSAGE && message.kind == TW_IPC_DRAIN;
    if (got == TW_IPC_READ_MESSAGE && message.kind == TW_IPC_ACCEPT) {
        worker->waits = false;
        atomic_fetch_or(&worker->page->ready, TW_READY_SERVING);
    }
    if (told && !worker->stubborn)
        atomic_fetch_and(&worker->page->ready, ~TW_READY_SERVING);
    if (told && worker->linger)
        linger(worker);
    if (got == TW_IPC_READ_CLOSED || (told && !worker->stubborn))
        worker->draining = true;
}

static void turn(struct worker *worker)
{
    struct pollfd fds[64 + 1];
    size_t n = worker->heritage->n_listen_fds;
    assert(n <= 64);
    n = worker->waits ? 0 : n;
    for (size_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = worker->heritage->listen_fds[i], .events = POLLIN};
    fds[n] = (struct pollfd){.fd = worker->heritage->ipc_fd, .events = POLLIN};
    poll(fds, n + 1, 50);
    atomic_store(&worker->page->heartbeat_us, tw_now_us());
    for (size_t i = 0; i < n; i++)
        if (fds[i].revents)
            serve_one(worker, fds[i].fd);
    if (fds[n].revents)
        hear_master(worker);
}

static const char *read_mode(char *mode, int size)
{
    const char *path = getenv("TILLWAY_HARNESS_MODE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file)
        return "";
    const char *line = fgets(mode, size, file);
    fclose(file);
    return line ? line : "";
}

int tw_worker_run(const struct tw_heritage *heritage)
{
    struct worker worker = {
        .heritage = heritage,
        .page = tw_shared_worker(heritage->shared, heritage->row),
    };
    char mode[16] = "";
    const char *start = getenv("TILLWAY_HARNESS_START");
    start = start ? start : read_mode(mode, sizeof(mode));
    if (strcmp(start, "die") == 0)
        return 3;
    while (strcmp(start, "mute") == 0)
        sleep(1);
    worker.waits = heritage->waits;
    unsigned ready = TW_READY_ALL | TW_READY_CACHE;
    atomic_store(&worker.page->ready, strcmp(start, "unready") == 0 ? 0
                                      : worker.waits                ? ready & ~TW_READY_SERVING
                                                                    : ready);
    while (!worker.draining)
        turn(&worker);
    tw_log(TW_LEVEL_INFO, "harness_drained", "worker %u leaves", heritage->worker_index);
    return 0;
}

struct paths {
    const char *paths[8];
    size_t n;
};

static struct tw_config *load(void *arg, char *err, size_t err_size)
{
    const struct paths *paths = arg;
    return tw_config_load(paths->paths, paths->n, err, err_size);
}

int main(int argc, char **argv)
{
    static const struct tw_route rows[] = {{.method = TW_GET, .pattern = "/v1/things/{thingId}"},
                                           {.method = TW_POST, .pattern = "/v1/things"}};
    static const struct tw_route_table routes = {rows, TW_STR(""), TW_COUNT(rows)};
    struct paths paths = {.n = 0};
    char err[4096];
    for (int option; (option = getopt(argc, argv, "c:")) == 'c' && paths.n < TW_COUNT(paths.paths);)
        paths.paths[paths.n++] = optarg;
    struct tw_config *config = load(&paths, err, sizeof(err));
    if (!config) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    const struct tw_master_setup setup = {&routes, load, &paths, argv};
    return tw_master_run(&setup, config);
}

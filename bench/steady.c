// SPDX-License-Identifier: Apache-2.0
//
// steady: an open-loop client. Each request has a time at which it is due, and its latency counts
// from that time: a server that pauses has all that was due meanwhile on its account ("coordinated
// omission" is what wrk and h2load do instead). HTTP/1.1, one request at a time on a connection.
//
//   steady PORT RATE SECONDS CONNECTIONS REQUESTS WARM_SECONDS again|once
//
// REQUESTS is a file of whole requests, each after a line with its length in bytes; they are sent
// in turn, and `again` from the first when the last was sent. Due times are a Poisson process
// (independent clients), drawn from a fixed seed. A request that is due while no connection is free
// waits in a queue, and that wait is in its latency. What is due in the first WARM_SECONDS is sent
// and not counted. With RATE 0 it is a closed loop: a free connection sends at once.
//
// Prints one line of JSON: requests, seconds, what was answered by status class, errors, and
// percentiles of the latency in microseconds from a histogram with 128 steps for each power of two
// (values are exact to 0.8 %). "late_us" is by how much it was itself late in sending, p99,
// although a connection was free: when that is large, the client had no processor and the figures
// mean little.

#define _GNU_SOURCE 1

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    STEP_BITS = 7, // 128 steps for each power of two
    STEPS = 1 << STEP_BITS,
    BUCKETS = 40 * STEPS, // far more than an hour in microseconds
    INPUT_MAX = 1 << 20,
    DRAIN_NS = 2000000000, // for the last answers to come
};

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t n;
};

struct message {
    const char *base;
    size_t len;
};

struct connection {
    int fd;
    struct connection *next; // while it is free
    uint64_t due_ns;         // of the request in flight
    bool is_counted;
    const struct message *message;
    size_t sent;
    size_t filled; // of `input`
    size_t answer; // bytes of head and body; 0 until the head is complete
    char *input;
};

static struct {
    struct message *messages;
    size_t n_messages;
    struct connection *free;
    int epoll;
    uint64_t began_ns, warm_until_ns, end_ns, last_ns;
    uint64_t due_ns;   // of the next request
    uint64_t freed_ns; // when a connection became free after none had been
    double mean_gap_ns;
    size_t next_message;
    bool is_closed; // loop
    bool is_once;   // each request
    uint64_t in_flight;
    uint64_t by_class[6];
    struct histogram latency, late;
    uint64_t random;
} steady;

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "steady: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

// ---- histogram
// ------------------------------------------------------------------------------------

static size_t bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < STEPS)
        return (size_t)value;
    shift = 63U - (unsigned)__builtin_clzll(value) - STEP_BITS;
    return ((size_t)shift + 1) * STEPS + (size_t)((value >> shift) - STEPS);
}

static uint64_t value_of(size_t bucket)
{
    size_t shift = bucket / STEPS;

    if (shift == 0)
        return bucket;
    return (uint64_t)(bucket % STEPS + STEPS) << (shift - 1);
}

static void count(struct histogram *h, uint64_t value)
{
    size_t bucket = bucket_of(value);

    h->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->n++;
}

static uint64_t percentile(const struct histogram *h, double percent)
{
    uint64_t rank = (uint64_t)ceil((double)h->n * percent / 100);
    uint64_t seen = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank && seen > 0)
            return value_of(i);
    }
    return 0;
}

// ---- requests
// -------------------------------------------------------------------------------------

static void load(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t len;
    char *base;

    if (f == NULL)
        die(path);
    while (fscanf(f, "%zu", &len) == 1 && fgetc(f) == '\n') {
        if (len == 0 || (base = malloc(len)) == NULL || fread(base, 1, len, f) != len)
            die("bad file of requests");
        steady.messages = reallocarray(steady.messages, steady.n_messages + 1,
                                       sizeof(struct message));
        if (steady.messages == NULL)
            die("no memory");
        steady.messages[steady.n_messages++] = (struct message){base, len};
    }
    fclose(f);
    if (steady.n_messages == 0)
        die("no requests");
}

static double random_unit(void) // in (0, 1]
{
    steady.random ^= steady.random << 13;
    steady.random ^= steady.random >> 7;
    steady.random ^= steady.random << 17;
    return ((double)(steady.random >> 11) + 1) / 9007199254740992.0;
}

static void schedule_next(void)
{
    steady.due_ns += (uint64_t)(-log(random_unit()) * steady.mean_gap_ns);
}

// ---- connections
// ----------------------------------------------------------------------------------

static void watch(struct connection *c, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(steady.epoll, how, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void send_rest(struct connection *c)
{
    ssize_t n = send(c->fd, c->message->base + c->sent, c->message->len - c->sent,
                     MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno != EAGAIN)
        die("send");
    c->sent += n > 0 ? (size_t)n : 0;
    if (c->sent < c->message->len)
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

// Nothing more is to be sent.
static bool is_over(void)
{
    return steady.due_ns >= steady.end_ns ||
           (steady.is_once && steady.next_message == steady.n_messages);
}

static void begin_request(uint64_t now)
{
    struct connection *c = steady.free;

    if (steady.next_message == steady.n_messages)
        steady.next_message = 0;

    steady.free = c->next;
    c->due_ns = steady.due_ns;
    c->is_counted = steady.due_ns >= steady.warm_until_ns;
    c->message = &steady.messages[steady.next_message++];
    c->sent = c->filled = c->answer = 0;
    if (c->is_counted)
        count(&steady.late,
              (now - (steady.freed_ns > steady.due_ns ? steady.freed_ns : steady.due_ns)) / 1000);
    steady.in_flight++;
    if (!steady.is_closed)
        schedule_next();
    send_rest(c);
}

// The length of head and body; 0 while the head is not complete.
static size_t answer_length(const struct connection *c)
{
    const char *end = memmem(c->input, c->filled, "\r\n\r\n", 4);
    const char *line;

    if (end == NULL)
        return 0;
    for (line = c->input; line < end;
         line = (const char *)memchr(line, '\n', (size_t)(end + 2 - line)) + 1)
        if (strncasecmp(line, "content-length:", 15) == 0)
            return (size_t)(end + 4 - c->input) + strtoul(line + 15, NULL, 10);
    die("an answer without Content-Length");
}

static void end_request(struct connection *c)
{
    uint64_t now = now_ns();

    if (c->is_counted) {
        unsigned class = c->filled > 9 ? (unsigned)(c->input[9] - '0') : 0;

        steady.by_class[class < 6 ? class : 0]++;
        count(&steady.latency, (now - c->due_ns) / 1000);
        steady.last_ns = now;
    }
    steady.in_flight--;
    if (steady.free == NULL)
        steady.freed_ns = now;
    c->next = steady.free;
    steady.free = c;
}

static void on_event(struct connection *c, uint32_t events)
{
    ssize_t n;

    if (events & EPOLLOUT) {
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
        send_rest(c);
    }
    if (!(events & ~(uint32_t)EPOLLOUT))
        return;
    n = recv(c->fd, c->input + c->filled, INPUT_MAX - c->filled, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the server has closed a connection");
    c->filled += (size_t)n;
    if (c->answer == 0)
        c->answer = answer_length(c);
    if (c->answer > INPUT_MAX)
        die("an answer is too long");
    if (c->answer > 0 && c->filled >= c->answer)
        end_request(c);
}

static void connect_all(int port, int connections)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < connections; i++) {
        struct connection *c = calloc(1, sizeof(*c));

        if (c == NULL || (c->input = malloc(INPUT_MAX)) == NULL)
            die("no memory");
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
            die("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
        c->next = steady.free;
        steady.free = c;
    }
}

// ---- the run
// --------------------------------------------------------------------------------------

// Sleeps until something can be read or the next request is due, to the microsecond.
static void wait_and_serve(uint64_t now)
{
    struct epoll_event events[64];
    struct timespec timeout = {0, 0};
    uint64_t until = steady.due_ns;
    int n;

    if (steady.free == NULL || is_over()) // only an answer helps
        until = now + 10000000;
    if (until > now)
        timeout = (struct timespec){(time_t)((until - now) / 1000000000),
                                    (long)((until - now) % 1000000000)};
    n = epoll_pwait2(steady.epoll, events, 64, &timeout, NULL);
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

static void run(void)
{
    for (;;) {
        uint64_t now = now_ns();

        if (steady.is_closed)
            steady.due_ns = now;
        while (steady.free != NULL && steady.due_ns <= now && !is_over()) {
            begin_request(now);
            now = now_ns();
            if (steady.is_closed)
                steady.due_ns = now;
        }
        if (is_over() && steady.in_flight == 0)
            return;
        if (now > steady.end_ns + DRAIN_NS)
            return;
        wait_and_serve(now);
    }
}

// What was due and neither sent nor answered is an error, not a latency that nobody saw.
static void report(void)
{
    uint64_t unsent = 0;
    const struct histogram *h = &steady.latency;
    uint64_t until = steady.is_closed ? steady.last_ns : steady.end_ns;

    for (; !steady.is_closed && !is_over(); unsent++)
        schedule_next();
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"ok\": %llu, \"refused\": %llu, \"failed\": "
           "%llu, "
           "\"lost\": %llu, ",
           (unsigned long long)h->n, (double)(until - steady.warm_until_ns) / 1e9,
           (unsigned long long)steady.by_class[2], (unsigned long long)steady.by_class[4],
           (unsigned long long)steady.by_class[5], (unsigned long long)(steady.in_flight + unsent));
    printf("\"p50_us\": %llu, \"p99_us\": %llu, \"p999_us\": %llu, \"max_us\": %llu, \"late_us\": "
           "%llu}\n",
           (unsigned long long)percentile(h, 50), (unsigned long long)percentile(h, 99),
           (unsigned long long)percentile(h, 99.9), (unsigned long long)percentile(h, 100),
           (unsigned long long)percentile(&steady.late, 99));
}

int main(int argc, char **argv)
{
    double rate, seconds, warm;

    if (argc != 8)
        die("usage: steady PORT RATE SECONDS CONNECTIONS REQUESTS WARM_SECONDS again|once");
    rate = strtod(argv[2], NULL);
    seconds = strtod(argv[3], NULL);
    warm = strtod(argv[6], NULL);
    if (!(rate >= 0) || !(seconds > 0) || !(warm >= 0))
        die("RATE, SECONDS and WARM_SECONDS are numbers, SECONDS above 0");
    steady.is_closed = rate == 0;
    steady.is_once = strcmp(argv[7], "once") == 0;
    load(argv[5]);
    steady.epoll = epoll_create1(0);
    if (steady.epoll < 0)
        die("epoll_create1");
    connect_all((int)strtol(argv[1], NULL, 10), (int)strtol(argv[4], NULL, 10));
    steady.random = 88172645463325252U;
    steady.mean_gap_ns = steady.is_closed ? 0 : 1e9 / rate;
    steady.began_ns = steady.due_ns = now_ns();
    steady.warm_until_ns = steady.began_ns + (uint64_t)(warm * 1e9);
    steady.end_ns = steady.warm_until_ns + (uint64_t)(seconds * 1e9);
    run();
    report();
    return 0;
}

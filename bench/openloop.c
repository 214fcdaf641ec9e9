// SPDX-License-Identifier: Apache-2.0
// bench-openloop: sends requests when they are due, whether or not earlier ones have an answer.
//
//   bench-openloop [-c CONNECTIONS] [-r RATE] [-w SECONDS] [-s SECONDS] [-H HEADER]... [-b BODY]
//                  [-p FILE] [-t MS] [-o] URL
//
// RATE requests a second, with the gaps of a crowd (exponential); 0: each connection sends again as
// soon as it has its answer. -w: so long before it begins to count (warm-up); -s: so long it
// counts. URL is http://ADDRESS:PORT/PATH; with BODY it is a POST. In headers and BODY {key}
// becomes a word that is never used twice, {register} a number of two digits, {product} one of the
// ids of 36 letters that FILE holds, one a line.
//
// -t: the clock is cut into even and odd turns of so many ms, the same for every process of this
// machine, and of each there is a line `even_p99_ms` or `odd_p99_ms` with p99 of the good answers
// to what was due in it. With -o nothing is due in even ones: so two generators show what the one
// does to the other, from turn to turn of the same machine.
//
// A request that finds no idle connection keeps its place in the schedule and goes out late; its
// time counts from when it was due, so a pause of the server is felt by all who would have come
// (no coordinated omission). Answers that come after the end count as late, not for the rates.
//
// Late by the generator's own fault is what had a connection and was not sent: from when it was due
// (or, if later, from when a connection became idle) to when it was sent. own_late counts those of
// more than OWN_LATE_US; cpu_us is the generator's processor time, waited_us how long it was ready
// to run and had no processor, both while it counted. Who finds much of it measures the generator.
//
// Prints lines of a name and a value; times in ms unless the name says otherwise. One thread. A
// request is made once; only the words in braces, of fixed width, are written anew. Bodies are
// dropped unread (MSG_TRUNC). It sleeps until a request is due or an answer comes; the kernel's
// timer slack (50 us) makes one wake-up of several requests that are due within it. It asks for
// short turns on the processor (SLICE_NS), as the clients of a till do not wait for the till's
// server. Not for: TLS, HTTP/2, chunked answers.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // strcasestr, epoll_pwait2
#endif

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
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/histogram.h"
#include "bench/turns.h"

#define CONNECTIONS_MAX 20000
#define REQUEST_BYTES   8192
#define HEAD_BYTES      4096
#define ID_BYTES        36
#define WORDS_MAX       16
#define DRAIN_US        5000000 // for the answers after the last request
#define DROP_BYTES      (1 << 20)
#define EVENTS          256
#define OWN_LATE_US     1000
#define SLICE_NS        100000 // the least that Linux grants

enum kind { OK, SHED, OTHER, KINDS };
static const char *const kind_names[KINDS] = {"ok", "shed", "other"};

// A word in braces, of fixed width, at a place in the request.
enum word { KEY, REGISTER, PRODUCT, WORDS };
static const struct {
    const char *name;
    size_t bytes;
} words[WORDS] = {{"{key}", 16}, {"{register}", 2}, {"{product}", ID_BYTES}};

struct client {
    int fd;
    bool busy, sending, has_request;
    uint64_t due_us, sent_us;
    size_t request_sent;
    size_t head_n, body_left; // of the answer; body_left counts from the head's end on
    bool in_body;
    int status;
    char request[REQUEST_BYTES], head[HEAD_BYTES];
};

static struct {
    const char *path, *body, *products;
    char host[64], headers[REQUEST_BYTES / 2];
    struct sockaddr_in address;
    unsigned connections, seconds, warm_seconds, turn_us;
    bool odd_only;
    double rate;
    size_t products_n;
    uint64_t run, sent, chance;
} setting = {.connections = 8, .seconds = 5};

// What every request is made of.
static struct {
    size_t n, places_n;
    struct {
        enum word word;
        size_t at;
    } places[WORDS_MAX];
    char bytes[REQUEST_BYTES];
} pattern;

static struct {
    uint64_t n[KINDS], in_time[KINDS], all[KINDS]; // all: the warm-up's too
    uint64_t late, lost, scheduled, unsent, own_late;
    uint64_t cpu_us, waited_us;
    uint64_t from_due[KINDS][BUCKETS], from_sent[KINDS][BUCKETS], longest_us[KINDS];
    uint64_t own[BUCKETS], own_longest_us;
} seen;

static struct client *clients, **idle; // a ring: who has been idle longest is next
static unsigned idle_first, idle_n;
static int poller;
static uint64_t count_us, end_us; // from when to when it counts
static uint64_t idle_since_us;    // when a connection became idle while none was
static char dropped[DROP_BYTES];

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "bench-openloop: %s: %s\n", what, detail);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

// xorshift64*
static uint64_t chance(void)
{
    setting.chance ^= setting.chance >> 12;
    setting.chance ^= setting.chance << 25;
    setting.chance ^= setting.chance >> 27;
    return setting.chance * 0x2545f4914f6cdd1dULL;
}

static double gap_us(void)
{
    double x = ((double)(chance() >> 11) + 1) / 9007199254740993.0; // in (0, 1]
    return -log(x) * 1e6 / setting.rate;
}

// When the request after one at `due` is due.
static double next_due(double due)
{
    due += gap_us();
    while (setting.odd_only && (uint64_t)due / setting.turn_us % 2 == 0)
        due = (double)((uint64_t)due / setting.turn_us + 1) * setting.turn_us + gap_us();
    return due;
}

// ---- what was seen ------------------------------------------------------------------------------

static void answered(struct client *client)
{
    uint64_t now = now_us(), took_us = now - client->due_us;
    bool ok = client->status >= 200 && client->status < 300;
    enum kind kind = ok ? OK : client->status == 503 ? SHED : OTHER;
    seen.all[kind]++;
    if (client->due_us < count_us)
        return;
    seen.n[kind]++;
    seen.in_time[kind] += now <= end_us;
    seen.late += now > end_us;
    seen.from_due[kind][bucket_of(took_us)]++;
    seen.from_sent[kind][bucket_of(now - client->sent_us)]++;
    if (took_us > seen.longest_us[kind])
        seen.longest_us[kind] = took_us;
    if (ok && setting.turn_us > 0)
        count_in_turn(client->due_us / setting.turn_us, took_us);
}

static void print_all(void)
{
    printf("scheduled %lu\nlost %lu\nlate %lu\nunsent %lu\n", (unsigned long)seen.scheduled,
           (unsigned long)seen.lost, (unsigned long)seen.late, (unsigned long)seen.unsent);
    printf("offered_per_s %.1f\n", (double)seen.scheduled / setting.seconds);
    uint64_t sent = seen.scheduled - seen.unsent;
    printf("own_late %lu\nown_p99_ms %.3f\nown_p999_ms %.3f\nown_max_ms %.3f\n",
           (unsigned long)seen.own_late, percentile_ms(seen.own, sent, 0.99),
           percentile_ms(seen.own, sent, 0.999), (double)seen.own_longest_us / 1000.0);
    printf("cpu_us %lu\nwaited_us %lu\n", (unsigned long)seen.cpu_us,
           (unsigned long)seen.waited_us);
    for (int k = 0; k < KINDS; k++) {
        const char *name = kind_names[k];
        printf("%s %lu\nall_%s %lu\n%s_per_s %.1f\n", name, (unsigned long)seen.n[k], name,
               (unsigned long)seen.all[k], name, (double)seen.in_time[k] / setting.seconds);
        static const struct {
            const char *name;
            double part;
        } parts[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}};
        for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
            printf("%s_%s_ms %.3f\n", name, parts[p].name,
                   percentile_ms(seen.from_due[k], seen.n[k], parts[p].part));
            printf("%s_sent_%s_ms %.3f\n", name, parts[p].name,
                   percentile_ms(seen.from_sent[k], seen.n[k], parts[p].part));
        }
        printf("%s_max_ms %.3f\n", name, (double)seen.longest_us[k] / 1000.0);
    }
    print_turn(0);
    print_turn(1);
}

// ---- requests -----------------------------------------------------------------------------------

// Adds `text` to the pattern and remembers where its words in braces are.
static void add(const char *text)
{
    while (*text) {
        int word = 0;
        while (word < WORDS && strncmp(text, words[word].name, strlen(words[word].name)) != 0)
            word++;
        bool is_word = word < WORDS && (word != PRODUCT || setting.products);
        size_t n = is_word ? words[word].bytes : 1;
        if (pattern.n + n >= REQUEST_BYTES || (is_word && pattern.places_n == WORDS_MAX))
            fail("a request is too long", text);
        if (is_word) {
            pattern.places[pattern.places_n].word = (enum word)word;
            pattern.places[pattern.places_n++].at = pattern.n;
        } else {
            pattern.bytes[pattern.n] = *text;
        }
        text += is_word ? strlen(words[word].name) : 1;
        pattern.n += n;
    }
}

static void make_pattern(void)
{
    char line[REQUEST_BYTES / 2 + 128];
    snprintf(line, sizeof(line), "%s %s HTTP/1.1\r\nHost: %s\r\n", setting.body ? "POST" : "GET",
             setting.path, setting.host);
    add(line);
    add(setting.headers);
    if (setting.body) {
        // The length is known when the body has been added: a dry run of it.
        size_t n = pattern.n, places_n = pattern.places_n;
        add(setting.body);
        size_t body_n = pattern.n - n;
        pattern.n = n;
        pattern.places_n = places_n;
        snprintf(line, sizeof(line), "Content-Length: %zu\r\n", body_n);
        add(line);
    }
    add("\r\n");
    add(setting.body ? setting.body : "");
}

static void write_word(char *out, enum word word, uint64_t number)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = word == KEY ? setting.run << 32 | (number & 0xffffffff) : chance();
    switch (word) {
    case KEY:
        for (int i = 0; i < 16; i++)
            out[i] = digits[value >> (60 - 4 * i) & 15];
        break;
    case REGISTER:
        value = 10 + value % 64;
        out[0] = digits[value / 10];
        out[1] = digits[value % 10];
        break;
    default:
        memcpy(out, setting.products + value % setting.products_n * (ID_BYTES + 1), ID_BYTES);
    }
}

static void compose(struct client *client)
{
    uint64_t number = setting.sent++;
    if (!client->has_request)
        memcpy(client->request, pattern.bytes, pattern.n);
    client->has_request = true;
    for (size_t i = 0; i < pattern.places_n; i++)
        write_word(client->request + pattern.places[i].at, pattern.places[i].word, number);
    client->request_sent = 0;
}

static void watch(struct client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (client->sending ? EPOLLOUT : 0),
                                .data.ptr = client};
    if (epoll_ctl(poller, operation, client->fd, &event))
        fail("epoll_ctl", strerror(errno));
}

static void open_client(struct client *client)
{
    int yes = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 ||
        connect(client->fd, (struct sockaddr *)&setting.address, sizeof(setting.address)))
        fail("connect", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    client->busy = client->sending = client->in_body = false;
    client->head_n = 0;
    watch(client, EPOLL_CTL_ADD);
}

static void is_idle(struct client *client)
{
    if (idle_n == 0)
        idle_since_us = now_us();
    client->busy = client->in_body = false;
    client->head_n = 0;
    idle[(idle_first + idle_n++) % setting.connections] = client;
}

static void open_again(struct client *client)
{
    bool was_idle = !client->busy;
    seen.lost += client->busy;
    close(client->fd);
    open_client(client);
    if (!was_idle)
        is_idle(client);
}

static void send_more(struct client *client)
{
    ssize_t n = send(client->fd, client->request + client->request_sent,
                     pattern.n - client->request_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        client->request_sent += (size_t)n;
    bool sending = client->request_sent < pattern.n;
    if (sending != client->sending) {
        client->sending = sending;
        watch(client, EPOLL_CTL_MOD);
    }
}

// due_us: 0 in a closed loop.
static void send_request(uint64_t due_us)
{
    struct client *client = idle[idle_first];
    idle_first = (idle_first + 1) % setting.connections;
    idle_n--;
    compose(client);
    client->busy = true;
    client->sent_us = now_us();
    client->due_us = due_us ? due_us : client->sent_us;
    send_more(client);
    if (client->due_us < count_us)
        return;
    uint64_t since_us = client->due_us > idle_since_us ? client->due_us : idle_since_us;
    uint64_t own_us = client->sent_us - since_us;
    seen.scheduled++;
    seen.own[bucket_of(own_us)]++;
    seen.own_late += own_us > OWN_LATE_US;
    if (own_us > seen.own_longest_us)
        seen.own_longest_us = own_us;
}

// ---- answers ------------------------------------------------------------------------------------

// The head is whole up to `end`: what follows of the body has been read with it.
static void read_head(struct client *client, const char *end)
{
    client->head[client->head_n] = 0;
    if (strncmp(client->head, "HTTP/1.1 ", 9) != 0)
        fail("no answer", client->head);
    client->status = (int)strtol(client->head + 9, NULL, 10);
    const char *length = strcasestr(client->head, "\r\ncontent-length:");
    client->body_left = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t with_head = client->head_n - (size_t)(end - client->head);
    if (with_head > client->body_left)
        fail("more than an answer", client->head);
    client->body_left -= with_head;
    client->in_body = true;
}

static ssize_t receive(struct client *client)
{
    if (client->in_body) {
        size_t most = client->body_left < DROP_BYTES ? client->body_left : DROP_BYTES;
        ssize_t n = recv(client->fd, dropped, most, MSG_DONTWAIT | MSG_TRUNC);
        client->body_left -= n > 0 ? (size_t)n : 0;
        return n;
    }
    ssize_t n = recv(client->fd, client->head + client->head_n, HEAD_BYTES - 1 - client->head_n,
                     MSG_DONTWAIT);
    if (n <= 0)
        return n;
    client->head_n += (size_t)n;
    client->head[client->head_n] = 0;
    const char *end = strstr(client->head, "\r\n\r\n");
    if (end)
        read_head(client, end + 4);
    else if (client->head_n == HEAD_BYTES - 1)
        fail("a head too long", client->head);
    return n;
}

static void on_event(struct client *client, uint32_t events)
{
    if (client->sending && events & EPOLLOUT)
        send_more(client);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    for (;;) {
        ssize_t n = receive(client);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            open_again(client);
            return;
        }
        if (client->in_body && client->body_left == 0)
            break;
    }
    answered(client);
    is_idle(client);
}

static void wait_until(uint64_t until_us)
{
    struct epoll_event events[EVENTS];
    uint64_t now = now_us(), wait_us = until_us > now ? until_us - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000),
                            .tv_nsec = (long)(wait_us % 1000000 * 1000)};
    int n = epoll_pwait2(poller, events, EVENTS, &wait, NULL);
    if (n < 0 && errno != EINTR)
        fail("epoll_pwait2", strerror(errno));
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

// ---- the run ------------------------------------------------------------------------------------

// What this thread has used, and how long it waited for a processor.
static void read_cpu(uint64_t *cpu_us, uint64_t *waited_us)
{
    unsigned long used = 0, waited = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (file && fscanf(file, "%lu %lu", &used, &waited) == 2) {
        *cpu_us = used / 1000 - *cpu_us;
        *waited_us = waited / 1000 - *waited_us;
    }
    if (file)
        fclose(file);
}

static void run(void)
{
    double due = (double)now_us();
    bool paced = setting.rate > 0, counts = false;
    count_us = (uint64_t)due + (uint64_t)setting.warm_seconds * 1000000;
    end_us = count_us + (uint64_t)setting.seconds * 1000000;
    for (uint64_t now = now_us();; now = now_us()) {
        bool is_over = now >= end_us;
        if (!counts && now >= count_us) {
            counts = true;
            read_cpu(&seen.cpu_us, &seen.waited_us);
        }
        while (idle_n > 0 && due < (double)end_us && (paced ? due <= (double)now : !is_over)) {
            send_request(paced ? (uint64_t)due : 0);
            due = paced ? next_due(due) : due;
        }
        if (is_over)
            break;
        bool waits = paced && idle_n > 0 && due < (double)end_us;
        wait_until(waits ? (uint64_t)due : end_us);
    }
    read_cpu(&seen.cpu_us, &seen.waited_us);
    for (; paced && due < (double)end_us; due = next_due(due))
        seen.unsent++; // no connection was idle
    seen.scheduled += seen.unsent;
    while (idle_n < setting.connections && now_us() < end_us + DRAIN_US)
        wait_until(end_us + DRAIN_US);
    seen.lost += setting.connections - idle_n;
}

// Short turns, and soon: what a client on a machine of its own would have. Linux before 6.12 has
// no such wish for an ordinary thread and does as ever.
static void ask_for_short_turns(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } wish = {.size = 48, .runtime_ns = SLICE_NS};
    (void)syscall(SYS_sched_setattr, 0, &wish, 0);
}

static void read_products(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = malloc(DROP_BYTES);
    if (!file || !text)
        fail(path, strerror(errno));
    size_t n = fread(text, 1, DROP_BYTES, file);
    fclose(file);
    if (n < ID_BYTES + 1 || n % (ID_BYTES + 1) != 0)
        fail(path, "not lines of ids");
    setting.products = text;
    setting.products_n = n / (ID_BYTES + 1);
}

static void read_url(const char *url)
{
    static const char scheme[] = "http://";
    char address[INET_ADDRSTRLEN] = "", *end = NULL;
    const char *host = url + sizeof(scheme) - 1;
    const char *colon = strncmp(url, scheme, sizeof(scheme) - 1) == 0 ? strchr(host, ':') : NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || *end != '/' || (size_t)(colon - host) >= sizeof(address))
        fail(url, "not http://ADDRESS:PORT/PATH");
    memcpy(address, host, (size_t)(colon - host));
    setting.path = end;
    snprintf(setting.host, sizeof(setting.host), "%s:%lu", address, port);
    setting.address.sin_family = AF_INET;
    setting.address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, address, &setting.address.sin_addr) != 1)
        fail(address, "no address");
}

static void add_header(const char *header)
{
    size_t n = strlen(setting.headers);
    int more = snprintf(setting.headers + n, sizeof(setting.headers) - n, "%s\r\n", header);
    if (more < 0 || n + (size_t)more >= sizeof(setting.headers))
        fail("headers are too long", header);
}

static void read_words(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "c:r:w:s:H:b:p:t:o")) != -1;) {
        switch (option) {
        case 'c':
            setting.connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            setting.rate = strtod(optarg, NULL);
            break;
        case 'w':
            setting.warm_seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            setting.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'H':
            add_header(optarg);
            break;
        case 'b':
            setting.body = optarg;
            break;
        case 'p':
            read_products(optarg);
            break;
        case 't':
            setting.turn_us = 1000 * (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'o':
            setting.odd_only = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind != argc - 1 || setting.seconds == 0 || setting.connections == 0 ||
        setting.connections > CONNECTIONS_MAX || (setting.odd_only && setting.turn_us == 0))
        fail("usage", "[-c CONNECTIONS] [-r RATE] [-w SECONDS] [-s SECONDS] [-H HEADER]... [-b "
                      "BODY] [-p FILE] [-t MS] [-o] URL");
    read_url(argv[optind]);
}

int main(int argc, char **argv)
{
    read_words(argc, argv);
    setting.run = now_us();
    setting.chance = setting.run | 1;
    make_pattern();
    ask_for_short_turns();
    poller = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(setting.connections, sizeof(clients[0]));
    idle = calloc(setting.connections, sizeof(struct client *));
    if (poller < 0 || !clients || !idle)
        fail("begin", strerror(errno));
    for (unsigned i = 0; i < setting.connections; i++) {
        open_client(&clients[i]);
        idle[idle_n++] = &clients[i];
    }
    run();
    print_all();
    return 0;
}

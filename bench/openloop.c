// SPDX-License-Identifier: Apache-2.0
// bench-openloop: sends requests when they are due, whether or not earlier ones have an answer.
//
//   bench-openloop [-c CONNECTIONS] [-r RATE] [-s SECONDS] [-H HEADER]... [-b BODY] [-p FILE] URL
//
// RATE requests a second, with the gaps of a crowd (exponential); 0: each connection sends again as
// soon as it has its answer. URL is http://ADDRESS:PORT/PATH; with BODY it is a POST. In headers
// and BODY {key} becomes a word that is never used twice, {register} a number of two digits,
// {product} one of the ids of 36 letters that FILE holds, one a line.
//
// A request that finds no idle connection keeps its place in the schedule and goes out late; its
// time counts from when it was due, so a pause of the server is felt by all who would have come
// (no coordinated omission). Answers that come after SECONDS count as late, not for the rates.
// Prints lines of a name and a value; times in ms. One thread; bodies are dropped unread
// (MSG_TRUNC), so that it costs the machine little beside what it measures.
// Not for: TLS, HTTP/2, chunked answers.
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
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 20000
#define REQUEST_BYTES   8192
#define HEAD_BYTES      4096
#define ID_BYTES        36
#define DRAIN_US        5000000 // for the answers after the last request
#define DROP_BYTES      (1 << 20)
#define EVENTS          256

// Of microseconds: 128 steps for each power of two, so within 1 %.
#define STEPS   128
#define BUCKETS (STEPS * 40)

enum kind { OK, SHED, OTHER, KINDS };
static const char *const kind_names[KINDS] = {"ok", "shed", "other"};

struct client {
    int fd;
    bool busy, sending;
    uint64_t due_us, sent_us;
    size_t request_n, request_sent;
    size_t head_n, body_left; // of the answer; body_left counts from the head's end on
    bool in_body;
    int status;
    char request[REQUEST_BYTES], head[HEAD_BYTES];
};

static struct {
    const char *method, *path, *body, *products;
    char host[64], headers[REQUEST_BYTES / 2];
    struct sockaddr_in address;
    unsigned connections, seconds;
    double rate;
    size_t products_n;
    uint64_t run, sent, chance;
} setting = {.connections = 8, .seconds = 5};

static struct {
    uint64_t n[KINDS], in_time[KINDS], late, lost;
    uint64_t from_due[KINDS][BUCKETS], from_sent[KINDS][BUCKETS], longest_us[KINDS];
} seen;

static struct client *clients, **idle;
static unsigned idle_n;
static int poller;
static uint64_t end_us;
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

// ---- what was seen ------------------------------------------------------------------------------

static unsigned bucket_of(uint64_t us)
{
    if (us < STEPS * 2)
        return (unsigned)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - 7;
    unsigned bucket = shift * STEPS + (unsigned)(us >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double bucket_ms(unsigned bucket)
{
    if (bucket < STEPS * 2)
        return bucket / 1000.0;
    unsigned shift = bucket / STEPS - 1;
    return (double)((uint64_t)(bucket - shift * STEPS) << shift) / 1000.0;
}

static double percentile_ms(const uint64_t *buckets, uint64_t n, double part)
{
    uint64_t wanted = (uint64_t)ceil((double)n * part), sum = 0;
    for (unsigned b = 0; b < BUCKETS; b++)
        if ((sum += buckets[b]) >= wanted && sum > 0)
            return bucket_ms(b);
    return 0;
}

static void answered(struct client *client)
{
    uint64_t now = now_us(), took_us = now - client->due_us;
    bool ok = client->status >= 200 && client->status < 300;
    enum kind kind = ok ? OK : client->status == 503 ? SHED : OTHER;
    seen.n[kind]++;
    seen.in_time[kind] += now <= end_us;
    seen.late += now > end_us;
    seen.from_due[kind][bucket_of(took_us)]++;
    seen.from_sent[kind][bucket_of(now - client->sent_us)]++;
    if (took_us > seen.longest_us[kind])
        seen.longest_us[kind] = took_us;
}

static void print_all(uint64_t scheduled)
{
    printf("scheduled %lu\nlost %lu\nlate %lu\n", (unsigned long)scheduled,
           (unsigned long)seen.lost, (unsigned long)seen.late);
    printf("offered_per_s %.1f\n", (double)scheduled / setting.seconds);
    printf("unsent %lu\n", (unsigned long)(scheduled - setting.sent));
    for (int k = 0; k < KINDS; k++) {
        const char *name = kind_names[k];
        printf("%s %lu\n%s_per_s %.1f\n", name, (unsigned long)seen.n[k], name,
               (double)seen.in_time[k] / setting.seconds);
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
}

// ---- requests -----------------------------------------------------------------------------------

// Writes `text` with its words in braces replaced; a full buffer ends the program.
static size_t render(char *out, size_t size, const char *text, uint64_t number)
{
    size_t n = 0;
    while (*text && n + 64 < size) {
        if (strncmp(text, "{key}", 5) == 0) {
            n += (size_t)snprintf(out + n, size - n, "%08lx%08lx",
                                  (unsigned long)(setting.run & 0xffffffff), (unsigned long)number);
            text += 5;
        } else if (strncmp(text, "{register}", 10) == 0) {
            n += (size_t)snprintf(out + n, size - n, "%u", (unsigned)(10 + chance() % 64));
            text += 10;
        } else if (setting.products && strncmp(text, "{product}", 9) == 0) {
            const char *id = setting.products + chance() % setting.products_n * (ID_BYTES + 1);
            memcpy(out + n, id, ID_BYTES);
            n += ID_BYTES;
            text += 9;
        } else {
            out[n++] = *text++;
        }
    }
    if (*text)
        fail("a request is too long", text);
    out[n] = 0;
    return n;
}

static void compose(struct client *client)
{
    char body[REQUEST_BYTES / 2] = "", headers[REQUEST_BYTES / 2], length[48] = "";
    size_t body_n = 0;
    uint64_t number = setting.sent++;
    if (setting.body) {
        body_n = render(body, sizeof(body), setting.body, number);
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body_n);
    }
    render(headers, sizeof(headers), setting.headers, number);
    int n = snprintf(client->request, REQUEST_BYTES, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n%.*s",
                     setting.method, setting.path, setting.host, headers, length, (int)body_n,
                     body);
    if (n < 0 || n >= REQUEST_BYTES)
        fail("a request is too long", setting.path);
    client->request_n = (size_t)n;
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

static void open_again(struct client *client)
{
    bool was_idle = !client->busy;
    seen.lost += client->busy;
    close(client->fd);
    open_client(client);
    if (!was_idle)
        idle[idle_n++] = client;
}

static void send_more(struct client *client)
{
    ssize_t n = send(client->fd, client->request + client->request_sent,
                     client->request_n - client->request_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        client->request_sent += (size_t)n;
    bool sending = client->request_sent < client->request_n;
    if (sending != client->sending) {
        client->sending = sending;
        watch(client, EPOLL_CTL_MOD);
    }
}

static void send_request(uint64_t due_us)
{
    struct client *client = idle[--idle_n];
    compose(client);
    client->busy = true;
    client->sent_us = now_us();
    client->due_us = due_us ? due_us : client->sent_us;
    send_more(client);
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
    client->busy = client->in_body = false;
    client->head_n = 0;
    idle[idle_n++] = client;
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

// How many were due until the end; for rate 0 how many were sent.
static uint64_t run(void)
{
    uint64_t began = now_us(), scheduled = 0;
    double due = (double)began;
    bool paced = setting.rate > 0;
    end_us = began + (uint64_t)setting.seconds * 1000000;
    for (uint64_t now = began;; now = now_us()) {
        bool is_over = now >= end_us;
        while (idle_n > 0 && due < (double)end_us && (paced ? due <= (double)now : !is_over)) {
            send_request(paced ? (uint64_t)due : 0);
            due += paced ? gap_us() : 0;
            scheduled++;
        }
        if (is_over)
            break;
        bool waits = paced && idle_n > 0 && due < (double)end_us;
        wait_until(waits ? (uint64_t)due : end_us);
    }
    while (paced && due < (double)end_us) {
        due += gap_us();
        scheduled++; // no connection was idle
    }
    while (idle_n < setting.connections && now_us() < end_us + DRAIN_US)
        wait_until(end_us + DRAIN_US);
    seen.lost += setting.connections - idle_n;
    return scheduled;
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
    for (int option; (option = getopt(argc, argv, "c:r:s:H:b:p:")) != -1;) {
        switch (option) {
        case 'c':
            setting.connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            setting.rate = strtod(optarg, NULL);
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
        default:
            exit(2);
        }
    }
    if (optind != argc - 1 || setting.seconds == 0 || setting.connections == 0 ||
        setting.connections > CONNECTIONS_MAX)
        fail("usage",
             "[-c CONNECTIONS] [-r RATE] [-s SECONDS] [-H HEADER]... [-b BODY] [-p FILE] URL");
    setting.method = setting.body ? "POST" : "GET";
    read_url(argv[optind]);
}

int main(int argc, char **argv)
{
    read_words(argc, argv);
    setting.run = now_us();
    setting.chance = setting.run | 1;
    poller = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc(setting.connections, sizeof(clients[0]));
    idle = calloc(setting.connections, sizeof(struct client *));
    if (poller < 0 || !clients || !idle)
        fail("begin", strerror(errno));
    for (unsigned i = 0; i < setting.connections; i++) {
        open_client(&clients[i]);
        idle[idle_n++] = &clients[i];
    }
    print_all(run());
    return 0;
}

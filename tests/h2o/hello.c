// SPDX-License-Identifier: Apache-2.0
//
// hello: the smallest server on bare h2o, to prove the defects of the library
// and their patches (cases.py, prove.sh). It is no part of the gateway.
//
//   hello BODY_BYTES [ENTITY_MAX_BYTES]
//
// listens on a free port of 127.0.0.1, prints "port N" and answers every
// request with BODY_BYTES times 'x', or with "got N" when the request has a
// body of N bytes, or GET /served with how many requests there have been (HTTP/1.1, h2c by prior
// knowledge). SIGUSR1 begins h2o's graceful shutdown; the process stays, so that one
// can see what it does. ENTITY_MAX_BYTES sets max_request_entity_size. Every response has
// "x-filtered: 1" from a filter. With HELLO_PEM, a file with a certificate and
// its key, it speaks TLS 1.3 only. HELLO_IDLE_MS, HELLO_REQUEST_MS, HELLO_SEND_MS
// set the timeouts of HTTP/2. It dies with its parent.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

enum { BYTES_MAX = 1 << 20 };

static struct {
    h2o_globalconf_t conf;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    h2o_iovec_t body;
    size_t served; // requests that have reached the handler
} hello;

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "hello: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t body = hello.body; // h2o advances it as it sends

    (void)self;
    if (h2o_memis(req->path.base, req->path.len, H2O_STRLIT("/served"))) {
        body.base = h2o_mem_alloc_pool(&req->pool, sizeof("18446744073709551615"));
        body.len = (size_t)sprintf(body.base, "%zu", hello.served);
    } else if (req->entity.base != NULL) {
        body.base = h2o_mem_alloc_pool(&req->pool, sizeof("got 18446744073709551615"));
        body.len = (size_t)sprintf(body.base, "got %zu", req->entity.len);
    }
    hello.served++;
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = body.len;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("text/plain"));
    h2o_start_response(req, &generator);
    h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

// What a filter sees, it marks: the library's own answers have to pass here too.
static void on_filter(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)self;
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-filtered"), 0, NULL,
                          H2O_STRLIT("1"));
    h2o_setup_next_ostream(req, slot);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    h2o_socket_t *sock;

    if (err == NULL && (sock = h2o_evloop_socket_accept(listener)) != NULL)
        h2o_accept(&hello.accept, sock);
}

static void on_signal(h2o_socket_t *sock, const char *err)
{
    if (err != NULL)
        die(err);
    h2o_buffer_consume(&sock->input, sock->input->size);
    h2o_context_request_shutdown(&hello.ctx);
}

static int listen_loopback(unsigned *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        die("listen");
    *port = ntohs(addr.sin_port);
    return fd;
}

static int open_signals(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        die("signalfd");
    return fd;
}

static uint64_t milliseconds(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void setup_h2o(h2o_loop_t *loop, size_t entity_max_bytes)
{
    h2o_hostconf_t *host;

    h2o_config_init(&hello.conf);
    if (entity_max_bytes != 0)
        hello.conf.max_request_entity_size = entity_max_bytes;
    hello.conf.http2.idle_timeout = milliseconds("HELLO_IDLE_MS", 10000);
#ifdef H2O_DEFAULT_HTTP2_SEND_TIMEOUT // patch 015
    hello.conf.http2.request_timeout = milliseconds("HELLO_REQUEST_MS", 10000);
    hello.conf.http2.send_timeout = milliseconds("HELLO_SEND_MS", 20000);
#endif
    host = h2o_config_register_host(&hello.conf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_create_handler(&host->fallback_path, sizeof(h2o_handler_t))->on_req = on_request;
    h2o_create_filter(&host->fallback_path, sizeof(h2o_filter_t))->on_setup_ostream = on_filter;

    h2o_context_init(&hello.ctx, loop, &hello.conf);
    hello.accept.ctx = &hello.ctx;
    hello.accept.hosts = hello.conf.hosts;
}

static void setup_tls(const char *pem)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
        die(pem);
    hello.accept.ssl_ctx = ctx;
}

// 1..BYTES_MAX, or 0
static size_t bytes_of(const char *text)
{
    char *end;
    long bytes = strtol(text, &end, 10);

    return bytes < 1 || bytes > BYTES_MAX || *end != '\0' ? 0 : (size_t)bytes;
}

int main(int argc, char **argv)
{
    h2o_loop_t *loop;
    size_t entity_max_bytes = 0;
    unsigned port;
    int fd;

    if (argc < 2 || argc > 3 || (hello.body.len = bytes_of(argv[1])) == 0 ||
        (argc == 3 && (entity_max_bytes = bytes_of(argv[2])) == 0)) {
        fprintf(stderr, "usage: hello BODY_BYTES [ENTITY_MAX_BYTES]\n");
        return 2;
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        die("prctl");
    signal(SIGPIPE, SIG_IGN);

    if ((hello.body.base = malloc(hello.body.len)) == NULL)
        die("malloc");
    memset(hello.body.base, 'x', hello.body.len);

    loop = h2o_evloop_create();
    setup_h2o(loop, entity_max_bytes);
    if (getenv("HELLO_PEM") != NULL)
        setup_tls(getenv("HELLO_PEM"));

    fd = listen_loopback(&port);
    h2o_socket_read_start(h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ), on_accept);
    h2o_socket_read_start(h2o_evloop_socket_create(loop, open_signals(), 0), on_signal);

    printf("port %u\n", port);
    fflush(stdout);
    while (h2o_evloop_run(loop, INT32_MAX) == 0)
        ;
    return EXIT_FAILURE;
}

// SPDX-License-Identifier: Apache-2.0
//
// Whose name a request says. A page of any site can have its own name resolved to 127.0.0.1 (DNS
// rebinding): a browser on this machine then takes the admin port for that site, and lets the page
// read it. The name is what gives it away, for the browser sends it as Host. So who comes by a
// loopback address must call us by an address, or by a name that no stranger's DNS answers for:
// localhost, or this machine's own. Who comes by another address (probes, Prometheus) may say what
// he likes, and so may who sends no Host at all, which no browser does.

#include "gateway/admin_pages.h"

#include <event2/bufferevent.h>
#include <limits.h>
#include <netinet/in.h>
#include <unistd.h>

#include "config/network.h"

static bool comes_by_loopback(struct evhttp_request *req)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(req);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    struct sockaddr_storage here = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(here);
    (void)getsockname(fd, (struct sockaddr *)&here, &size);
    if (here.ss_family == AF_INET)
        return ntohl(((struct sockaddr_in *)(void *)&here)->sin_addr.s_addr) >> 24 == 127;
    return here.ss_family != AF_INET6 ||
           IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)(void *)&here)->sin6_addr);
}

// "[::1]:9464", "localhost:9464": what stands before the port.
static struct tw_str before_port(struct tw_str host)
{
    size_t n = host.n;
    while (n > 0 && host.p[n - 1] >= '0' && host.p[n - 1] <= '9')
        n--;
    return n > 0 && host.p[n - 1] == ':' ? (struct tw_str){host.p, n - 1} : host;
}

static bool is_address(struct tw_str name)
{
    struct tw_address address;
    if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        return tw_address_parse((struct tw_str){name.p + 1, name.n - 2}, &address);
    return tw_address_parse(name, &address) && address.n == 4;
}

static bool is_own_name(struct tw_str name)
{
    const struct tw_str below = TW_STR(".localhost"); // RFC 6761: browsers never ask DNS for these
    char own[HOST_NAME_MAX + 1] = "";
    (void)gethostname(own, sizeof(own) - 1);
    if (tw_str_ieq(name, TW_STR("localhost")) || tw_str_ieq(name, tw_str_of(own)))
        return true;
    return name.n > below.n &&
           tw_str_ieq((struct tw_str){name.p + name.n - below.n, below.n}, below);
}

static bool is_ours(const char *host)
{
    struct tw_str name = before_port(tw_str_of(host));
    return name.n == 0 || is_address(name) || is_own_name(name);
}

bool tw_admin_host_is_ours(struct evhttp_request *req)
{
    const char *host = evhttp_find_header(evhttp_request_get_input_headers(req), "Host");
    return !host || is_ours(host) || !comes_by_loopback(req);
}

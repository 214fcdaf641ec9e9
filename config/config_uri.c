// SPDX-License-Identifier: Apache-2.0
// config_uri: is this text an address we may listen on, or a place to fetch keys from?
//
// Deliberately strict and small: the URI is judged as written (RFC 3986 section 3.2) and nothing is
// resolved. Plain http is for loopback only, because whoever can change a key set on its way can
// sign any token. Runs in: master and command line. Allocates nothing.

#include "config/internal.h"

#include <arpa/inet.h>

bool tw_config_is_ip(const char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool starts_with(struct tw_str text, struct tw_str prefix)
{
    return text.n >= prefix.n && tw_str_ieq((struct tw_str){text.p, prefix.n}, prefix);
}

static struct tw_str skip(struct tw_str text, size_t n)
{
    return (struct tw_str){text.p + n, text.n - n};
}

static bool is_loopback(struct tw_str host)
{
    char text[64];
    struct in_addr v4;
    if (tw_str_ieq(host, TW_STR("localhost")) || tw_str_eq(host, TW_STR("[::1]")))
        return true;
    if (host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

// A name, an IPv4 address, or an IPv6 address in brackets.
static bool is_host(struct tw_str host)
{
    char text[INET6_ADDRSTRLEN];
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        struct in6_addr v6;
        if (host.n - 2 >= sizeof text)
            return false;
        memcpy(text, host.p + 1, host.n - 2);
        text[host.n - 2] = '\0';
        return inet_pton(AF_INET6, text, &v6) == 1;
    }
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return host.n > 0 && host.n <= 253;
}

static bool is_port(struct tw_str port)
{
    int64_t number;
    return tw_str_to_i64(port, 1, 65535, &number);
}

// Splits "host:port" or "[v6]:port"; an absent port leaves `*port` empty and `*has_port` false.
static struct tw_str split_port(struct tw_str authority, struct tw_str *port, bool *has_port)
{
    size_t i = 0;
    if (authority.n > 0 && authority.p[0] == '[')
        while (i < authority.n && authority.p[i] != ']')
            i++;
    while (i < authority.n && authority.p[i] != ':')
        i++;
    *has_port = i < authority.n;
    *port = *has_port ? skip(authority, i + 1) : (struct tw_str){NULL, 0};
    return (struct tw_str){authority.p, i};
}

const char *tw_config_origin_fault(const char *text)
{
    struct tw_str rest = tw_str_of(text), port;
    const char *scheme_end = strstr(text, "://");
    bool has_port;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] >= 'A' && rest.p[i] <= 'Z')
            return "has capitals, which no browser sends";
    if (scheme_end == NULL || scheme_end == text)
        return "is not an origin: write https://till.example.com";
    struct tw_str host = split_port(skip(rest, (size_t)(scheme_end - text) + 3), &port, &has_port);
    if (!is_host(host) || (has_port && !is_port(port)))
        return "is not an origin: after https:// comes a host, perhaps a port, and nothing else";
    return NULL;
}

static const char *uri_fault(const char *uri, bool may_be_plain)
{
    struct tw_str rest = tw_str_of(uri), port;
    bool secure = starts_with(rest, TW_STR("https://")), has_port;
    if (!secure && !starts_with(rest, TW_STR("http://")))
        return may_be_plain ? "must begin with http:// or https://" : "must begin with https://";
    for (size_t i = 0; i < rest.n; i++)
        if ((unsigned char)rest.p[i] <= ' ' || (unsigned char)rest.p[i] >= 0x7f ||
            strchr("#\\\"<>^`{|}", rest.p[i]) != NULL)
            return "is not a URI: it holds a character that must be written as %XX, or a fragment";
    rest = skip(rest, secure ? sizeof "https://" - 1 : sizeof "http://" - 1);
    struct tw_str authority = {rest.p, strcspn(rest.p, "/?")};
    if (authority.n > 0 && memchr(authority.p, '@', authority.n) != NULL)
        return "must not contain a user name or password";
    struct tw_str host = split_port(authority, &port, &has_port);
    if (!is_host(host) || (has_port && !is_port(port)))
        return "has no valid host and port";
    if (!secure && !may_be_plain && !is_loopback(host))
        return "must be https; plain http is only for 127.0.0.1, [::1] and localhost";
    return NULL;
}

const char *tw_config_jwks_uri_fault(const char *uri)
{
    return uri_fault(uri, false);
}

const char *tw_config_collector_uri_fault(const char *uri)
{
    return uri_fault(uri, true);
}

// SPDX-License-Identifier: Apache-2.0
#include "config/redis_uri.h"

#include "config/network.h"

static struct tw_str skip(struct tw_str text, size_t n)
{
    return (struct tw_str){text.p + n, text.n - n};
}

// What stands before the first `c`; it and `c` are taken off `*rest`. All of it without one.
static struct tw_str take_until(struct tw_str *rest, char c)
{
    const char *at = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
    size_t n = at ? (size_t)(at - rest->p) : rest->n;
    struct tw_str taken = {rest->p, n};
    *rest = at ? skip(*rest, n + 1) : (struct tw_str){NULL, 0};
    return taken;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A text with %XX, which may stand for anything but NUL.
static bool decode(struct tw_str text, char out[TW_REDIS_TEXT_MAX_BYTES + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        int c = (unsigned char)text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = i + 2 < text.n ? hex_digit(text.p[i + 2]) : -1;
            c = high < 0 || low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (c == 0 || n == TW_REDIS_TEXT_MAX_BYTES)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return true;
}

static bool is_name(struct tw_str host)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return host.n > 0 && host.n <= TW_REDIS_HOST_MAX_BYTES;
}

bool tw_redis_host_parse(struct tw_str text, uint16_t default_port, struct tw_redis_host *out)
{
    struct tw_str host, port = text;
    struct tw_address address;
    int64_t number = default_port;
    bool bracket = text.n > 0 && text.p[0] == '[';
    if (bracket)
        port = skip(text, 1);
    host = take_until(&port, bracket ? ']' : ':');
    if (bracket && port.n > 0 && port.p[0] != ':')
        return false;
    if (bracket && port.n > 0)
        port = skip(port, 1);
    bool has_port = port.p != NULL && (!bracket || text.p[text.n - 1] != ']');
    if (has_port && !tw_str_to_i64(port, 1, UINT16_MAX, &number))
        return false;
    bool good = bracket ? host.n + 1 < text.n && tw_address_parse(host, &address) &&
                              memchr(host.p, ':', host.n)
                        : is_name(host);
    if (!good || host.n > TW_REDIS_HOST_MAX_BYTES)
        return false;
    memcpy(out->name, host.p, host.n);
    out->name[host.n] = '\0';
    out->port = (uint16_t)number;
    return true;
}

static const char *parse_login(struct tw_str login, struct tw_redis_uri *out)
{
    struct tw_str password = login, user = take_until(&password, ':');
    if (password.p == NULL)
        return "names a user without a password: write user:password@ or :password@";
    if (!decode(user, out->user) || !decode(password, out->password))
        return "has a user or password that is too long, or with a broken %XX";
    return NULL;
}

static const char *parse_hosts(struct tw_str hosts, uint16_t default_port, struct tw_redis_uri *out)
{
    do {
        if (out->n_hosts == TW_REDIS_HOSTS_MAX)
            return "names more than 16 hosts";
        if (!tw_redis_host_parse(take_until(&hosts, ','), default_port,
                                 &out->hosts[out->n_hosts++]))
            return "has no valid host and port; a password's @, / and % are written %40, %2F, %25";
    } while (hosts.p != NULL);
    return NULL;
}

// The last @ ends the login: a password may hold others.
static struct tw_str take_login(struct tw_str *authority, bool *has_login)
{
    size_t n = authority->n;
    while (n > 0 && authority->p[n - 1] != '@')
        n--;
    struct tw_str login = {authority->p, n > 0 ? n - 1 : 0};
    *has_login = n > 0;
    *authority = skip(*authority, n);
    return login;
}

const char *tw_redis_uri_parse(struct tw_str text, uint16_t default_port, struct tw_redis_uri *out)
{
    struct tw_str plain = TW_STR("redis://"), secure = TW_STR("rediss://");
    const char *fault = NULL;
    int64_t database = 0;
    bool has_login;
    *out = (struct tw_redis_uri){0};
    out->tls = text.n > secure.n && memcmp(text.p, secure.p, secure.n) == 0;
    if (!out->tls && (text.n <= plain.n || memcmp(text.p, plain.p, plain.n) != 0))
        return "must begin with redis:// or rediss://, and name a host";
    struct tw_str path = skip(text, out->tls ? secure.n : plain.n);
    struct tw_str authority = take_until(&path, '/');
    struct tw_str login = take_login(&authority, &has_login);
    if (has_login)
        fault = parse_login(login, out);
    if (!fault)
        fault = parse_hosts(authority, default_port, out);
    if (!fault && path.n > 0 && !tw_str_to_i64(path, 0, TW_REDIS_DATABASE_MAX, &database))
        fault = "may have a database's number behind the hosts, from 0 to 1023, and nothing else";
    out->database = (unsigned)database;
    return fault;
}

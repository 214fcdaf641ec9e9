// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_resolve.h"

#include <libpq-fe.h>
#include <stdlib.h>

#include "gateway/log.h"

#define TTL_US           5000000  // an answer is used so long
#define FAILURE_TTL_US   200000   // so that all lanes hear of one failed lookup
#define PATIENCE_US      1000000  // the names that have an answer do not wait longer for the others
#define SILENCE_US       10000000 // a silent address stands last so long
#define HOSTS_MAX        16
#define ADDRESSES_MAX    8 // of one host
#define SILENT_MAX       8 // remembered
#define ADDRESS_TEXT_MAX 64

// One entry of the URL's lists.
struct host {
    struct tw_db_resolver *resolver;
    char *name;     // as it stands in `host`; may be empty
    char *hostaddr; // as it stands in `hostaddr`; may be empty
    char *port;     // may be empty
    bool is_name;   // only a name server knows it
    bool is_told;   // that it cannot be resolved
    h2o_hostinfo_getaddr_req_t *pending;
    char error[96];
    unsigned n_found;
    char found[ADDRESSES_MAX][ADDRESS_TEXT_MAX];
};

struct list {
    char text[8192];
    size_t n;
};

struct tw_db_resolver {
    h2o_multithread_receiver_t *receiver;
    struct host hosts[HOSTS_MAX];
    size_t n_hosts; // 0: libpq needs nothing of us
    size_t n_addresses;
    bool has_ports;
    const char *url_fault;
    uint64_t asked_us;  // when the lookups began; 0 before the first
    uint64_t failed_us; // when the last one ended without any address; 0: it did not
    char why[192];
    struct {
        char hostaddr[ADDRESS_TEXT_MAX];
        char port[8];
        uint64_t until_us;
    } silent[SILENT_MAX];
    unsigned next_silent;
    struct list names, addresses, ports;
};

// ---- the URL ------------------------------------------------------------------------------------

static bool is_name(const char *host)
{
    struct in6_addr address;
    return host[0] && host[0] != '/' && host[0] != '@' && inet_pton(AF_INET, host, &address) != 1 &&
           inet_pton(AF_INET6, host, &address) != 1;
}

// Empty when it is set nowhere.
static const char *value_of(const PQconninfoOption *options, const char *key, const char *variable)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, key) == 0 && options->val)
            return options->val;
    const char *value = variable ? getenv(variable) : NULL;
    return value ? value : "";
}

static size_t count(const char *list)
{
    size_t n = 1;
    for (const char *p = strchr(list, ','); p; p = strchr(p + 1, ','))
        n++;
    return n;
}

// A copy of the i-th element, of the only one when there is but one. NULL when memory is short.
static char *element(const char *list, size_t i)
{
    for (size_t n = count(list) > 1 ? i : 0; n > 0; n--)
        list = strchr(list, ',') + 1;
    return strndup(list, strcspn(list, ","));
}

// Lists whose lengths do not fit are left to libpq, which says so.
static bool hosts_init(struct tw_db_resolver *resolver, const char *names, const char *addresses,
                       const char *ports)
{
    size_t n = count(addresses[0] ? addresses : names);
    if ((!names[0] && !addresses[0]) || n > HOSTS_MAX || (count(ports) != 1 && count(ports) != n) ||
        (addresses[0] && names[0] && count(names) != n))
        return true;
    resolver->has_ports = ports[0] != '\0';
    for (size_t i = 0; i < n; i++) {
        struct host *host = &resolver->hosts[i];
        host->resolver = resolver;
        host->name = names[0] ? element(names, i) : strdup("");
        host->hostaddr = addresses[0] ? element(addresses, i) : strdup("");
        host->port = element(ports, i);
        resolver->n_hosts++;
        if (!host->name || !host->hostaddr || !host->port)
            return false;
        host->is_name = !host->hostaddr[0] && is_name(host->name);
    }
    return true;
}

struct tw_db_resolver *tw_db_resolver_new(h2o_multithread_receiver_t *receiver, const char *db_url)
{
    struct tw_db_resolver *resolver = calloc(1, sizeof(*resolver));
    if (!resolver)
        return NULL;
    resolver->receiver = receiver;
    PQconninfoOption *options = PQconninfoParse(db_url, NULL);
    // libpq's own message may quote what it does not understand, and that may be the password.
    if (!options)
        resolver->url_fault = "the connection URL (hidden) cannot be understood";
    bool ok = hosts_init(resolver, value_of(options, "host", "PGHOST"),
                         value_of(options, "hostaddr", "PGHOSTADDR"),
                         value_of(options, "port", NULL));
    PQconninfoFree(options);
    if (ok)
        return resolver;
    tw_db_resolver_free(resolver);
    return NULL;
}

void tw_db_resolver_free(struct tw_db_resolver *resolver)
{
    if (!resolver)
        return;
    for (size_t i = 0; i < resolver->n_hosts; i++) {
        struct host *host = &resolver->hosts[i];
        if (host->pending)
            h2o_hostinfo_getaddr_cancel(host->pending);
        free(host->name);
        free(host->hostaddr);
        free(host->port);
    }
    free(resolver);
}

// ---- lookups ------------------------------------------------------------------------------------

static void take_addresses(struct host *host, const struct addrinfo *found)
{
    host->n_found = 0;
    for (; found && host->n_found < ADDRESSES_MAX; found = found->ai_next)
        if (getnameinfo(found->ai_addr, found->ai_addrlen, host->found[host->n_found],
                        ADDRESS_TEXT_MAX, NULL, 0, NI_NUMERICHOST) == 0)
            host->n_found++;
}

static void on_answer(h2o_hostinfo_getaddr_req_t *req, const char *error, struct addrinfo *found,
                      void *arg)
{
    struct host *host = arg;
    (void)req;
    host->pending = NULL;
    take_addresses(host, error ? NULL : found);
    if (host->n_found > 0) {
        host->is_told = false;
        return;
    }
    (void)snprintf(host->error, sizeof(host->error), "%s", error ? error : "no address");
    if (!host->is_told && host->resolver->n_hosts > 1)
        tw_log(TW_LEVEL_WARN, "db_host_unknown", "%s: %s; it is left out", host->name, host->error);
    host->is_told = true;
}

static void look_up(struct tw_db_resolver *resolver)
{
    resolver->asked_us = tw_now_us();
    resolver->failed_us = 0;
    for (size_t i = 0; i < resolver->n_hosts; i++) {
        struct host *host = &resolver->hosts[i];
        if (host->is_name && !host->pending)
            host->pending = h2o_hostinfo_getaddr(
                resolver->receiver, h2o_iovec_init(host->name, strlen(host->name)),
                h2o_iovec_init(H2O_STRLIT("5432")), AF_UNSPEC, SOCK_STREAM, IPPROTO_TCP,
                AI_ADDRCONFIG, on_answer, host);
    }
}

static bool any_pending(const struct tw_db_resolver *resolver)
{
    for (size_t i = 0; i < resolver->n_hosts; i++)
        if (resolver->hosts[i].pending)
            return true;
    return false;
}

// ---- the lists ----------------------------------------------------------------------------------

static const char *or_default(const char *port)
{
    return port[0] ? port : "5432";
}

static bool is_silent(const struct tw_db_resolver *resolver, const char *hostaddr, const char *port)
{
    for (size_t i = 0; i < SILENT_MAX; i++)
        if (resolver->silent[i].until_us > tw_now_us() &&
            strcmp(resolver->silent[i].hostaddr, hostaddr) == 0 &&
            strcmp(resolver->silent[i].port, or_default(port)) == 0)
            return true;
    return false;
}

static void append(struct list *list, bool is_first, const char *text)
{
    if (!is_first)
        list->text[list->n++] = ',';
    size_t n = strlen(text);
    memcpy(list->text + list->n, text, n + 1);
    list->n += n;
}

static void append_address(struct tw_db_resolver *resolver, const struct host *host,
                           const char *hostaddr)
{
    bool is_first = resolver->n_addresses == 0;
    size_t longest = strlen(host->name) + strlen(host->port) + ADDRESS_TEXT_MAX;
    if (resolver->names.n + longest + 2 > sizeof(resolver->names.text))
        return; // thousands of bytes of names
    append(&resolver->names, is_first, host->name);
    append(&resolver->addresses, is_first, hostaddr);
    append(&resolver->ports, is_first, host->port);
    resolver->n_addresses++;
}

static void append_hosts(struct tw_db_resolver *resolver, bool silent)
{
    for (size_t i = 0; i < resolver->n_hosts; i++) {
        const struct host *host = &resolver->hosts[i];
        const char *number = host->hostaddr[0] ? host->hostaddr : host->name; // of no name
        if (!host->is_name && is_silent(resolver, number, host->port) == silent)
            append_address(resolver, host, host->hostaddr);
        for (unsigned f = 0; host->is_name && f < host->n_found; f++)
            if (is_silent(resolver, host->found[f], host->port) == silent)
                append_address(resolver, host, host->found[f]);
    }
}

static void build_lists(struct tw_db_resolver *resolver)
{
    struct list *lists[] = {&resolver->names, &resolver->addresses, &resolver->ports};
    for (size_t i = 0; i < TW_COUNT(lists); i++) {
        lists[i]->n = 0;
        lists[i]->text[0] = '\0';
    }
    resolver->n_addresses = 0;
    append_hosts(resolver, false);
    append_hosts(resolver, true);
}

static enum tw_resolved fail(struct tw_db_resolver *resolver, const char **why)
{
    const struct host *host = &resolver->hosts[0];
    if (resolver->failed_us == 0)
        resolver->failed_us = tw_now_us();
    (void)snprintf(resolver->why, sizeof(resolver->why), "cannot look up %s%s: %s", host->name,
                   resolver->n_hosts > 1 ? " or any other host" : "", host->error);
    *why = resolver->why;
    return TW_RESOLVED_FAILED;
}

enum tw_resolved tw_db_resolve(struct tw_db_resolver *resolver, struct tw_db_addresses *addresses,
                               const char **why)
{
    uint64_t now_us = tw_now_us();
    *addresses = (struct tw_db_addresses){0};
    *why = resolver->url_fault;
    if (resolver->url_fault)
        return TW_RESOLVED_FAILED;
    if (resolver->n_hosts == 0)
        return TW_RESOLVED_READY;
    bool pending = any_pending(resolver);
    bool is_over = resolver->failed_us != 0 ? now_us - resolver->failed_us > FAILURE_TTL_US
                                            : now_us - resolver->asked_us > TTL_US;
    if (!pending && (resolver->asked_us == 0 || is_over)) {
        look_up(resolver);
        pending = any_pending(resolver);
    }
    if (pending && now_us - resolver->asked_us <= PATIENCE_US)
        return TW_RESOLVED_PENDING;
    build_lists(resolver);
    if (resolver->n_addresses == 0)
        return pending ? TW_RESOLVED_PENDING : fail(resolver, why);
    *addresses = (struct tw_db_addresses){resolver->names.text, resolver->addresses.text,
                                          resolver->has_ports ? resolver->ports.text : NULL};
    return TW_RESOLVED_READY;
}

void tw_db_resolver_silent(struct tw_db_resolver *resolver, const char *hostaddr, const char *port)
{
    unsigned i = resolver->next_silent++ % SILENT_MAX;
    (void)snprintf(resolver->silent[i].hostaddr, ADDRESS_TEXT_MAX, "%s", hostaddr);
    (void)snprintf(resolver->silent[i].port, sizeof(resolver->silent[i].port), "%s",
                   or_default(port));
    resolver->silent[i].until_us = tw_now_us() + SILENCE_US;
}

bool tw_db_resolver_has_several(const struct tw_db_resolver *resolver)
{
    return resolver->n_addresses > 1;
}

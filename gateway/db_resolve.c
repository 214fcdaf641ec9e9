// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_resolve.h"

#include <libpq-fe.h>
#include <stdlib.h>

#define TTL_US        5000000 // an answer is used so long
#define ADDRESSES_MAX 8

struct tw_db_resolver {
    h2o_multithread_receiver_t *receiver;
    char *name; // NULL: nothing to look up
    h2o_hostinfo_getaddr_req_t *pending;
    uint64_t answered_us; // 0: no answer that may still be used
    char error[128];      // of the last lookup; empty: it succeeded, or has been told
    char told[128];       // the error as it was told
    char *hosts;          // "name,name": libpq wants one per address
    char addresses[ADDRESSES_MAX * (INET6_ADDRSTRLEN + 1)];
};

// Is it one name that only a name server knows?
static bool is_name(const char *host)
{
    struct in6_addr address;
    return host && host[0] && host[0] != '/' && host[0] != '@' && !strchr(host, ',') &&
           inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1;
}

static const char *value_of(const PQconninfoOption *options, const char *key)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, key) == 0)
            return options->val;
    return NULL;
}

struct tw_db_resolver *tw_db_resolver_new(h2o_multithread_receiver_t *receiver, const char *db_url)
{
    struct tw_db_resolver *resolver = calloc(1, sizeof(*resolver));
    PQconninfoOption *options = PQconninfoParse(db_url, NULL);
    const char *host = value_of(options, "host"), *hostaddr = value_of(options, "hostaddr");
    if (resolver) {
        resolver->receiver = receiver;
        if (is_name(host) && (!hostaddr || !hostaddr[0])) {
            resolver->name = strdup(host);
            resolver->hosts = calloc(ADDRESSES_MAX, strlen(host) + 1);
        }
        if (resolver->name && !resolver->hosts) {
            tw_db_resolver_free(resolver);
            resolver = NULL;
        }
    }
    PQconninfoFree(options);
    return resolver;
}

void tw_db_resolver_free(struct tw_db_resolver *resolver)
{
    if (!resolver)
        return;
    if (resolver->pending)
        h2o_hostinfo_getaddr_cancel(resolver->pending);
    free(resolver->name);
    free(resolver->hosts);
    free(resolver);
}

static void append(char *list, const char *text)
{
    size_t n = strlen(list);
    if (n > 0)
        list[n++] = ',';
    memcpy(list + n, text, strlen(text) + 1);
}

static void take_addresses(struct tw_db_resolver *resolver, const struct addrinfo *found)
{
    resolver->addresses[0] = resolver->hosts[0] = '\0';
    for (unsigned n = 0; found && n < ADDRESSES_MAX; found = found->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        append(resolver->addresses, text);
        append(resolver->hosts, resolver->name);
        n++;
    }
}

static void on_answer(h2o_hostinfo_getaddr_req_t *req, const char *error, struct addrinfo *found,
                      void *arg)
{
    struct tw_db_resolver *resolver = arg;
    (void)req;
    resolver->pending = NULL;
    if (!error)
        take_addresses(resolver, found);
    bool usable = !error && resolver->addresses[0];
    resolver->answered_us = usable ? tw_now_us() : 0;
    (void)snprintf(resolver->error, sizeof(resolver->error), "%s",
                   usable ? "" : (error ? error : "no address"));
}

enum tw_resolved tw_db_resolve(struct tw_db_resolver *resolver, const char **host,
                               const char **hostaddr, const char **why)
{
    *host = *hostaddr = NULL;
    *why = "";
    if (!resolver->name)
        return TW_RESOLVED_READY;
    if (resolver->pending)
        return TW_RESOLVED_PENDING;
    if (resolver->error[0]) { // told once; whoever asks next starts another lookup
        memcpy(resolver->told, resolver->error, sizeof(resolver->told));
        resolver->error[0] = '\0';
        *why = resolver->told;
        return TW_RESOLVED_FAILED;
    }
    if (resolver->answered_us != 0 && tw_now_us() - resolver->answered_us <= TTL_US) {
        *host = resolver->hosts;
        *hostaddr = resolver->addresses;
        return TW_RESOLVED_READY;
    }
    resolver->pending = h2o_hostinfo_getaddr(
        resolver->receiver, h2o_iovec_init(resolver->name, strlen(resolver->name)),
        h2o_iovec_init(H2O_STRLIT("5432")), AF_UNSPEC, SOCK_STREAM, IPPROTO_TCP, AI_ADDRCONFIG,
        on_answer, resolver);
    return TW_RESOLVED_PENDING;
}

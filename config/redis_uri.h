// SPDX-License-Identifier: Apache-2.0
// redis_uri: "redis://user:password@host:port,host:port/database" taken apart.
//
// rediss:// is the same over TLS. User, password and database may be absent, and so may ports; IPv6
// addresses stand in brackets; user and password may hold %XX. Several hosts are several places to
// ask, not several databases. Runs in: everywhere. Pure, allocates nothing.

#ifndef TW_REDIS_URI_H
#define TW_REDIS_URI_H

#include "gateway/base.h"

#define TW_REDIS_HOSTS_MAX      16
#define TW_REDIS_HOST_MAX_BYTES 253
#define TW_REDIS_TEXT_MAX_BYTES 255
#define TW_REDIS_DATABASE_MAX   1023

struct tw_redis_host {
    char name[TW_REDIS_HOST_MAX_BYTES + 1]; // a name, or an address without brackets
    uint16_t port;
};

struct tw_redis_uri {
    bool tls;
    char user[TW_REDIS_TEXT_MAX_BYTES + 1];     // "" for none
    char password[TW_REDIS_TEXT_MAX_BYTES + 1]; // "" for none
    unsigned database;
    size_t n_hosts; // at least one
    struct tw_redis_host hosts[TW_REDIS_HOSTS_MAX];
};

// NULL, or why the text is no such URI ("must begin with …"), without quoting it. `default_port` is
// for hosts without one.
const char *tw_redis_uri_parse(struct tw_str text, uint16_t default_port, struct tw_redis_uri *out);

// "host", "host:port" or "[v6]:port". False when it is none of them.
TW_MUST_USE bool tw_redis_host_parse(struct tw_str text, uint16_t default_port,
                                     struct tw_redis_host *out);

#endif

// SPDX-License-Identifier: Apache-2.0
// config: one immutable snapshot of everything an operator can set.
//
// A snapshot is loaded from YAML files and the environment, checked as a whole, and never changed
// afterwards: a reload loads a second one and swaps pointers. All its strings and arrays belong to
// it and die with it. Precedence: defaults < files in the order given (key by key, lists as a
// whole) < environment (TILLWAY_DB_URL for db.url; TILLWAY_DB_URL_FILE names a file to read).
//
// Not for: parsing certificates or key sets, resolving names, counting CPUs (`workers` is 0 for
// auto). Runs in: master and command line; a worker inherits the snapshot by fork.
// Scalars are defined in options.def; their units stand in the field names.

#ifndef TW_CONFIG_H
#define TW_CONFIG_H

#include "config/network.h"
#include "config/role.h"
#include "gateway/base.h"

#include <stdio.h>

#define TW_CONFIG_LISTEN_MAX       16
#define TW_CONFIG_ISSUER_MAX       16
#define TW_CONFIG_AUDIENCE_MAX     64
#define TW_CONFIG_CERTIFICATES_MAX 32  // of one listener
#define TW_CONFIG_PATH_MAX         128 // of a key such as "auth.issuers[15].cognito.userPoolId"
#define TW_CONFIG_TEXTS_MAX        64  // scopes of a route, groups of an issuer, origins
#define TW_CONFIG_LIMITS_MAX       32  // policies, quotas counted by themselves
#define TW_CONFIG_LIMIT_CLAIMS_MAX 8
#define TW_CONFIG_RULES_MAX        256 // lines of auth.roles.groups, auth.routes, auth.certificates

// Values of a Cognito token's `token_use` claim, as bits.
enum {
    TW_TOKEN_USE_ACCESS = 1,
    TW_TOKEN_USE_ID = 2,
};

// Signature algorithms an issuer may use, as bits. Names: RFC 7518 section 3.1, RFC 8037.
enum {
    TW_ALGORITHM_RS256 = 1,
    TW_ALGORITHM_ES256 = 2,
    TW_ALGORITHM_PS256 = 4,
    TW_ALGORITHM_EDDSA = 8,
    TW_ALGORITHM_USUAL = TW_ALGORITHM_RS256 | TW_ALGORITHM_ES256,
};

// Texts of a list; `items` is NULL when n is 0.
struct tw_texts {
    const char *const *items;
    size_t n;
};

// The files of one certificate.
struct tw_certificate_files {
    const char *certificate; // PEM: the certificate, then those that lead to its root
    const char *key;         // PEM, without a passphrase
    const char *ocsp;        // DER: its authority's word that it is good, to be stapled; or NULL
};

// One listening address.
struct tw_listen {
    const char *address; // numeric IPv4 or IPv6, without brackets
    uint16_t port;       // 0: the kernel chooses
    bool proxy_protocol; // the first bytes of a connection are a PROXY header
    const struct tw_certificate_files *certificates; // the first is the default
    size_t n_certificates;                           // 0: plain HTTP
    bool tls_first_is_alone;       // the first is tls.certificate, the others tls.certificates
    const char *tls_client_ca;     // PEM file: certificates of clients are asked for; or NULL
    bool tls_client_cert_required; // a client without one does not get through the handshake
};

// One issuer of tokens, presets expanded. Exactly one of jwks_uri, jwks_file and discovery_uri is
// set.
struct tw_issuer {
    const char *issuer;        // compared with `iss` byte by byte
    const char *jwks_uri;      // https, or http on a loopback address; or NULL
    const char *jwks_file;     // or NULL
    const char *discovery_uri; // OpenID Connect discovery document that names the jwks_uri; or NULL
    const char *const *audiences; // at least one: accepted `aud` or Cognito `client_id`
    size_t n_audiences;
    unsigned token_uses;            // bits of TW_TOKEN_USE_*; 0: `token_use` is not checked
    unsigned algorithms;            // bits of TW_ALGORITHM_*; never 0
    struct tw_texts scopes, groups; // a token must have at least one of each; none: not checked
};

// A group whose members have these roles.
struct tw_group_roles {
    const char *group;
    unsigned roles; // bits of enum tw_role
};

// What a policy counts by, as bits, and which requests.
enum {
    TW_LIMIT_BY_PRINCIPAL = 1,
    TW_LIMIT_BY_CLIENT = 2,
    TW_LIMIT_BY_ADDRESS = 4,
    TW_LIMIT_BY_ROUTE = 8,
    TW_LIMIT_BY_CLAIM = 16,
    TW_LIMIT_READS = 1, // GET, HEAD and OPTIONS
    TW_LIMIT_WRITES = 2,
};

// How much may be asked for: `rate` in each `period_us`, `burst` at once.
struct tw_limit_policy {
    const char *name;
    unsigned key;           // bits of TW_LIMIT_BY_*
    size_t claim;           // of TW_LIMIT_BY_CLAIM: index into limit_claims
    uint64_t rate, burst;   // in units of cost
    uint64_t period_us;     // a second, minute, hour or day
    uint64_t cost;          // of one request
    unsigned methods;       // TW_LIMIT_READS, TW_LIMIT_WRITES or both
    struct tw_texts routes; // "POST /v1/products", as THE table spells it; none: every route
    bool fleet;             // counted over the whole fleet, where there is one
};

// Who may use a route, instead of what THE table says.
struct tw_route_access {
    const char *route;      // "POST /v1/products", as THE table spells it
    unsigned roles;         // bits of enum tw_role, TW_ROLE_ANY or TW_ROLE_PUBLIC; never 0
    struct tw_texts scopes; // a token must have at least one; none: not checked
};

// What the holder of a client certificate may do.
struct tw_certificate_roles {
    const char *subject; // distinguished name as RFC 2253 writes it: "CN=till-7,O=Shop"
    unsigned roles;      // bits of enum tw_role
    const char *store;   // NULL: the default store
};

#define TW_CONFIG_C_STRING      const char *
#define TW_CONFIG_C_CHOICE      const char *
#define TW_CONFIG_C_BOOL        bool
#define TW_CONFIG_C_INT         uint32_t
#define TW_CONFIG_C_INT_AUTO    uint32_t
#define TW_CONFIG_C_RATIO_PPM   uint32_t
#define TW_CONFIG_C_DURATION_MS uint64_t
#define TW_CONFIG_C_SIZE_BYTES  size_t

struct tw_config_memory;

struct tw_config {
    // One field per line of options.def: admin_port, db_url, db_queue_timeout_ms, ...
    // Strings are never NULL.
#define OPT(key, field, TYPE, default_, min, max, reloadable, secret, doc) TW_CONFIG_C_##TYPE field;
#include "config/options.def"
#undef OPT

    unsigned pos_currency_decimals; // 0, 2 or 3; follows from pos_currency

    const struct tw_listen *listens; // at least one
    size_t n_listens;
    const struct tw_issuer *issuers; // at least one
    size_t n_issuers;
    const struct tw_group_roles *group_roles; // none: a group has the role of its own name
    size_t n_group_roles;
    const struct tw_route_access *route_access;
    size_t n_route_access;
    const struct tw_certificate_roles *certificate_roles;
    size_t n_certificate_roles;
    const struct tw_limit_policy *limits;
    size_t n_limits;
    struct tw_texts limit_claims; // names of the claims that limits count by, each once
    const struct tw_network *trusted_proxies;
    size_t n_trusted_proxies;
    struct tw_texts cors_origins; // "https://till.example.com", or only "*"

    const char **origins; // per line of options.def: "prod.yaml:12", "TILLWAY_X", "default"
    struct tw_config_memory *memory; // owns everything above and this struct itself
};

// Decimals of an ISO 4217 currency: 0, 2 or 3.
unsigned tw_currency_decimals(const char *code);

// Loads, merges and checks. `paths` may be NULL when `n_paths` is 0: then only the environment
// counts. Reads the process environment and the files that options name; keeps no file open.
//
// Returns a snapshot for tw_config_free(), or NULL with every problem found in `err`, one per line
// without a final newline, each naming the place, the key and the remedy. Secrets are not quoted.
// `err` is always terminated when `err_size` > 0; lines that do not fit are counted in the last.
TW_MUST_USE struct tw_config *tw_config_load(const char *const *paths, size_t n_paths, char *err,
                                             size_t err_size);

// Frees the snapshot and everything it points to. NULL is fine.
void tw_config_free(struct tw_config *config);

// Writes the effective configuration as YAML, each scalar with its origin as a comment. Secrets
// are shown as "***". For -t and the admin port.
void tw_config_print(const struct tw_config *config, FILE *out);

// Where an option's value comes from: "prod.yaml:12", "TILLWAY_X" or "default". `key` is one of
// options.def.
const char *tw_config_origin(const struct tw_config *config, const char *key);

// Writes into `out` the keys that differ between two snapshots but need a restart, separated by
// ", " ("" when there are none; cut at `size`). Returns how many there are.
size_t tw_config_restart_keys(const struct tw_config *before, const struct tw_config *after,
                              char *out, size_t size);

// Gives `after` the values of `before` where a change needs a restart, so that it tells what is in
// force. False without memory.
TW_MUST_USE bool tw_config_keep_restart_values(struct tw_config *after,
                                               const struct tw_config *before);

// The key of a certificate's file, for people: "listen[0].tls.certificates[1].key". `certificate`
// is an index into the listener's certificates, `file` the last word.
void tw_config_certificate_key(const struct tw_config *config, size_t listen, size_t certificate,
                               const char *file, char out[TW_CONFIG_PATH_MAX]);

// A duration as options have it ("1h30m") in milliseconds; false when it is none or too long.
TW_MUST_USE bool tw_config_duration_ms(struct tw_str text, uint64_t *out);

// Why keys must not be fetched from here ("must be https; ..."), or NULL when they may: https, or
// http on a loopback address; a host; no user, no fragment.
const char *tw_config_jwks_uri_fault(const char *uri);

// Writes docs/configuration.md: every option of options.def, the lists, and the environment.
void tw_config_options_markdown(FILE *out);

#endif

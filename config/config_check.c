// SPDX-License-Identifier: Apache-2.0
// config_check: judges the merged snapshot: what is missing, what contradicts, what cannot be read.
//
// Runs once, after files and environment, and only when each value is fine by itself. Files are
// opened to see that they can be read, and closed again: parsing them is other rooms' work.
// Runs in: master and command line.

#include "config/internal.h"
#include "config/network.h"
#include "config/redis_uri.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// An option's current value, where it came from and its key, for errors.
#define PLACE_OF(load, field) (origin_of(load, TW_OPTION_AT_##field))
#define KEY_OF(field)         (tw_options[TW_OPTION_AT_##field].key)

static struct tw_config_place origin_of(const struct tw_config_load *load, size_t option)
{
    const char *origin = load->origins[option];
    return (struct tw_config_place){strcmp(origin, "default") == 0 ? NULL : origin, 0};
}

static const char *open_fault(const char *path)
{
    struct stat status;
    const char *fault = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return strerror(errno);
    if (fstat(fd, &status) != 0)
        fault = strerror(errno);
    else if (S_ISDIR(status.st_mode))
        fault = "is a directory";
    close(fd);
    return fault;
}

static void check_readable(struct tw_config_load *load, struct tw_config_place place,
                           const char *key, const char *path)
{
    const char *fault = path != NULL ? open_fault(path) : NULL;
    if (fault != NULL)
        tw_config_fail(load, place, key, "cannot read %s: %s", path, fault);
}

static void check_required(struct tw_config_load *load)
{
    const struct tw_config_place nowhere = {0};
    if (*load->config->db_url == '\0')
        tw_config_fail(load, nowhere, NULL,
                       "db.url is not set; set db.url in a file, TILLWAY_DB_URL, or "
                       "TILLWAY_DB_URL_FILE");
    if (load->config->n_issuers == 0)
        tw_config_fail(load, nowhere, NULL,
                       "auth.issuers is empty, so every request would be refused; add one, such "
                       "as {cognito: {region: .., userPoolId: .., clientIds: [..]}}");
}

// Each worker has a connection for each of its three lanes. With `workers: auto` the number is not
// known here.
static void check_connections(struct tw_config_load *load)
{
    const struct tw_config *config = load->config;
    if (config->db_max_connections < 3 * config->workers)
        tw_config_fail(load, PLACE_OF(load, db_max_connections), KEY_OF(db_max_connections),
                       "%u is too few for %u workers, which need 3 each: %u at least",
                       config->db_max_connections, config->workers, 3 * config->workers);
}

static void check_order(struct tw_config_load *load, size_t lower, uint64_t low, size_t upper,
                        uint64_t high)
{
    size_t culprit = strcmp(load->origins[lower], "default") != 0 ? lower : upper;
    if (low > high)
        tw_config_fail(load, origin_of(load, culprit), NULL, "%s must not be larger than %s",
                       tw_options[lower].key, tw_options[upper].key);
}

static void check_orders(struct tw_config_load *load)
{
    const struct tw_config *config = load->config;
#define ORDER(low, high) \
    check_order(load, TW_OPTION_AT_##low, config->low, TW_OPTION_AT_##high, config->high)
    ORDER(db_backoff_min_ms, db_backoff_max_ms);
    ORDER(auth_jwks_min_refetch_ms, auth_jwks_refresh_ms);
    ORDER(auth_jwks_refresh_ms, auth_jwks_max_stale_ms);
#undef ORDER
}

// Decimals of the ISO 4217 currencies that do not have two.
static const char no_decimals[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
static const char three_decimals[] = "BHD IQD JOD KWD LYD OMR TND";

unsigned tw_currency_decimals(const char *code)
{
    return strstr(no_decimals, code) != NULL ? 0 : strstr(three_decimals, code) != NULL ? 3 : 2;
}

static void check_currency(struct tw_config_load *load)
{
    struct tw_config *config = load->config;
    const char *code = config->pos_currency;
    if (strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
        tw_config_fail(load, PLACE_OF(load, pos_currency), KEY_OF(pos_currency),
                       "\"%s\" is not an ISO 4217 code: write three capitals, such as EUR", code);
    config->pos_currency_decimals = tw_currency_decimals(code);
}

// The shape of an IANA name; whether the zone exists is PostgreSQL's to say.
static void check_time_zone(struct tw_config_load *load)
{
    const char *zone = load->config->pos_time_zone;
    size_t n = strspn(zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/");
    if (zone[n] != '\0' || *zone == '/' || *zone == '-' || *zone == '+')
        tw_config_fail(load, PLACE_OF(load, pos_time_zone), KEY_OF(pos_time_zone),
                       "\"%s\" is not a time zone: write a name such as Europe/Berlin", zone);
}

static void check_admin(struct tw_config_load *load)
{
    if (!tw_config_is_ip(load->config->admin_address))
        tw_config_fail(load, PLACE_OF(load, admin_address), KEY_OF(admin_address),
                       "\"%s\" is not a numeric IPv4 or IPv6 address", load->config->admin_address);
}

// A name of RFC 9110 §5.1, a colon, a value.
static bool is_header_line(const char *line)
{
    size_t n = strspn(line, "!#$%&'*+-.^_`|~0123456789"
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return n > 0 && line[n] == ':' && line[n + 1 + strspn(line + n + 1, " ")] != '\0';
}

static void check_tracing(struct tw_config_load *load)
{
    const struct tw_config *config = load->config;
    const char *endpoint = config->tracing_endpoint, *header = config->tracing_header;
    const char *fault = *endpoint ? tw_config_collector_uri_fault(endpoint) : NULL;
    if (fault != NULL)
        tw_config_fail(load, PLACE_OF(load, tracing_endpoint), KEY_OF(tracing_endpoint), "%s",
                       fault);
    if (*header != '\0' && !is_header_line(header))
        tw_config_fail(load, PLACE_OF(load, tracing_header), KEY_OF(tracing_header),
                       "the value (hidden) is not a header: write Name: value");
    if (*config->tracing_ca_file != '\0')
        check_readable(load, PLACE_OF(load, tracing_ca_file), KEY_OF(tracing_ca_file),
                       config->tracing_ca_file);
}

static bool same_socket(const struct tw_listen *a, const struct tw_listen *b)
{
    struct tw_address at, bt;
    return a->port != 0 && a->port == b->port && tw_address_parse(tw_str_of(a->address), &at) &&
           tw_address_parse(tw_str_of(b->address), &bt) && tw_address_overlaps(&at, &bt);
}

static void check_certificates(struct tw_config_load *load, size_t i)
{
    static const char *const names[] = {"certificate", "key", "ocspFile"};
    const struct tw_listen *listen = &load->config->listens[i];
    char key[TW_CONFIG_PATH_MAX];
    for (size_t j = 0; j < listen->n_certificates; j++) {
        const struct tw_certificate_files *files = &listen->certificates[j];
        const char *const paths[] = {files->certificate, files->key, files->ocsp};
        for (size_t k = 0; k < TW_COUNT(paths); k++) {
            tw_config_certificate_key(load->config, i, j, names[k], key);
            check_readable(load, load->listen_places[i], key, paths[k]);
        }
    }
    snprintf(key, sizeof key, "listen[%zu].tls.clientCa", i);
    check_readable(load, load->listen_places[i], key, listen->tls_client_ca);
}

static void check_listens(struct tw_config_load *load)
{
    const struct tw_config *config = load->config;
    for (size_t i = 0; i < config->n_listens; i++) {
        const struct tw_listen *listen = &config->listens[i];
        char key[TW_CONFIG_PATH_MAX];
        check_certificates(load, i);
        snprintf(key, sizeof key, "listen[%zu]", i);
        if (listen->proxy_protocol && config->n_trusted_proxies == 0)
            tw_config_fail(load, load->listen_places[i], key,
                           "proxyProtocol needs http.trusted_proxies: whose word is to be taken");
        for (size_t j = 0; j < i; j++)
            if (same_socket(listen, &config->listens[j]))
                tw_config_fail(
                    load, load->listen_places[i], key,
                    "the same port as listen[%zu], on the same address or on all; remove one", j);
    }
}

static void check_issuers(struct tw_config_load *load)
{
    const struct tw_config *config = load->config;
    for (size_t i = 0; i < config->n_issuers; i++) {
        const struct tw_issuer *issuer = &config->issuers[i];
        char key[TW_CONFIG_PATH_MAX];
        snprintf(key, sizeof key, "auth.issuers[%zu].jwksFile", i);
        check_readable(load, load->issuer_places[i], key, issuer->jwks_file);
        snprintf(key, sizeof key, "auth.issuers[%zu]", i);
        for (size_t j = 0; j < i; j++)
            if (strcmp(issuer->issuer, config->issuers[j].issuer) == 0)
                tw_config_fail(load, load->issuer_places[i], key,
                               "the same issuer as auth.issuers[%zu]; put all clients into one", j);
    }
}

static void check_cors(struct tw_config_load *load)
{
    const struct tw_texts origins = load->config->cors_origins;
    bool any = origins.n > 0 && strcmp(origins.items[0], "*") == 0;
    if (any && load->config->cors_credentials)
        tw_config_fail(load, load->cors_origins_place, "cors.origins",
                       "\"*\" and cors.credentials exclude each other; name the origins");
}

// The value is a secret: no fault quotes it.
static void check_fleet(struct tw_config_load *load)
{
    const struct tw_config *config = load->config;
    bool sentinel = strcmp(config->fleet_mode, "sentinel") == 0;
    struct tw_redis_uri uri;
    if (*config->fleet_redis == '\0')
        return;
    const char *fault = tw_redis_uri_parse(tw_str_of(config->fleet_redis), 6379, &uri);
    if (fault == NULL && uri.database > 0 && strcmp(config->fleet_mode, "cluster") == 0)
        fault = "names a database, and a cluster has none but 0";
    if (fault != NULL)
        tw_config_fail(load, PLACE_OF(load, fleet_redis), KEY_OF(fleet_redis),
                       "the value (hidden) %s", fault);
    if (sentinel && *config->fleet_sentinel_master == '\0')
        tw_config_fail(load, PLACE_OF(load, fleet_mode), KEY_OF(fleet_mode),
                       "sentinel needs fleet.sentinel_master: which master to ask for");
    if (*config->fleet_ca_file != '\0')
        check_readable(load, PLACE_OF(load, fleet_ca_file), KEY_OF(fleet_ca_file),
                       config->fleet_ca_file);
}

void tw_config_check(struct tw_config_load *load)
{
    check_required(load);
    check_orders(load);
    check_connections(load);
    check_currency(load);
    check_time_zone(load);
    check_admin(load);
    check_tracing(load);
    check_listens(load);
    check_issuers(load);
    check_cors(load);
    check_fleet(load);
    if (*load->config->auth_deny_file != '\0')
        check_readable(load, PLACE_OF(load, auth_deny_file), KEY_OF(auth_deny_file),
                       load->config->auth_deny_file);
    if (*load->config->tls_ticket_keys_file != '\0')
        check_readable(load, PLACE_OF(load, tls_ticket_keys_file), KEY_OF(tls_ticket_keys_file),
                       load->config->tls_ticket_keys_file);
    if (*load->config->auth_jwks_ca_file != '\0')
        check_readable(load, PLACE_OF(load, auth_jwks_ca_file), KEY_OF(auth_jwks_ca_file),
                       load->config->auth_jwks_ca_file);
}

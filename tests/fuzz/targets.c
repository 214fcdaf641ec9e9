// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // memmem, memfd_create
#endif

#include "tests/fuzz/targets.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth/claims.h"
#include "auth/deny_list.h"
#include "auth/verifier.h"
#include "config/config.h"
#include "gateway/client_address.h"
#include "gateway/discovery.h"
#include "gateway/freshness.h"
#include "gateway/proxy_header.h"
#include "gateway/reply.h"
#include "gateway/router.h"
#include "handlers/json_text.h"
#include "handlers/params.h"
#include "handlers/schema.h"

#define PROMISE TW_FUZZ_PROMISE

// Public keys whose private halves were thrown away: nothing can be signed by them.
static const char key_set[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":"
    "\"0w9-X-k9UtBZ0lVRuyeIoXoSVUtf4CoswpuLGMI5u3KJ5XiWNSJbzYYXcXsD6zWWoh_KDeBQGGiF9G1_"
    "iFWU535u_BPnDpoxE3AzsLpwNSUymSXkkyB1UiO0qwLZnlZCyfwuBUVUcrITVm7c0kg3CbbUrbzve6JB"
    "_OPTWgzh3RMNeWtG8zsDlQ3ukn8PF4pvpCEX2OdMWh-lnjLnLGxFbX2hb3IZb_jY_S4Ieunv4a9wQagW"
    "_clzCRAK7KFmDyPzXVRXWr1CYv-VdlOyICQEQBROrqZMC_QEhWssecLAKh5Lf0p710rweoDQYZATcEvg"
    "5wgLAPExDAlKQOf8Dcy2IQ\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\","
    "\"x\":\"8rzt53bfXqImzPBX52m0saqbB7Rt1u5A0PtfepLvQ5w\","
    "\"y\":\"pWtBKzCTHnH030mgYtW4ZOPycD0uEhag_KW9QvnV99w\"}]}";

// Whether `part` lies inside `whole`, or is empty.
static bool lies_in(struct tw_str part, struct tw_str whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

// ---- a request without a worker -----------------------------------------------------------------

static struct tw_config request_config = {.pos_currency_decimals = 2};
static void *blocks[4096];
static size_t n_blocks;
static unsigned n_answers;

void *tw_req_alloc(struct tw_req *req, size_t n)
{
    (void)req;
    PROMISE(n_blocks < TW_COUNT(blocks));
    return blocks[n_blocks++] = malloc(n ? n : 1);
}

struct tw_verdict tw_fail_errors(struct tw_req *req, enum tw_status status, const char *detail,
                                 const struct tw_problem_error *errors, size_t n)
{
    (void)req;
    (void)detail;
    unsigned http = tw_status_info(status)->http;
    PROMISE(http >= 400 && http < 500); // never the server's fault
    for (size_t i = 0; i < n; i++)
        PROMISE(tw_utf8_valid(errors[i].pointer) && tw_utf8_valid(errors[i].detail));
    n_answers++;
    return (struct tw_verdict){TW_VERDICT_ANSWERED};
}

struct tw_verdict tw_fail(struct tw_req *req, enum tw_status status, const char *detail)
{
    return tw_fail_errors(req, status, detail, NULL, 0);
}

static struct tw_req begin_request(void)
{
    n_answers = 0;
    return (struct tw_req){.config = &request_config};
}

// Answered once when it was refused, not at all when it was taken.
static void end_request(bool taken)
{
    PROMISE(n_answers == (taken ? 0 : 1));
    while (n_blocks > 0)
        free(blocks[--n_blocks]);
}

// ---- the targets --------------------------------------------------------------------------------

void tw_fuzz_path(struct tw_str input)
{
    struct tw_str path, query;
    if (tw_router_target(input, &path, &query) != TW_OK)
        return;
    PROMISE(lies_in(path, input) && lies_in(query, input) && path.n > 0 && path.p[0] == '/');
    PROMISE(path.n == 1 || path.p[path.n - 1] != '/');
    for (size_t i = 0; i < path.n; i++)
        PROMISE(!strchr("%\\;?# \"<>", path.p[i]) && path.p[i] > ' ' && path.p[i] < 0x7f);
    for (size_t i = 0; i + 1 < path.n; i++)
        PROMISE(!(path.p[i] == '/' && path.p[i + 1] == '/'));
    PROMISE(!memmem(path.p, path.n, "/./", 3) && !memmem(path.p, path.n, "/../", 4));
}

void tw_fuzz_query(struct tw_str input)
{
    static const struct tw_param_spec specs[] = {{"q", 64}, {"limit", 8}, {"updatedSince", 32}};
    struct tw_str values[TW_COUNT(specs)];
    struct tw_verdict verdict;
    struct tw_req req = begin_request();
    req.query = input;
    bool taken = tw_query_parse(&req, specs, TW_COUNT(specs), values, &verdict);
    for (size_t i = 0; taken && i < TW_COUNT(specs); i++)
        PROMISE(values[i].n <= specs[i].max_bytes && (!values[i].p || tw_utf8_valid(values[i])));
    int32_t limit;
    int64_t unix_ms;
    if (taken && values[1].p && tw_list_limit(values[1], &limit))
        PROMISE(limit >= 1 && limit <= 500);
    if (taken && values[2].p && tw_time_parse(values[2], &unix_ms))
        PROMISE(unix_ms >= 0);
    end_request(taken);
}

void tw_fuzz_jws(struct tw_str input)
{
    static const char *const audiences[] = {"till"};
    static const struct tw_issuer_rules rules = {.issuer = "https://id.example.com",
                                                 .audiences = audiences,
                                                 .n_audiences = 1,
                                                 .algorithms = TW_ALGORITHM_USUAL};
    static struct tw_verifier *verifier;
    struct tw_jwks_report report;
    if (!verifier) {
        const struct tw_verifier_config config = {
            .issuers = &rules, .n_issuers = 1, .cache_entries = 16};
        verifier = tw_verifier_new(&config);
        PROMISE(tw_verifier_set_keys(verifier, 0, tw_str_of(key_set), 1, &report));
        PROMISE(report.keys_taken == 2);
    }
    struct tw_auth_result result = tw_verifier_verify(verifier, input, 1800000000);
    PROMISE(result.status == TW_TOKEN_INVALID && result.reason && !result.principal);
    PROMISE(!tw_verifier_recall(verifier, input, 1800000000));
}

void tw_fuzz_claims(struct tw_str input)
{
    static const char *const texts[] = {"till", "pos/sell", "cashier"};
    static const struct tw_issuer_rules rules = {.issuer = "i",
                                                 .audiences = texts,
                                                 .n_audiences = 1,
                                                 .scopes = {texts + 1, 1},
                                                 .groups = {texts + 2, 1}};
    static const struct tw_claim_names names = {.groups = "/realm_access/roles", .store = "store"};
    struct tw_claims claims;
    const char *reason;
    if (tw_claims_parse(input, &names, &claims))
        return;
    PROMISE(claims.sub.n > 0 && claims.sub.n <= TW_CLAIM_TEXT_MAX_BYTES);
    PROMISE(claims.exp_unix_s >= 0 && claims.exp_unix_s <= TW_CLAIM_TIME_MAX_S);
    enum tw_status status = tw_claims_check(&claims, &rules, 30, 1800000000, &reason);
    PROMISE((status == TW_OK) == (reason == NULL));
    PROMISE(status != TW_OK || tw_str_eq(claims.iss, TW_STR("i")));
    struct tw_principal *principal = tw_principal_new(&claims, 1);
    tw_claims_dispose(&claims);
    tw_principal_unref(principal);
}

void tw_fuzz_jwks(struct tw_str input)
{
    struct tw_jwks_report report;
    struct tw_jwks *set = tw_jwks_parse(input, 15, &report);
    PROMISE((set != NULL) == (report.reason == NULL));
    PROMISE(!set || (report.keys_taken > 0 && report.keys_taken <= TW_JWKS_MAX_KEYS));
    tw_jwks_free(set);
}

void tw_fuzz_discovery(struct tw_str input)
{
    char err[128];
    char *uri = tw_discovery_jwks_uri(input, "https://id.example.com", err, sizeof err);
    PROMISE(!uri || !tw_config_jwks_uri_fault(uri));
    free(uri);
}

void tw_fuzz_deny_list(struct tw_str input)
{
    struct tw_deny_list_fault fault;
    struct tw_deny_list *list = tw_deny_list_parse(input, &fault);
    PROMISE((list != NULL) == (fault.reason == NULL));
    PROMISE(!tw_deny_list_names(list, TW_STR(""), TW_STR("")));
    PROMISE(list || !tw_deny_list_names(list, TW_STR("1"), TW_STR("anna")));
    tw_deny_list_free(list);
}

struct body_line {
    struct tw_optional_uuid id;
    struct tw_number quantity;
};

struct body {
    struct tw_str name, key;
    struct tw_number total, rate;
    struct tw_list lines;
};

void tw_fuzz_body(struct tw_str input)
{
    static const struct tw_field line_fields[] = {
        {.name = "id", .type = TW_FIELD_UUID, .offset = offsetof(struct body_line, id)},
        {.name = "quantity",
         .type = TW_FIELD_QUANTITY,
         .offset = offsetof(struct body_line, quantity),
         .required = true,
         .min = 1,
         .max = 1000000},
    };
    static const struct tw_schema line = {line_fields, TW_COUNT(line_fields),
                                          sizeof(struct body_line)};
    static const struct tw_field fields[] = {
        {.name = "name",
         .type = TW_FIELD_TEXT,
         .offset = offsetof(struct body, name),
         .min = 1,
         .max = 64},
        {.name = "key", .type = TW_FIELD_TOKEN, .offset = offsetof(struct body, key), .max = 8},
        {.name = "total",
         .type = TW_FIELD_MONEY,
         .offset = offsetof(struct body, total),
         .max = 1000000},
        {.name = "rate",
         .type = TW_FIELD_RATE,
         .offset = offsetof(struct body, rate),
         .max = 1000000},
        {.name = "lines",
         .type = TW_FIELD_LIST,
         .offset = offsetof(struct body, lines),
         .max = 4,
         .element = &line},
        {.name = "createdAt", .type = TW_FIELD_READ_ONLY},
    };
    static const struct tw_schema schema = {fields, TW_COUNT(fields), sizeof(struct body)};
    struct body out;
    struct tw_verdict verdict;
    struct tw_req req = begin_request();
    req.body = input;
    bool taken = tw_body_parse(&req, &schema, &out, &verdict);
    if (taken) {
        PROMISE(!out.name.p || (tw_utf8_valid(out.name) && out.name.n <= 64));
        PROMISE(!out.total.present || (out.total.value >= 0 && out.total.value <= 1000000));
        PROMISE(out.lines.n <= 4);
        const struct body_line *items = out.lines.items;
        for (size_t i = 0; i < out.lines.n; i++)
            PROMISE(items[i].quantity.present && items[i].quantity.value >= 1);
    }
    end_request(taken);
}

void tw_fuzz_json_pointer(struct tw_str input)
{
    char pointer[64];
    size_t at = 0;
    if (tw_json_text_scan(input, &at) == TW_JSON_TOO_DEEP)
        return;
    PROMISE(at <= input.n);
    for (size_t i = 0; i < input.n; i += input.n / 16 + 1)
        PROMISE(tw_json_text_pointer(input, i, pointer, sizeof pointer) <= sizeof pointer);
}

void tw_fuzz_yaml(struct tw_str input)
{
    char path[64], err[4096];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("yaml", MFD_CLOEXEC);
        setenv("TILLWAY_DB_URL", "postgresql:///pos", 1);
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    PROMISE(fd >= 0 && ftruncate(fd, 0) == 0 &&
            pwrite(fd, input.p, input.n, 0) == (ssize_t)input.n);
    const char *const paths[] = {path};
    struct tw_config *config = tw_config_load(paths, 1, err, sizeof err);
    PROMISE(config ? *err == '\0' : *err != '\0');
    if (config) {
        FILE *out = fopen("/dev/null", "w");
        tw_config_print(config, out);
        fclose(out);
    }
    tw_config_free(config);
}

void tw_fuzz_proxy_header(struct tw_str input)
{
    struct tw_proxy_header out;
    enum tw_proxy_read verdict = tw_proxy_header_parse(input, &out);
    if (verdict != TW_PROXY_DONE)
        return;
    PROMISE(out.n_bytes > 0 && out.n_bytes <= input.n);
    PROMISE(out.source.n == 0 || out.source.n == 4 || out.source.n == 16);
    struct tw_proxy_header again; // what follows it does not matter, and less is not enough
    PROMISE(tw_proxy_header_parse((struct tw_str){input.p, out.n_bytes}, &again) == TW_PROXY_DONE);
    PROMISE(again.n_bytes == out.n_bytes);
    PROMISE(tw_proxy_header_parse((struct tw_str){input.p, out.n_bytes - 1}, &again) ==
            TW_PROXY_MORE);
}

void tw_fuzz_forwarded(struct tw_str input)
{
    struct tw_network trusted[2];
    PROMISE(tw_network_parse(TW_STR("10.0.0.0/8"), &trusted[0]) &&
            tw_network_parse(TW_STR("2001:db8::/32"), &trusted[1]));
    for (int i = 0; i < 2; i++) {
        struct tw_address client;
        PROMISE(tw_address_parse(TW_STR("10.0.0.1"), &client));
        bool more = (i ? tw_forwarded : tw_forwarded_for)(input, trusted, 2, &client);
        PROMISE(client.n == 4 || client.n == 16);
        PROMISE(!more || tw_is_trusted(trusted, 2, &client));
    }
}

void tw_fuzz_freshness(struct tw_str input)
{
    struct tw_freshness freshness = {.max_age_s = TW_FRESHNESS_UNKNOWN};
    tw_freshness_cache_control(&freshness, input);
    tw_freshness_age(&freshness, input);
    uint64_t left = tw_freshness_left_s(&freshness);
    PROMISE(left == TW_FRESHNESS_UNKNOWN || left <= INT32_MAX);
}

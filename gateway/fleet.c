// SPDX-License-Identifier: Apache-2.0
#include "gateway/fleet.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/log.h"
#include "gateway/redis.h"
#include "gateway/usage_map.h"

// Keys that are told in one turn of the loop. With 256 the longest wait of a request beside was 3.3
// ms instead of 0.9 (bench/fleet.sh, 20000 keys).
#define SLICE_KEYS 64
#define SLICE_MS   1

#define CALL_KEYS_MAX 64 // of one call of the script; in a cluster each key has its own slot

// Which keys were told since Redis is back, by their hash.
#define RESTORED_BITS 65536

#define NAME_BYTES    (128 + 2 * NAME_ID_BYTES)
#define NAME_ID_BYTES 16 // of the keyed hash that stands for a key
#define NUMBER_BYTES  24

// Debts are doubles in the script: exact below 2^53 with Redis' time added.
#define MOST_US UINT64_C(4000000000000000)

// One call of the script for `n` keys of the exchange, from `first` on.
struct call {
    struct tw_fleet *fleet;
    size_t first, n;
    uint64_t asked_us;
};

// The words of one call while it is written.
struct words {
    int n;
    const char *word[3 + CALL_KEYS_MAX * 4];
    size_t length[3 + CALL_KEYS_MAX * 4];
    char count[NUMBER_BYTES];
    char names[CALL_KEYS_MAX][NAME_BYTES];
    char numbers[CALL_KEYS_MAX * 3][NUMBER_BYTES];
};

struct tw_fleet {
    const struct tw_config *config;
    struct tw_limit_table *limits;
    struct tw_worker_page *page;
    h2o_loop_t *loop;
    SSL_CTX *tls;
    struct tw_redis *redis;
    EVP_MAC_CTX *mac;
    char script_sha1[2 * SHA_DIGEST_LENGTH + 1];
    size_t prefix_n, call_keys;

    struct tw_usage_map *used;    // since the exchange began
    struct tw_usage_map *telling; // what it tells
    size_t told;                  // of `telling`, so many are sent or dropped
    size_t calls_n, calls_open;
    bool exchange_failed;
    struct call *calls; // as many as there may be keys
    struct words words;

    h2o_timeout_t tick_timeout, slice_timeout;
    h2o_timeout_entry_t tick, slice;
    enum { NOT_YET, JOINED, LOST } standing; // as the log has it
    uint64_t losses_seen;
    uint8_t restored[RESTORED_BITS / 8]; // all set until Redis was lost for the first time
};

// ---- names --------------------------------------------------------------------------------------

static EVP_MAC_CTX *make_mac(const char *secret)
{
    static const char nobodys_secret[] = "tillway: limits of a fleet";
    const char *key = secret[0] ? secret : nobodys_secret;
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (ctx && EVP_MAC_init(ctx, (const unsigned char *)key, strlen(key), params) == 1)
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static char *write_hex(char *out, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return out;
}

// The prefix and half of the HMAC-SHA256 of the key, which holds the policy's name.
static bool write_name(struct tw_fleet *fleet, struct tw_str key, char out[NAME_BYTES])
{
    unsigned char id[SHA256_DIGEST_LENGTH];
    size_t n;
    if (EVP_MAC_init(fleet->mac, NULL, 0, NULL) != 1 ||
        EVP_MAC_update(fleet->mac, (const unsigned char *)key.p, key.n) != 1 ||
        EVP_MAC_final(fleet->mac, id, &n, sizeof(id)) != 1)
        return false;
    memcpy(out, fleet->config->fleet_prefix, fleet->prefix_n);
    (void)write_hex(out + fleet->prefix_n, id, NAME_ID_BYTES);
    return true;
}

static size_t name_bytes(const struct tw_fleet *fleet)
{
    return fleet->prefix_n + 2 * NAME_ID_BYTES;
}

// ---- costs and debts ----------------------------------------------------------------------------

static uint64_t most_us(const struct tw_limit_rule *rule)
{
    uint64_t most = (rule->interval * rule->burst + rule->overdraft) / TW_LIMIT_UNITS_PER_US;
    return most < MOST_US ? most : MOST_US;
}

// What a cost takes to come back, rounded up.
static uint64_t cost_us(const struct tw_limit_rule *rule, uint64_t cost)
{
    unsigned __int128 us = ((unsigned __int128)rule->interval * cost + TW_LIMIT_UNITS_PER_US - 1) /
                           TW_LIMIT_UNITS_PER_US;
    return us < MOST_US ? (uint64_t)us : MOST_US;
}

// What the node alone knows of a key, for the first time that it is told after Redis was away: it
// may have lost the key, or not heard of what was used meanwhile. Not more often: the node's debt
// has in it what other workers are about to tell themselves.
static uint64_t own_debt_us(struct tw_fleet *fleet, const struct tw_usage *usage, uint64_t now_us)
{
    struct tw_limit_result result;
    uint8_t *byte = &fleet->restored[usage->hash % RESTORED_BITS / 8];
    uint8_t bit = (uint8_t)(1 << usage->hash % 8);
    if (*byte & bit)
        return 0;
    *byte |= bit;
    tw_limit_peek_hashed(fleet->limits, usage->policy, usage->hash, usage->rule, 1, now_us,
                         &result);
    return result.reset_us;
}

// The fleet's debt, and what was used here since it was asked for, is the key's. It counts from
// when it was asked for, which is before Redis' answer: a debt that goes back and forth does not
// grow.
static void take_debt(struct tw_fleet *fleet, const struct tw_usage *usage, long long debt,
                      uint64_t asked_us)
{
    const struct tw_usage *more = tw_usage_map_find(fleet->used, usage->policy, usage->hash);
    uint64_t debt_us = debt > 0 ? (uint64_t)debt : 0;
    if (debt_us > MOST_US)
        debt_us = MOST_US;
    if (more)
        debt_us += cost_us(more->rule, more->cost);
    tw_limit_raise(fleet->limits, usage->policy, usage->hash, usage->rule, debt_us, asked_us);
}

// ---- answers ------------------------------------------------------------------------------------

static void count_dropped(struct tw_fleet *fleet, size_t n)
{
    tw_metric_add(fleet->page, TW_METRIC_FLEET_KEYS_DROPPED, (int64_t)n);
}

// Not run: told again in the next exchange, to whom the cluster says.
static void tell_again(struct tw_fleet *fleet, const struct call *call, unsigned via)
{
    for (size_t i = 0; i < call->n; i++) {
        const struct tw_usage *usage = tw_usage_map_at(fleet->telling, call->first + i);
        struct tw_usage *again = tw_usage_map_add(fleet->used, usage->policy, usage->hash,
                                                  usage->key, usage->rule, usage->cost);
        if (again)
            again->via = via;
        else
            count_dropped(fleet, 1);
    }
}

static bool is_debts(const redisReply *reply, size_t n)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (reply->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
    return true;
}

static void take_debts(struct tw_fleet *fleet, const struct call *call, const redisReply *reply)
{
    for (size_t i = 0; i < call->n; i++)
        take_debt(fleet, tw_usage_map_at(fleet->telling, call->first + i),
                  reply->element[i]->integer, call->asked_us);
    tw_metric_add(fleet->page, TW_METRIC_FLEET_KEYS_TOLD, (int64_t)call->n);
}

// An error that is no redirection is the server's state (read-only, out of memory, no script …):
// the connection is given up, so that the next one asks anew where to go, and not too often.
static void take_error(struct tw_fleet *fleet, const struct call *call, struct tw_redis_conn *conn,
                       const redisReply *reply)
{
    bool is_error = reply->type == REDIS_REPLY_ERROR;
    unsigned via;
    if (is_error && tw_redis_redirected(fleet->redis, conn,
                                        (struct tw_str){reply->str, (size_t)reply->len}, &via)) {
        tell_again(fleet, call, via);
        return;
    }
    count_dropped(fleet, call->n);
    fleet->exchange_failed = true;
    tw_redis_conn_lose(conn, is_error ? reply->str : "no answer of the script's");
}

static void end_if_done(struct tw_fleet *fleet)
{
    if (fleet->calls_open > 0 || fleet->told < tw_usage_map_count(fleet->telling) ||
        fleet->calls_n == 0)
        return;
    tw_metric_add(fleet->page,
                  fleet->exchange_failed ? TW_METRIC_FLEET_EXCHANGES_FAILED
                                         : TW_METRIC_FLEET_EXCHANGES_DONE,
                  1);
    fleet->calls_n = 0;
}

static void on_debts(void *arg, struct tw_redis_conn *conn, const redisReply *reply)
{
    struct call *call = arg;
    struct tw_fleet *fleet = call->fleet;
    fleet->calls_open--;
    if (!reply) {
        fleet->exchange_failed = true;
        count_dropped(fleet, call->n);
    } else if (is_debts(reply, call->n)) {
        take_debts(fleet, call, reply);
    } else {
        take_error(fleet, call, conn, reply);
    }
    end_if_done(fleet);
}

static void on_asking(void *arg, struct tw_redis_conn *conn, const redisReply *reply)
{
    (void)arg; // the command behind it has the answer that counts
    (void)conn;
    (void)reply;
}

// ---- telling ------------------------------------------------------------------------------------

static void add_word(struct words *words, const char *text, size_t n)
{
    words->word[words->n] = text;
    words->length[words->n++] = n;
}

static void add_number(struct words *words, size_t at, uint64_t number)
{
    int n = snprintf(words->numbers[at], NUMBER_BYTES, "%" PRIu64, number);
    add_word(words, words->numbers[at], (size_t)n);
}

// EVALSHA sha1 n name… (used own most)…; the names are there already.
static void write_call(struct tw_fleet *fleet, const struct call *call)
{
    struct words *words = &fleet->words;
    words->n = 0;
    add_word(words, "EVALSHA", 7);
    add_word(words, fleet->script_sha1, sizeof(fleet->script_sha1) - 1);
    int n = snprintf(words->count, sizeof(words->count), "%zu", call->n);
    add_word(words, words->count, (size_t)n);
    for (size_t i = 0; i < call->n; i++)
        add_word(words, words->names[i], name_bytes(fleet));
    for (size_t i = 0; i < call->n; i++) {
        const struct tw_usage *usage = tw_usage_map_at(fleet->telling, call->first + i);
        add_number(words, 3 * i, cost_us(usage->rule, usage->cost));
        add_number(words, 3 * i + 1, own_debt_us(fleet, usage, call->asked_us));
        add_number(words, 3 * i + 2, most_us(usage->rule));
    }
}

static bool send_call(struct tw_fleet *fleet, struct tw_redis_conn *conn, struct call *call,
                      bool asking)
{
    const char *word = "ASKING";
    struct words *words = &fleet->words;
    write_call(fleet, call);
    if (asking && !tw_redis_conn_send(conn, 1, &word, NULL, on_asking, NULL))
        return false;
    return tw_redis_conn_send(conn, words->n, words->word, words->length, on_debts, call);
}

// One call from `first` on; returns for how many keys. They go to the same Redis: all but in a
// cluster, where it is one key.
static size_t tell_some(struct tw_fleet *fleet, size_t first)
{
    struct words *words = &fleet->words;
    size_t left = tw_usage_map_count(fleet->telling) - first, n = 0;
    const struct tw_usage *usage = tw_usage_map_at(fleet->telling, first);
    size_t most = left < fleet->call_keys ? left : fleet->call_keys;
    while (n < most &&
           write_name(fleet, tw_usage_map_at(fleet->telling, first + n)->key, words->names[n]))
        n++;
    if (n == 0) {
        count_dropped(fleet, 1);
        return 1;
    }
    struct tw_str name = {words->names[0], name_bytes(fleet)};
    struct tw_redis_conn *conn = tw_redis_route(fleet->redis, name, usage->via);
    struct call *call = &fleet->calls[fleet->calls_n];
    *call = (struct call){fleet, first, n, tw_now_us()};
    if (!conn || !send_call(fleet, conn, call, usage->via > 0)) {
        count_dropped(fleet, n);
        return n;
    }
    fleet->calls_n++;
    fleet->calls_open++;
    return n;
}

// As much as a turn of the loop may take; the rest in later ones.
static void tell_slice(struct tw_fleet *fleet)
{
    size_t n = tw_usage_map_count(fleet->telling), end = fleet->told + SLICE_KEYS;
    while (fleet->told < n && fleet->told < end)
        fleet->told += tell_some(fleet, fleet->told);
    tw_redis_flush(fleet->redis);
    if (fleet->told < n)
        h2o_timeout_link(fleet->loop, &fleet->slice_timeout, &fleet->slice);
    else
        end_if_done(fleet);
}

static void on_slice(h2o_timeout_entry_t *entry)
{
    tell_slice(H2O_STRUCT_FROM_MEMBER(struct tw_fleet, slice, entry));
}

static void begin_exchange(struct tw_fleet *fleet)
{
    struct tw_usage_map *used = fleet->used;
    if (tw_usage_map_count(used) == 0)
        return;
    if (tw_redis_connections(fleet->redis) == 0) {
        count_dropped(fleet, tw_usage_map_count(used));
        tw_usage_map_clear(used);
        return;
    }
    tw_usage_map_clear(fleet->telling);
    fleet->used = fleet->telling;
    fleet->telling = used;
    fleet->told = fleet->calls_n = 0;
    fleet->exchange_failed = false;
    tell_slice(fleet);
}

// ---- standing -----------------------------------------------------------------------------------

static void note_standing(struct tw_fleet *fleet)
{
    struct tw_redis *redis = fleet->redis;
    bool whole = tw_redis_whole(redis);
    tw_metric_set(fleet->page, TW_METRIC_FLEET_CONNECTIONS, tw_redis_connections(redis));
    tw_metric_add(fleet->page, TW_METRIC_FLEET_CONNECTION_LOSSES,
                  (int64_t)(tw_redis_losses(redis) - fleet->losses_seen));
    fleet->losses_seen = tw_redis_losses(redis);
    if (whole && fleet->standing != JOINED) {
        tw_log(TW_LEVEL_INFO, "fleet_joined", "limits are shared through Redis");
        if (fleet->standing == LOST)
            memset(fleet->restored, 0, sizeof(fleet->restored));
        fleet->standing = JOINED;
    } else if (!whole && fleet->standing != LOST && tw_redis_why(redis)[0]) {
        tw_log(TW_LEVEL_WARN, "fleet_lost", "%s; limits hold for this node alone until it is back",
               tw_redis_why(redis));
        fleet->standing = LOST;
    }
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct tw_fleet *fleet = H2O_STRUCT_FROM_MEMBER(struct tw_fleet, tick, entry);
    tw_redis_tick(fleet->redis, tw_now_us());
    note_standing(fleet);
    if (fleet->calls_open == 0 && fleet->told == tw_usage_map_count(fleet->telling))
        begin_exchange(fleet);
    h2o_timeout_link(fleet->loop, &fleet->tick_timeout, &fleet->tick);
}

// ---- public -------------------------------------------------------------------------------------

bool tw_fleet_check(const struct tw_config *config, char *err, size_t err_size)
{
    if (config->fleet_ca_file[0] == '\0')
        return true;
    SSL_CTX *tls = tw_redis_tls_new(config->fleet_ca_file, err, err_size);
    SSL_CTX_free(tls);
    return tls != NULL;
}

static enum tw_redis_shape shape_of(const struct tw_config *config)
{
    return strcmp(config->fleet_mode, "cluster") == 0    ? TW_REDIS_CLUSTER
           : strcmp(config->fleet_mode, "sentinel") == 0 ? TW_REDIS_SENTINEL
                                                         : TW_REDIS_SINGLE;
}

static bool open_redis(struct tw_fleet *fleet, h2o_multithread_receiver_t *receiver)
{
    const struct tw_config *config = fleet->config;
    struct tw_redis_plan plan = {.shape = shape_of(config),
                                 .sentinel_master = config->fleet_sentinel_master,
                                 .sentinel_password = config->fleet_sentinel_password,
                                 .script = tw_fleet_script};
    char err[256];
    uint16_t port = plan.shape == TW_REDIS_SENTINEL ? 26379 : 6379;
    if (tw_redis_uri_parse(tw_str_of(config->fleet_redis), port, &plan.uri))
        return false; // config has said it already
    if (plan.uri.tls)
        fleet->tls = tw_redis_tls_new(config->fleet_ca_file, err, sizeof(err));
    plan.shared = (struct tw_redis_shared){fleet->loop, receiver, fleet->tls,
                                           config->fleet_timeout_ms * 1000};
    fleet->call_keys = plan.shape == TW_REDIS_CLUSTER ? 1 : CALL_KEYS_MAX;
    fleet->redis = plan.uri.tls && !fleet->tls ? NULL : tw_redis_new(&plan);
    return fleet->redis != NULL;
}

static void name_script(struct tw_fleet *fleet)
{
    unsigned char sha1[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)tw_fleet_script, strlen(tw_fleet_script), sha1);
    *write_hex(fleet->script_sha1, sha1, sizeof(sha1)) = '\0';
}

static void start_timers(struct tw_fleet *fleet)
{
    h2o_timeout_init(fleet->loop, &fleet->tick_timeout, fleet->config->fleet_interval_ms);
    h2o_timeout_init(fleet->loop, &fleet->slice_timeout, SLICE_MS);
    fleet->tick.cb = on_tick;
    fleet->slice.cb = on_slice;
    h2o_timeout_link(fleet->loop, &fleet->tick_timeout, &fleet->tick);
}

struct tw_fleet *tw_fleet_new(struct st_h2o_context_t *ctx, const struct tw_config *config,
                              struct tw_limit_table *limits, struct tw_worker_page *page)
{
    struct tw_fleet *fleet = calloc(1, sizeof(*fleet));
    if (!fleet)
        return NULL;
    fleet->config = config;
    fleet->limits = limits;
    fleet->page = page;
    fleet->loop = ctx->loop;
    memset(fleet->restored, 0xff, sizeof(fleet->restored));
    fleet->prefix_n = strlen(config->fleet_prefix);
    name_script(fleet);
    start_timers(fleet);
    fleet->used = tw_usage_map_new(config->fleet_keys_max);
    fleet->telling = tw_usage_map_new(config->fleet_keys_max);
    fleet->calls = calloc(config->fleet_keys_max, sizeof(fleet->calls[0]));
    fleet->mac = make_mac(config->fleet_secret);
    if (fleet->used && fleet->telling && fleet->calls && fleet->mac &&
        open_redis(fleet, &ctx->receivers.hostinfo_getaddr))
        return fleet;
    tw_fleet_free(fleet);
    return NULL;
}

void tw_fleet_free(struct tw_fleet *fleet)
{
    if (!fleet)
        return;
    tw_redis_free(fleet->redis);
    tw_metric_set(fleet->page, TW_METRIC_FLEET_CONNECTIONS, 0);
    h2o_timeout_unlink(&fleet->tick);
    h2o_timeout_unlink(&fleet->slice);
    h2o_timeout_dispose(fleet->loop, &fleet->tick_timeout);
    h2o_timeout_dispose(fleet->loop, &fleet->slice_timeout);
    EVP_MAC_CTX_free(fleet->mac);
    SSL_CTX_free(fleet->tls);
    tw_usage_map_free(fleet->used);
    tw_usage_map_free(fleet->telling);
    free(fleet->calls);
    free(fleet);
}

void tw_fleet_used(struct tw_fleet *fleet, unsigned policy, uint64_t hash, struct tw_str key,
                   const struct tw_limit_rule *rule, uint64_t cost)
{
    if (fleet && !tw_usage_map_add(fleet->used, policy, hash, key, rule, cost))
        count_dropped(fleet, 1);
}

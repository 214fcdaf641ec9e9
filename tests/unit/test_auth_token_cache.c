// SPDX-License-Identifier: Apache-2.0
// token_cache: FAULTS A6, found only by the exact bytes, in time, and within its bounds; and
// siphash.
#include "tests/unit/test_auth_kit.h"

#include "auth/token_cache.h"

#define FAR INT64_C(1) << 40

static const unsigned char hash_key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint64_t generations[2] = {5, 6};
static const struct tw_token_life forever = {0, FAR, 5, 0};

static struct tw_principal *principal_named(const char *subject)
{
    const struct tw_claims claims = {.sub = tw_str_of(subject), .exp_unix_s = 1};
    struct tw_principal *principal = tw_principal_new(&claims, 0);
    assert_non_null(principal);
    return principal;
}

// Puts a token whose principal's subject is the token itself.
static void put(struct tw_token_cache *cache, const char *token, const struct tw_token_life *life)
{
    struct tw_principal *principal = principal_named(token);
    tw_token_cache_put(cache, tw_str_of(token), principal, life);
    tw_principal_unref(principal);
}

static bool finds_at(struct tw_token_cache *cache, const char *token, int64_t now)
{
    struct tw_principal *found = tw_token_cache_find(cache, tw_str_of(token), now, generations);
    assert_true(!found || tw_str_eq(found->subject, tw_str_of(token)));
    return found != NULL;
}

static bool finds(struct tw_token_cache *cache, const char *token)
{
    return finds_at(cache, token, 1);
}

static struct tw_token_cache *new_cache(size_t max_entries, size_t max_bytes)
{
    struct tw_token_cache *cache = tw_token_cache_new(max_entries, max_bytes, hash_key);
    assert_non_null(cache);
    return cache;
}

static uint64_t openssl_siphash(struct tw_str data, unsigned rounds, unsigned last_rounds)
{
    uint64_t hash = 0;
    size_t size = 8, n = 0;
    OSSL_PARAM size8[4] = {
        OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_uint("c-rounds", &rounds),
        OSSL_PARAM_construct_uint("d-rounds", &last_rounds), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    unsigned char out[8];
    assert_int_equal(EVP_MAC_init(ctx, hash_key, sizeof hash_key, size8), 1);
    assert_int_equal(EVP_MAC_update(ctx, (const unsigned char *)data.p, data.n), 1);
    assert_int_equal(EVP_MAC_final(ctx, out, &n, sizeof out), 1);
    for (int i = 7; i >= 0; i--)
        hash = hash << 8 | out[i];
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return hash;
}

static void test_siphash(void **state)
{
    (void)state;
    char data[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)i;
    assert_true(tw_siphash(hash_key, (struct tw_str){data, 15}) == UINT64_C(0xa129ca6149be45e5));
    assert_true(tw_siphash(hash_key, (struct tw_str){NULL, 0}) == UINT64_C(0x726fdb47dd0e0e31));
    for (size_t n = 1; n <= sizeof data; n++) {
        struct tw_str text = {data, n};
        assert_true(tw_siphash(hash_key, text) == openssl_siphash(text, 2, 4));
        assert_true(tw_siphash_1_3(hash_key, text) == openssl_siphash(text, 1, 3));
    }
}

static void test_exact_bytes(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(100, 1 << 20);
    put(cache, "aaa.bbb.ccc", &forever);
    assert_true(finds(cache, "aaa.bbb.ccc"));
    assert_false(finds(cache, "aaa.bbb.ccd"));
    assert_false(finds(cache, "aaa.bbb.cc"));
    assert_false(finds(cache, "aaa.bbb.cccc"));
    assert_false(finds(cache, ""));
    assert_null(tw_token_cache_find(cache, (struct tw_str){NULL, 0}, 1, generations));
    tw_token_cache_free(cache);
}

// Two tokens whose hashes agree in all the bits the table keeps: only their bytes tell them apart.
static void test_colliding_hashes(void **state)
{
    (void)state;
    static const char one[] = "token 257509", two[] = "token 186028";
    assert_int_equal((uint32_t)tw_siphash(hash_key, tw_str_of(one)),
                     (uint32_t)tw_siphash(hash_key, tw_str_of(two)));
    struct tw_token_cache *cache = new_cache(100, 1 << 20);
    put(cache, one, &forever);
    assert_false(finds(cache, two));
    put(cache, two, &forever);
    assert_true(finds(cache, one));
    assert_true(finds(cache, two));
    tw_token_cache_free(cache);
}

// Only a token's end is hashed, so any number of bytes before it may differ under one hash.
static void test_colliding_ends(void **state)
{
    (void)state;
    enum { TOKENS = 100, LENGTH = 1000 };
    char token[LENGTH + 1];
    struct tw_token_cache *cache = new_cache(TOKENS, 1 << 20);
    memset(token, 'x', LENGTH);
    token[LENGTH] = 0;
    for (int i = 0; i < TOKENS; i++) {
        token[i] = 'y';
        assert_false(finds(cache, token));
        put(cache, token, &forever);
        token[i] = 'x';
    }
    assert_false(finds(cache, token));
    for (int i = 0; i < TOKENS; i++) {
        token[i] = 'y';
        assert_true(finds(cache, token));
        assert_false(finds(cache, token + 1));
        token[i] = 'x';
    }
    assert_int_equal(tw_token_cache_stats(cache).entries, TOKENS);
    tw_token_cache_free(cache);
}

static void test_life(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(100, 1 << 20);
    const struct tw_token_life life = {100, 200, 6, 1};
    static const struct {
        int64_t now;
        bool found;
    } cases[] = {{100, true}, {199, true}, {200, false}, {99, false}, {INT64_MAX, false}};
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        put(cache, "t", &life);
        assert_int_equal(finds_at(cache, "t", cases[i].now), cases[i].found);
        assert_int_equal(tw_token_cache_stats(cache).entries, cases[i].found);
    }
    tw_token_cache_free(cache);
}

static void test_generation(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(100, 1 << 20);
    const struct tw_token_life of_second = {0, FAR, 6, 1};
    const uint64_t moved[2] = {5, 7};
    put(cache, "first", &forever);
    put(cache, "second", &of_second);
    assert_non_null(tw_token_cache_find(cache, TW_STR("first"), 1, moved));
    assert_null(tw_token_cache_find(cache, TW_STR("second"), 1, moved));
    assert_null(tw_token_cache_find(cache, TW_STR("second"), 1, generations)); // gone for good
    assert_int_equal(tw_token_cache_stats(cache).entries, 1);
    tw_token_cache_free(cache);
}

static void test_put_replaces(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(100, 1 << 20);
    const struct tw_token_life ended = {0, 1, 5, 0};
    put(cache, "t", &ended);
    size_t bytes = tw_token_cache_stats(cache).bytes;
    put(cache, "t", &forever);
    assert_true(finds(cache, "t"));
    assert_int_equal(tw_token_cache_stats(cache).entries, 1);
    assert_int_equal(tw_token_cache_stats(cache).bytes, bytes);
    tw_token_cache_free(cache);
}

static void test_bound_by_count(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(100, 1 << 20);
    char token[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(token, sizeof token, "token %d", i);
        put(cache, token, &forever);
        assert_true(finds(cache, token));
        assert_true(tw_token_cache_stats(cache).entries <= 100);
    }
    assert_int_equal(tw_token_cache_stats(cache).entries, 100);
    assert_int_equal(tw_token_cache_stats(cache).evictions, 900);
    tw_token_cache_free(cache);
}

static void test_bound_by_bytes(void **state)
{
    (void)state;
    const size_t max_bytes = 64 * 1024, table_bytes = 64 * 1024;
    struct tw_token_cache *cache = new_cache(100000, max_bytes);
    char token[4001] = "";
    memset(token, 'x', 4000);
    for (int i = 0; i < 500; i++) {
        memcpy(token, &i, sizeof i);
        token[3] = '|';
        struct tw_principal *principal = principal_named("s");
        tw_token_cache_put(cache, (struct tw_str){token, 1000 + (size_t)i * 6}, principal,
                           &forever);
        tw_principal_unref(principal);
        assert_true(tw_token_cache_stats(cache).bytes <= max_bytes + table_bytes);
    }
    assert_in_range(tw_token_cache_stats(cache).entries, 10, 20);

    size_t before = tw_token_cache_stats(cache).entries; // too large by itself: pushes nothing out
    char *huge = calloc(1, max_bytes + 1);
    memset(huge, 'h', max_bytes);
    put(cache, huge, &forever);
    assert_false(finds(cache, huge));
    assert_int_equal(tw_token_cache_stats(cache).entries, before);
    free(huge);
    tw_token_cache_free(cache);
}

static void test_no_entries(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(0, 1 << 20);
    put(cache, "t", &forever);
    assert_false(finds(cache, "t"));
    assert_int_equal(tw_token_cache_stats(cache).entries, 0);
    tw_token_cache_free(cache);
    tw_token_cache_free(NULL);
}

// Tokens in use stay while ten times as many pass through once.
static void test_second_chance(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(128, 1 << 20);
    char token[48];
    for (int i = 0; i < 32; i++) {
        snprintf(token, sizeof token, "till %d", i);
        put(cache, token, &forever);
    }
    for (int round = 0; round < 128; round++) {
        for (int i = 0; i < 32; i++) {
            snprintf(token, sizeof token, "till %d", i);
            if (!finds(cache, token))
                fail_msg("lost %s in round %d", token, round);
        }
        for (int i = 0; i < 10; i++) {
            snprintf(token, sizeof token, "passer-by %d %d", round, i);
            put(cache, token, &forever);
        }
    }
    tw_token_cache_free(cache);
}

// Against a plain array: nothing is ever lost or found wrongly while entries come and go.
static void test_against_a_model(void **state)
{
    (void)state;
    enum { TOKENS = 600 };
    bool present[TOKENS] = {false};
    size_t count = 0;
    uint32_t random = 12345;
    struct tw_token_cache *cache = new_cache(100000, 1 << 30);
    const struct tw_token_life life = {10, 20, 5, 0};
    for (int step = 0; step < 300000; step++) {
        random = random * 1664525u + 1013904223u;
        unsigned which = (random >> 8) % TOKENS, what = random >> 30;
        char token[32];
        snprintf(token, sizeof token, "%u", which);
        if (what == 0) {
            count += !present[which];
            put(cache, token, &life);
            present[which] = true;
        } else if (what == 1) {
            assert_false(finds_at(cache, token, 20)); // expired: dropped
            count -= present[which];
            present[which] = false;
        } else {
            assert_int_equal(finds_at(cache, token, 15), present[which]);
        }
        assert_int_equal(tw_token_cache_stats(cache).entries, count);
    }
    tw_token_cache_free(cache);
}

static void test_a_million_tokens(void **state)
{
    (void)state;
    const size_t max_entries = 4096, max_bytes = 4096 * 400;
    struct tw_token_cache *cache = new_cache(max_entries, max_bytes);
    struct tw_principal *principal = principal_named("s");
    char token[32];
    for (int i = 0; i < 1000000; i++) {
        int n = snprintf(token, sizeof token, "%d.%d.%d", i, i, i);
        tw_token_cache_put(cache, (struct tw_str){token, (size_t)n}, principal, &forever);
    }
    struct tw_token_cache_stats stats = tw_token_cache_stats(cache);
    assert_int_equal(stats.entries, max_entries);
    assert_true(stats.bytes <= max_bytes + 2 * max_entries * 16);
    assert_int_equal(principal->references, 1 + max_entries);
    tw_token_cache_free(cache);
    assert_int_equal(principal->references, 1);
    tw_principal_unref(principal);
}

static void test_principal_outlives_its_entry(void **state)
{
    (void)state;
    struct tw_token_cache *cache = new_cache(1, 1 << 20);
    put(cache, "mine", &forever);
    struct tw_principal *mine = tw_principal_ref(
        tw_token_cache_find(cache, TW_STR("mine"), 1, generations));
    put(cache, "other", &forever);
    assert_false(finds(cache, "mine"));
    tw_token_cache_free(cache);
    assert_true(tw_str_eq(mine->subject, TW_STR("mine")));
    assert_int_equal(mine->references, 1);
    tw_principal_unref(mine);
    tw_principal_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(test_exact_bytes),
        cmocka_unit_test(test_colliding_hashes),
        cmocka_unit_test(test_colliding_ends),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_put_replaces),
        cmocka_unit_test(test_bound_by_count),
        cmocka_unit_test(test_bound_by_bytes),
        cmocka_unit_test(test_no_entries),
        cmocka_unit_test(test_second_chance),
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_a_million_tokens),
        cmocka_unit_test(test_principal_outlives_its_entry),
    };
    return cmocka_run_group_tests_name("auth token_cache", tests, NULL, NULL);
}

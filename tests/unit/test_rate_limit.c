// SPDX-License-Identifier: Apache-2.0
// rate_limit: which policies hold where, keys that nobody can forge into another's, the texts of
// the headers to the letter, and names that keep their state over a change of the configuration.
#include "tests/unit/test_kit.h"

#include "gateway/rate_policies.h"

#define SECOND UINT64_C(1000000)
#define DAY    (86400 * SECOND)
#define ALL    (TW_LIMIT_READS | TW_LIMIT_WRITES)

static const struct tw_route rows[] = {
    {.method = TW_GET, .pattern = "/v1/things"},
    {.method = TW_POST, .pattern = "/v1/things"},
};
static const struct tw_route_table routes = {rows, TW_STR(""), TW_COUNT(rows)};
static const struct tw_rate_route anywhere = {0}; // for keys that do not depend on it
static struct tw_limit_table *table;

static int make_table(void **state)
{
    (void)state;
    table = tw_limit_table_new(1024);
    return table ? 0 : -1;
}

static struct tw_limit_policy policy_of(const char *name, unsigned key)
{
    return (struct tw_limit_policy){.name = name,
                                    .key = key,
                                    .rate = 10,
                                    .burst = 20,
                                    .period_us = SECOND,
                                    .cost = 1,
                                    .methods = ALL};
}

// Makes what is wanted of so many policies. To be freed.
static struct tw_rate_limits *limits_of(const struct tw_limit_policy *policies, size_t n)
{
    char err[256];
    struct tw_config config = {.limits = policies, .n_limits = n, .fleet_redis = ""};
    struct tw_rate_limits *limits = tw_rate_limits_new(&routes, &config, table, err, sizeof err);
    if (!limits)
        fail_msg("%s", err);
    return limits;
}

static void expect_line(const struct tw_rate_route *route, const char *wanted)
{
    assert_int_equal(route->line.n, strlen(wanted));
    assert_memory_equal(route->line.p, wanted, route->line.n);
}

// ---- which policies hold ------------------------------------------------------------------------

static void test_routes_and_methods(void **state)
{
    (void)state;
    static const char *const only[] = {"POST /v1/things"};
    struct tw_limit_policy policies[] = {
        policy_of("who", TW_LIMIT_BY_PRINCIPAL),
        policy_of("where", TW_LIMIT_BY_ADDRESS),
        policy_of("reads", TW_LIMIT_BY_ADDRESS | TW_LIMIT_BY_ROUTE),
        policy_of("one", TW_LIMIT_BY_ADDRESS),
        policy_of("all", TW_LIMIT_BY_ROUTE),
    };
    policies[2].methods = TW_LIMIT_READS;
    policies[3].routes = (struct tw_texts){only, 1};
    struct tw_rate_limits *limits = limits_of(policies, TW_COUNT(policies));
    expect_line(&limits->routes[0], "\"where\";q=20;w=2, \"reads\";q=20;w=2, \"all\";q=20;w=2, "
                                    "\"who\";q=20;w=2");
    assert_int_equal(limits->routes[0].n_peer, 3);
    expect_line(&limits->routes[1], "\"where\";q=20;w=2, \"one\";q=20;w=2, \"all\";q=20;w=2, "
                                    "\"who\";q=20;w=2");
    assert_int_equal(limits->routes[1].n_peer, 3);
    tw_rate_limits_free(limits);
}

// Scanners: by the address alone, and not by a policy that is meant for some routes.
static void test_what_no_route_answers(void **state)
{
    (void)state;
    static const char *const only[] = {"GET /v1/things"};
    struct tw_limit_policy policies[] = {
        policy_of("a", TW_LIMIT_BY_ADDRESS),
        policy_of("b", TW_LIMIT_BY_ADDRESS),
        policy_of("c", TW_LIMIT_BY_ADDRESS),
        policy_of("d", TW_LIMIT_BY_ADDRESS | TW_LIMIT_BY_ROUTE),
        policy_of("e", TW_LIMIT_BY_PRINCIPAL),
    };
    policies[1].methods = TW_LIMIT_WRITES;
    policies[2].routes = (struct tw_texts){only, 1};
    struct tw_rate_limits *limits = limits_of(policies, TW_COUNT(policies));
    expect_line(tw_rate_limits_unmatched(limits, TW_RATE_READS), "\"a\";q=20;w=2");
    expect_line(tw_rate_limits_unmatched(limits, TW_RATE_PREFLIGHTS), "\"a\";q=20;w=2");
    expect_line(tw_rate_limits_unmatched(limits, TW_RATE_WRITES), "\"a\";q=20;w=2, \"b\";q=20;w=2");
    assert_int_equal(tw_rate_limits_unmatched(limits, TW_RATE_WRITES)->n_peer, 2);
    tw_rate_limits_free(limits);
}

static void test_no_policies(void **state)
{
    (void)state;
    struct tw_rate_limits *limits = limits_of(NULL, 0);
    assert_int_equal(limits->routes[0].n, 0);
    assert_int_equal(tw_rate_limits_unmatched(limits, TW_RATE_READS)->n, 0);
    tw_rate_limits_free(limits);
    tw_rate_limits_free(NULL);
}

static void test_unknown_route(void **state)
{
    (void)state;
    static const char *const unknown[] = {"PUT /v1/things"};
    char err[256];
    struct tw_limit_policy policy = policy_of("x", TW_LIMIT_BY_ADDRESS);
    policy.routes = (struct tw_texts){unknown, 1};
    struct tw_config config = {.limits = &policy, .n_limits = 1, .fleet_redis = ""};
    assert_null(tw_rate_limits_new(&routes, &config, NULL, err, sizeof err));
    assert_non_null(strstr(err, "\"PUT /v1/things\" is no route"));
}

// ---- names and state ----------------------------------------------------------------------------

static struct tw_limit_result take(const struct tw_rate_policy *policy, const char *who,
                                   uint64_t now_us)
{
    struct tw_limit_result result;
    char key[TW_RATE_KEY_MAX_BYTES];
    struct tw_claims claims = {.sub = tw_str_of(who), .iss = TW_STR("https://issuer")};
    struct tw_principal *principal = tw_principal_new(&claims, 0);
    struct tw_address address = {.n = 4, .bytes = {127, 0, 0, 1}};
    size_t n = tw_rate_key(policy, &anywhere, principal, &address, key);
    tw_limit_take(table, policy->id, (struct tw_str){key, n}, &policy->rule, policy->is->cost,
                  now_us, &result);
    tw_principal_unref(principal);
    return result;
}

// A policy keeps its id and its keys their state, whatever stands beside it, and when it changes.
static void test_a_name_keeps_its_state(void **state)
{
    (void)state;
    struct tw_limit_policy before[] = {policy_of("a", TW_LIMIT_BY_PRINCIPAL),
                                       policy_of("b", TW_LIMIT_BY_PRINCIPAL)};
    struct tw_limit_policy after[] = {policy_of("new", TW_LIMIT_BY_PRINCIPAL),
                                      policy_of("b", TW_LIMIT_BY_PRINCIPAL)};
    after[1].burst = 30;
    struct tw_rate_limits *old = limits_of(before, 2), *new = limits_of(after, 2);
    assert_int_equal(old->policies[1].id, new->policies[1].id);
    assert_int_not_equal(old->policies[0].id, old->policies[1].id);
    assert_int_not_equal(old->policies[0].id, new->policies[0].id);
    for (unsigned i = 0; i < 20; i++)
        assert_true(take(&old->policies[1], "ana", DAY).allowed);
    assert_false(take(&old->policies[1], "ana", DAY).allowed);
    assert_int_equal(take(&new->policies[1], "ana", DAY).remaining, 9); // 30 less 20 less this one
    assert_int_equal(take(&new->policies[0], "ana", DAY).remaining, 19);
    tw_rate_limits_free(old);
    tw_rate_limits_free(new);
}

// More names than there are ids: they share some, and count apart all the same.
static void test_more_names_than_ids(void **state)
{
    (void)state;
    char names[100][8];
    for (unsigned i = 0; i < TW_COUNT(names); i++) {
        snprintf(names[i], sizeof names[i], "p%u", i);
        struct tw_limit_policy policy = policy_of(names[i], TW_LIMIT_BY_PRINCIPAL);
        struct tw_rate_limits *limits = limits_of(&policy, 1), *again = limits_of(&policy, 1);
        assert_in_range(limits->policies[0].id, TW_LIMIT_POLICIES_FIXED, TW_LIMIT_POLICIES_MAX - 1);
        assert_int_equal(limits->policies[0].id, again->policies[0].id);
        assert_int_equal(take(&limits->policies[0], "ana", DAY).remaining, 19);
        tw_rate_limits_free(limits);
        tw_rate_limits_free(again);
    }
}

// ---- keys ---------------------------------------------------------------------------------------

struct who {
    const char *issuer, *subject, *client, *claim;
    struct tw_address address;
};

#define ADDRESS(last)                                  \
    {                                                  \
        .n = 4, .bytes = { 192, 0, 2, (unsigned)last } \
    }

static size_t key_of(unsigned parts, const struct who *who, const struct tw_rate_route *route,
                     char out[TW_RATE_KEY_MAX_BYTES])
{
    struct tw_limit_policy is = policy_of("p", parts);
    struct tw_rate_policy policy = {.is = &is, .tag = 0x1234};
    struct tw_claims claims = {.iss = tw_str_of(who->issuer),
                               .sub = tw_str_of(who->subject),
                               .client_id = tw_str_of(who->client),
                               .extra = {tw_str_of(who->claim)}};
    struct tw_principal *principal = tw_principal_new(&claims, 0);
    size_t n = tw_rate_key(&policy, route, principal, &who->address, out);
    tw_principal_unref(principal);
    return n;
}

static bool same(unsigned parts, const struct who *a, const struct who *b)
{
    static const struct tw_rate_route route = {.tag = 77};
    char x[TW_RATE_KEY_MAX_BYTES], y[TW_RATE_KEY_MAX_BYTES];
    size_t n = key_of(parts, a, &route, x), m = key_of(parts, b, &route, y);
    return n == m && memcmp(x, y, n) == 0;
}

static void test_keys(void **state)
{
    (void)state;
    const struct who ana = {"i", "ana", "app", "t1", ADDRESS(1)};
    const struct who elsewhere = {"i", "ana", "web", "t2", ADDRESS(2)};
    const struct who other = {"i", "bob", "app", "t1", ADDRESS(1)};
    const struct who foreign = {"j", "ana", "app", "t1", ADDRESS(1)};
    const struct who shifted = {"ia", "na", "app", "t1", ADDRESS(1)};
    assert_true(same(TW_LIMIT_BY_PRINCIPAL, &ana, &elsewhere));
    assert_false(same(TW_LIMIT_BY_PRINCIPAL, &ana, &other));
    assert_false(same(TW_LIMIT_BY_PRINCIPAL, &ana, &foreign));
    assert_false(same(TW_LIMIT_BY_PRINCIPAL, &ana, &shifted));
    assert_false(same(TW_LIMIT_BY_PRINCIPAL | TW_LIMIT_BY_ADDRESS, &ana, &elsewhere));
    assert_true(same(TW_LIMIT_BY_CLIENT, &ana, &other));
    assert_false(same(TW_LIMIT_BY_CLIENT, &ana, &elsewhere));
    assert_false(same(TW_LIMIT_BY_CLIENT, &ana, &foreign)); // an app is an issuer's
    assert_true(same(TW_LIMIT_BY_CLAIM, &ana, &other));
    assert_false(same(TW_LIMIT_BY_CLAIM, &ana, &elsewhere));
    assert_true(same(TW_LIMIT_BY_ADDRESS, &ana, &other));
    assert_true(same(TW_LIMIT_BY_ROUTE, &ana, &elsewhere));
}

// Who has no client or no claim is counted as himself, not with all who have none.
static void test_who_has_no_such_text(void **state)
{
    (void)state;
    const struct who ana = {"i", "ana", "", "", ADDRESS(1)}, bob = {"i", "bob", "", "", ADDRESS(1)};
    const struct who nobody = {"", "", "", "", ADDRESS(1)}, another = {"", "", "", "", ADDRESS(2)};
    static const unsigned keys[] = {TW_LIMIT_BY_PRINCIPAL, TW_LIMIT_BY_CLIENT, TW_LIMIT_BY_CLAIM};
    for (size_t i = 0; i < TW_COUNT(keys); i++) {
        assert_false(same(keys[i], &ana, &bob));
        assert_true(same(keys[i], &ana, &ana));
        assert_false(same(keys[i], &nobody, &another)); // the address stands for them
        assert_false(same(keys[i], &nobody, &ana));
    }
}

// What one text ends with is not what the next begins with.
static void test_texts_do_not_run_together(void **state)
{
    (void)state;
    const struct who a = {"i", "s", "ab", "c", ADDRESS(1)}, b = {"i", "s", "a", "bc", ADDRESS(1)};
    assert_false(same(TW_LIMIT_BY_CLIENT | TW_LIMIT_BY_CLAIM, &a, &b));
    assert_false(same(TW_LIMIT_BY_CLAIM | TW_LIMIT_BY_CLIENT | TW_LIMIT_BY_ADDRESS, &a, &b));
    const struct who claim = {"i", "s", "x", "x", ADDRESS(1)};
    char x[TW_RATE_KEY_MAX_BYTES], y[TW_RATE_KEY_MAX_BYTES];
    size_t n = key_of(TW_LIMIT_BY_CLIENT, &claim, &anywhere, x);
    size_t m = key_of(TW_LIMIT_BY_CLAIM, &claim, &anywhere, y);
    assert_false(n == m && memcmp(x, y, n) == 0);
}

static void test_the_longest_key(void **state)
{
    (void)state;
    char text[TW_CLAIM_TEXT_MAX_BYTES + 1], out[TW_RATE_KEY_MAX_BYTES];
    static const struct tw_rate_route route = {.tag = 1};
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const struct who most = {text, text, text, text, {.n = 16}};
    assert_in_range(key_of(31, &most, &route, out), 2 * (sizeof text - 1), sizeof out);
}

// A preflight is counted apart from requests of the same address.
static void test_preflights_have_keys_of_their_own(void **state)
{
    (void)state;
    struct tw_limit_policy policy = policy_of("a", TW_LIMIT_BY_ADDRESS);
    struct tw_rate_limits *limits = limits_of(&policy, 1);
    const struct tw_address address = {.n = 4, .bytes = {127, 0, 0, 1}};
    char keys[TW_RATE_UNMATCHED_KINDS][TW_RATE_KEY_MAX_BYTES];
    size_t n = 0;
    for (unsigned kind = 0; kind < TW_RATE_UNMATCHED_KINDS; kind++)
        n = tw_rate_key(limits->policies, tw_rate_limits_unmatched(limits, kind), NULL, &address,
                        keys[kind]);
    assert_memory_equal(keys[TW_RATE_READS], keys[TW_RATE_WRITES], n);
    assert_memory_not_equal(keys[TW_RATE_READS], keys[TW_RATE_PREFLIGHTS], n);
    tw_rate_limits_free(limits);
}

static void test_ipv6_counts_by_its_64(void **state)
{
    (void)state;
    struct who a = {"", "", "", "", {.n = 16, .bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1}}};
    struct who b = a, c = a;
    b.address.bytes[15] = 9;
    c.address.bytes[7] = 2;
    assert_true(same(TW_LIMIT_BY_ADDRESS, &a, &b));
    assert_false(same(TW_LIMIT_BY_ADDRESS, &a, &c));
}

// ---- texts --------------------------------------------------------------------------------------

// RFC 9651: integers without a sign; the window never shorter than the truth (§8.5 of the draft).
static void test_windows(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate, burst, period_us;
        const char *wanted;
    } cases[] = {
        {100, 200, SECOND, "\"p\";q=200;w=2"},
        {150, 200, SECOND, "\"p\";q=200;w=2"}, // 1.33 s
        {100, 1, SECOND, "\"p\";q=1;w=1"},
        {2, 3, 60 * SECOND, "\"p\";q=3;w=90"},
        {5000, 5000, DAY, "\"p\";q=5000;w=86400"},
        {7, 7, DAY, "\"p\";q=7;w=86400"},
        {11, 11, DAY, "\"p\";q=11;w=86400"},
        {1000000000, 1000000000, DAY, "\"p\";q=1000000000;w=86400"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_limit_policy policy = policy_of("p", TW_LIMIT_BY_ADDRESS);
        policy.rate = cases[i].rate;
        policy.burst = cases[i].burst;
        policy.period_us = cases[i].period_us;
        struct tw_rate_limits *limits = limits_of(&policy, 1);
        expect_line(&limits->routes[0], cases[i].wanted);
        tw_rate_limits_free(limits);
    }
}

static void expect_left(const struct tw_limit_answer *answers, size_t n, const char *wanted)
{
    char text[512];
    struct tw_str got = tw_rate_left(answers, n, text, sizeof text);
    assert_int_equal(got.n, strlen(wanted));
    assert_memory_equal(got.p, wanted, got.n);
}

static void test_left(void **state)
{
    (void)state;
    const struct tw_rate_policy a = {.quoted = TW_STR(", \"a\";r=")};
    const struct tw_rate_policy b = {.quoted = TW_STR(", \"b-day\";r=")};
    struct tw_limit_answer answers[] = {
        {.policy = &a, .result = {.allowed = true, .remaining = 9, .reset_us = 1}},
        {.policy = &b, .result = {.allowed = true, .remaining = 0, .reset_us = 3 * SECOND}},
    };
    expect_left(answers, 1, "\"a\";r=9;t=1");
    expect_left(answers, 2, "\"a\";r=9;t=1, \"b-day\";r=0;t=3");
    assert_int_equal(tw_rate_wait_s(answers, 2), 0);
    // A refusal: t is when it may come again, as Retry-After says, not when all is back.
    answers[1].result = (struct tw_limit_result){.retry_after_us = SECOND + 1,
                                                 .reset_us = 90 * SECOND};
    expect_left(answers, 2, "\"a\";r=9;t=1, \"b-day\";r=0;t=2");
    assert_int_equal(tw_rate_wait_s(answers, 2), 2);
    answers[0].result = (struct tw_limit_result){.retry_after_us = 7 * SECOND};
    assert_int_equal(tw_rate_wait_s(answers, 2), 7);
    answers[0].result = (struct tw_limit_result){.retry_after_us = TW_LIMIT_NEVER,
                                                 .reset_us = 8 * SECOND};
    assert_int_equal(tw_rate_wait_s(answers, 2), 8);
}

// The longest text fits into what the route says.
static void test_room_for_the_longest(void **state)
{
    (void)state;
    char name[65], text[512];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct tw_limit_policy policies[] = {policy_of(name, TW_LIMIT_BY_ADDRESS),
                                         policy_of("b", TW_LIMIT_BY_ADDRESS)};
    struct tw_rate_limits *limits = limits_of(policies, 2);
    const struct tw_limit_result most = {
        .allowed = true, .remaining = UINT64_MAX, .reset_us = UINT64_MAX};
    const struct tw_limit_answer answers[] = {{.policy = &limits->policies[0], .result = most},
                                              {.policy = &limits->policies[1], .result = most}};
    size_t room = limits->routes[0].left_max_bytes;
    assert_in_range(room, 100, sizeof text);
    memset(text, '!', sizeof text);
    assert_in_range(tw_rate_left(answers, 2, text + 1, room).n, room - 16, room);
    assert_int_equal(text[0], '!');
    tw_rate_limits_free(limits);
}

static void test_numbers(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 1000000, UINT64_MAX};
    for (size_t i = 0; i < TW_COUNT(numbers); i++) {
        char got[20], wanted[24], *end = got + sizeof got, *at = tw_rate_number(numbers[i], end);
        int n = snprintf(wanted, sizeof wanted, "%lu", (unsigned long)numbers[i]);
        assert_int_equal(end - at, n);
        assert_memory_equal(at, wanted, (size_t)n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_routes_and_methods, make_table),
        cmocka_unit_test_setup(test_what_no_route_answers, make_table),
        cmocka_unit_test_setup(test_no_policies, make_table),
        cmocka_unit_test(test_unknown_route),
        cmocka_unit_test_setup(test_a_name_keeps_its_state, make_table),
        cmocka_unit_test_setup(test_more_names_than_ids, make_table),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_who_has_no_such_text),
        cmocka_unit_test(test_texts_do_not_run_together),
        cmocka_unit_test(test_the_longest_key),
        cmocka_unit_test(test_preflights_have_keys_of_their_own),
        cmocka_unit_test(test_ipv6_counts_by_its_64),
        cmocka_unit_test_setup(test_windows, make_table),
        cmocka_unit_test(test_left),
        cmocka_unit_test_setup(test_room_for_the_longest, make_table),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests_name("rate_limit", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// redis_uri and redis_cluster: addresses, slots (the specification's vectors), redirections.
#include "tests/unit/test_kit.h"

#include <hiredis/hiredis.h>

#include "config/redis_uri.h"
#include "gateway/redis_cluster.h"

// ---- URIs ---------------------------------------------------------------------------------------

static const char *parse(const char *text, struct tw_redis_uri *uri)
{
    return tw_redis_uri_parse(tw_str_of(text), 6379, uri);
}

static void test_uri(void **state)
{
    (void)state;
    struct tw_redis_uri uri;
    assert_null(parse("redis://localhost", &uri));
    assert_false(uri.tls);
    assert_string_equal(uri.hosts[0].name, "localhost");
    assert_int_equal(uri.hosts[0].port, 6379);
    assert_int_equal(uri.n_hosts, 1);
    assert_string_equal(uri.user, "");
    assert_string_equal(uri.password, "");

    assert_null(
        parse("rediss://me:a@b%2F%3a%25@10.0.0.1:7000,[2001:db8::1]:1,[::1],x-1.y_z./15", &uri));
    assert_true(uri.tls);
    assert_string_equal(uri.user, "me");
    assert_string_equal(uri.password, "a@b/:%");
    assert_int_equal(uri.n_hosts, 4);
    assert_string_equal(uri.hosts[1].name, "2001:db8::1");
    assert_int_equal(uri.hosts[1].port, 1);
    assert_string_equal(uri.hosts[2].name, "::1");
    assert_int_equal(uri.hosts[2].port, 6379);
    assert_int_equal(uri.database, 15);
    assert_null(parse("redis://:pass@h/", &uri));
    assert_string_equal(uri.password, "pass");
}

static void test_refused_uris(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "redis:",
                                      "redis://",
                                      "REDIS://h",
                                      "http://h",
                                      "redis://h:",
                                      "redis://h:0",
                                      "redis://h:65536",
                                      "redis://h:1:2",
                                      "redis://h,",
                                      "redis://,h",
                                      "redis://:p@",
                                      "redis://user@h",
                                      "redis://:%@h",
                                      "redis://:%4@h",
                                      "redis://:%00@h",
                                      "redis://:%zz@h",
                                      "redis://h/-1",
                                      "redis://h/1024",
                                      "redis://h/1/2",
                                      "redis://h/0?x",
                                      "redis://[::1",
                                      "redis://[::1]x",
                                      "redis://[]:1",
                                      "redis://[h]:1",
                                      "redis://[10.0.0.1]",
                                      "redis://::1",
                                      "redis://h h",
                                      "redis://[::1]:",
                                      "rediss://"};
    struct tw_redis_uri uri;
    for (size_t i = 0; i < TW_COUNT(bad); i++)
        if (!parse(bad[i], &uri))
            fail_msg("taken: %s", bad[i]);
    char many[400] = "redis://h", longer[400] = "redis://:";
    for (unsigned i = 0; i < 16; i++)
        strncat(many, ",h", 3);
    assert_non_null(parse(many, &uri));
    memset(longer + 9, 'p', 256);
    strncat(longer, "@h", 3);
    assert_non_null(parse(longer, &uri));
}

// ---- cluster ------------------------------------------------------------------------------------

static void test_slots(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        unsigned slot;
    } vectors[] = {
        {"123456789", 0x31C3 % 16384}, // the CRC's check value
        {"somekey", 11058},
        {"foo{hash_tag}", 2515},
        {"bar{hash_tag}", 2515},
        {"hash_tag", 2515},
        {"", 0},
        {"foo", 12182},
        {"bar", 5061},
    };
    for (size_t i = 0; i < TW_COUNT(vectors); i++)
        assert_int_equal(tw_redis_slot(tw_str_of(vectors[i].key)), vectors[i].slot);
    // Section "hash tags" of the specification: the first { and the first } after it, if not empty.
    assert_int_equal(tw_redis_slot(TW_STR("{user1000}.following")),
                     tw_redis_slot(TW_STR("user1000")));
    assert_int_equal(tw_redis_slot(TW_STR("foo{{bar}}zap")), tw_redis_slot(TW_STR("{bar")));
    assert_int_equal(tw_redis_slot(TW_STR("foo{bar}{zap}")), tw_redis_slot(TW_STR("bar")));
    assert_int_not_equal(tw_redis_slot(TW_STR("foo{}{bar}")), tw_redis_slot(TW_STR("bar")));
    assert_int_not_equal(tw_redis_slot(TW_STR("foo{bar")), tw_redis_slot(TW_STR("bar")));
}

static const struct tw_redis_host asked = {"10.1.1.1", 7000};

static bool read_slots(const char *text, struct tw_redis_slots *out)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    bool good = tw_redis_slots_read(reply, &asked, out);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return good;
}

static void test_map(void **state)
{
    (void)state;
    static struct tw_redis_slots slots;
    assert_true(read_slots("*3\r\n"
                           "*4\r\n:0\r\n:99\r\n*2\r\n$8\r\n10.0.0.1\r\n:7001\r\n"
                           "*2\r\n$8\r\n10.0.0.9\r\n:7009\r\n"
                           "*3\r\n:200\r\n:16383\r\n*4\r\n$0\r\n\r\n:7002\r\n$2\r\nid\r\n*0\r\n"
                           "*3\r\n:100\r\n:150\r\n*2\r\n$8\r\n10.0.0.1\r\n:7001\r\n",
                           &slots));
    assert_int_equal(slots.n_nodes, 2);
    assert_string_equal(slots.nodes[0].name, "10.0.0.1");
    assert_string_equal(slots.nodes[1].name, "10.1.1.1"); // who did not say is who was asked
    assert_int_equal(slots.nodes[1].port, 7002);
    assert_int_equal(slots.node_of[99], 0);
    assert_int_equal(slots.node_of[100], 0);
    assert_int_equal(slots.node_of[151], TW_REDIS_NO_NODE);
    assert_int_equal(slots.node_of[16383], 1);
}

static void test_refused_maps(void **state)
{
    (void)state;
    static struct tw_redis_slots slots;
    static const char *const bad[] = {"*0\r\n",
                                      "-ERR no\r\n",
                                      ":1\r\n",
                                      "*1\r\n:1\r\n",
                                      "*1\r\n*2\r\n:0\r\n:1\r\n",
                                      "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
                                      "*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n",
                                      "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:65536\r\n",
                                      "*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\nh\r\n"};
    for (size_t i = 0; i < TW_COUNT(bad); i++)
        assert_false(read_slots(bad[i], &slots));
}

static enum tw_redis_redirection redirection(const char *error, unsigned *slot,
                                             struct tw_redis_host *to)
{
    return tw_redis_redirection(tw_str_of(error), &asked, slot, to);
}

static void test_redirections(void **state)
{
    (void)state;
    struct tw_redis_host to;
    unsigned slot = 0;
    assert_int_equal(redirection("MOVED 3999 127.0.0.1:6381", &slot, &to), TW_REDIS_MOVED);
    assert_int_equal(slot, 3999);
    assert_string_equal(to.name, "127.0.0.1");
    assert_int_equal(to.port, 6381);
    assert_int_equal(redirection("ASK 7 2001:db8::5:6382", &slot, &to), TW_REDIS_ASK);
    assert_string_equal(to.name, "2001:db8::5");
    assert_int_equal(redirection("MOVED 0 :7003", &slot, &to), TW_REDIS_MOVED);
    assert_string_equal(to.name, asked.name);
    assert_int_equal(to.port, 7003);
    assert_int_equal(redirection("TRYAGAIN Multiple keys", &slot, &to), TW_REDIS_LATER);
    static const char *const others[] = {
        "",          "MOVED",       "MOVED x h:1",     "MOVED 16384 h:1",
        "MOVED 1 h", "MOVED 1 h:0", "ERR MOVED 1 h:1", "NOSCRIPT No matching"};
    for (size_t i = 0; i < TW_COUNT(others); i++)
        assert_int_equal(redirection(others[i], &slot, &to), TW_REDIS_NOT_REDIRECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri),          cmocka_unit_test(test_refused_uris),
        cmocka_unit_test(test_slots),        cmocka_unit_test(test_map),
        cmocka_unit_test(test_refused_maps), cmocka_unit_test(test_redirections),
    };
    return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}

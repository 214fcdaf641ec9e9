// SPDX-License-Identifier: Apache-2.0
// network: addresses and the networks they lie in.
#include "tests/unit/test_kit.h"

#include "config/network.h"

static struct tw_address address(const char *text)
{
    struct tw_address out;
    if (!tw_address_parse(tw_str_of(text), &out))
        fail_msg("no address: %s", text);
    return out;
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"255.255.255.255", "255.255.255.255"},
    };
    static const char *const none[] = {
        "",
        "192.0.2",
        "192.0.2.1.1",
        "192.0.2.256",
        "192.0.2.1 ",
        " 192.0.2.1",
        "0x7f.1.1.1",
        "2130706433",
        "[::1]",
        "::1%lo",
        "fe80::1%1",
        "::1::",
        "192.0.2.1:80",
        "1.2.3.4/32",
        "unknown",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999",
    };
    for (size_t i = 0; i < TW_COUNT(same); i++) {
        char text[TW_ADDRESS_TEXT_MAX];
        struct tw_address a = address(same[i][0]);
        assert_true(tw_str_eq(tw_address_format(&a, text), tw_str_of(same[i][1])));
    }
    for (size_t i = 0; i < TW_COUNT(none); i++) {
        struct tw_address ignored;
        if (tw_address_parse(tw_str_of(none[i]), &ignored))
            fail_msg("an address: %s", none[i]);
    }
    struct tw_address ignored;
    assert_false(tw_address_parse((struct tw_str){"1.2.3.4\0", 8}, &ignored));
}

static void test_networks(void **state)
{
    (void)state;
    static const struct {
        const char *network, *inside, *outside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
        {"192.0.2.0/25", "192.0.2.127", "192.0.2.128"},
        {"0.0.0.0/0", "255.1.2.3", "::1"},
        {"::/0", "2001:db8::1", "10.0.0.1"},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
        {"::1", "::1", "::2"},
        {"10.1.0.0/16", "::ffff:10.1.2.3", "::ffff:10.2.2.3"},
    };
    static const char *const none[] = {"",           "/8",          "10.0.0.0/",   "10.0.0.0/33",
                                       "10.0.0.1/8", "10.0.0.0/-1", "10.0.0.0/08", "::1/129",
                                       "::1/64",     "10.0.0.0/8 ", "10/8",        "10.0.0.0/8/8"};
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_network network;
        struct tw_address inside = address(cases[i].inside), outside = address(cases[i].outside);
        assert_true(tw_network_parse(tw_str_of(cases[i].network), &network));
        assert_true(tw_network_has(&network, &inside));
        assert_false(tw_network_has(&network, &outside));
    }
    for (size_t i = 0; i < TW_COUNT(none); i++) {
        struct tw_network ignored;
        if (tw_network_parse(tw_str_of(none[i]), &ignored))
            fail_msg("a network: %s", none[i]);
    }
}

static void test_keys(void **state)
{
    (void)state;
    struct tw_address a = address("2001:db8:1:2:3::4"), b = address("2001:db8:1:2:ffff::"),
                      c = address("2001:db8:1:3::4"), d = address("192.0.2.1"),
                      e = address("192.0.2.2");
    assert_true(tw_str_eq(tw_address_key(&a), tw_address_key(&b))); // one /64
    assert_false(tw_str_eq(tw_address_key(&a), tw_address_key(&c)));
    assert_false(tw_str_eq(tw_address_key(&d), tw_address_key(&e)));
    assert_int_equal(tw_address_key(&d).n, 4);
}

static void test_overlaps(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool expected;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"0.0.0.0", "192.0.2.1", true},
        {"192.0.2.1", "0.0.0.0", true},
        {"::", "::1", true},
        {"0:0::1", "::1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"::", "0.0.0.0", false},
        {"::", "127.0.0.1", false},
        {"::1", "::2", false},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_address a = address(cases[i].a), b = address(cases[i].b);
        assert_int_equal(tw_address_overlaps(&a, &b), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_overlaps),
    };
    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}

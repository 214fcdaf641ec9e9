// SPDX-License-Identifier: Apache-2.0
// client_address: H7, forwarded addresses count only from proxies that are trusted, from the right.
#include "tests/unit/test_kit.h"

#include "gateway/client_address.h"

static struct tw_network trusted[3];

static int make_networks(void **state)
{
    static const char *const texts[] = {"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"};
    (void)state;
    for (size_t i = 0; i < TW_COUNT(texts); i++)
        assert_true(tw_network_parse(tw_str_of(texts[i]), &trusted[i]));
    return 0;
}

typedef bool (*walk)(struct tw_str value, const struct tw_network *networks, size_t n,
                     struct tw_address *client);

static void expect(walk function, const char *value, const char *client, bool goes_on)
{
    struct tw_address at;
    char text[TW_ADDRESS_TEXT_MAX];
    assert_true(tw_address_parse(TW_STR("10.0.0.1"), &at));
    bool more = function(tw_str_of(value), trusted, TW_COUNT(trusted), &at);
    if (more != goes_on || !tw_str_eq(tw_address_format(&at, text), tw_str_of(client)))
        fail_msg("%s: %s, %d", value, text, more);
}

static void test_x_forwarded_for(void **state)
{
    (void)state;
    static const struct {
        const char *value, *client;
        bool goes_on;
    } cases[] = {
        {"198.51.100.1", "198.51.100.1", false},
        {"198.51.100.1, 203.0.113.9", "203.0.113.9", false}, // the left one anybody can write
        {"198.51.100.1,10.1.1.1", "198.51.100.1", false},
        {"203.0.113.66, 198.51.100.1 , 10.1.1.1,\t192.0.2.7 ", "198.51.100.1", false},
        {"10.1.1.1, 10.1.1.2", "10.1.1.1", true},
        {"2001:db8::1", "2001:db8::1", true},
        {"[2001:db9::1]:443", "2001:db9::1", false},
        {"2001:db9::1", "2001:db9::1", false},
        {"198.51.100.1:1234", "198.51.100.1", false},
        {"198.51.100.1, unknown", "10.0.0.1", false},
        {"198.51.100.1, unknown, 10.1.1.1", "10.1.1.1", false},
        {"198.51.100.1,", "10.0.0.1", false},
        {"198.51.100.1, ,10.1.1.1", "10.1.1.1", false},
        {"", "10.0.0.1", true},
        {"a\"b", "10.0.0.1", false},
        {"[::1", "10.0.0.1", false},
        {"[2001:db9::1]x", "10.0.0.1", false},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect(tw_forwarded_for, cases[i].value, cases[i].client, cases[i].goes_on);
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct {
        const char *value, *client;
        bool goes_on;
    } cases[] = {
        {"for=198.51.100.1", "198.51.100.1", false},
        {"for=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1", false},
        {"proto=https; For=198.51.100.1", "198.51.100.1", false},
        {"for=198.51.100.1, for=\"[2001:db8::1]:80\"", "198.51.100.1", false},
        {"for=198.51.100.1, for=203.0.113.9", "203.0.113.9", false},
        {"for=\"198.51.100.1:1234\"", "198.51.100.1", false},
        {"for=_hidden", "10.0.0.1", false},
        {"for=198.51.100.1, for=unknown", "10.0.0.1", false},
        {"for=198.51.100.1, proto=https", "10.0.0.1", false},
        {"198.51.100.1", "10.0.0.1", false},
        {"for=10.1.1.1", "10.1.1.1", true},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        expect(tw_forwarded, cases[i].value, cases[i].client, cases[i].goes_on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x_forwarded_for),
        cmocka_unit_test(test_forwarded),
    };
    return cmocka_run_group_tests_name("client address", tests, make_networks, NULL);
}

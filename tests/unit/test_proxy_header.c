// SPDX-License-Identifier: Apache-2.0
// proxy_header: what load balancers send, byte by byte, and what must be refused.
#include "tests/unit/test_kit.h"

#include <stdio.h>

#include "gateway/proxy_header.h"

#define SIGNATURE      "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(literal) ((struct tw_str){(literal), sizeof(literal) - 1})

// Whole, with more behind it, and never too early.
static void expect(struct tw_str header, const char *source)
{
    struct tw_proxy_header out;
    char with_more[4096], text[TW_ADDRESS_TEXT_MAX];
    for (size_t n = 0; n < header.n; n++)
        if (tw_proxy_header_parse((struct tw_str){header.p, n}, &out) != TW_PROXY_MORE)
            fail_msg("%.*s: not waited for the rest after %zu", (int)header.n, header.p, n);
    memcpy(with_more, header.p, header.n);
    memcpy(with_more + header.n, "GET / HTTP/1.1\r\n", 16);
    for (size_t more = 0; more <= 16; more += 16) {
        assert_int_equal(tw_proxy_header_parse((struct tw_str){with_more, header.n + more}, &out),
                         TW_PROXY_DONE);
        assert_int_equal(out.n_bytes, header.n);
        if (source)
            assert_true(tw_str_eq(tw_address_format(&out.source, text), tw_str_of(source)));
        else
            assert_int_equal(out.source.n, 0);
    }
}

static void test_version_1(void **state)
{
    (void)state;
    expect(BYTES("PROXY TCP4 192.0.2.1 198.51.100.9 56324 443\r\n"), "192.0.2.1");
    expect(BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "2001:db8::1");
    expect(BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"), "192.0.2.1");
    expect(BYTES("PROXY UNKNOWN\r\n"), NULL);
    expect(BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), NULL);
}

static void test_version_2(void **state)
{
    (void)state;
    expect(BYTES(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb"), "192.0.2.1");
    expect(BYTES(SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                           "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\4\1\xbb"),
           "2001:db8::1");
    expect(BYTES(SIGNATURE "\x20\0\0\0"), NULL);         // LOCAL: a health check
    expect(BYTES(SIGNATURE "\x20\x11\0\2\1\2"), NULL);   // LOCAL with what is to be skipped
    expect(BYTES(SIGNATURE "\x21\x31\0\3\1\2\3"), NULL); // a Unix socket
    expect(BYTES(SIGNATURE "\x21\0\0\0"), NULL);         // unspecified
    expect(BYTES(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb\4\0\0"),
           "192.0.2.1"); // with an extension
}

static void test_refused(void **state)
{
    (void)state;
    static const struct tw_str cases[] = {
        BYTES("GET / HTTP/1.1\r\n\r\n"),
        BYTES("\x16\3\1"),
        BYTES("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"),
        BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"),
        BYTES("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"),
        BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
        BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
        BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"),
        BYTES("PROXY \r\n"),
        BYTES("PROXY UNKNOWNX\r\n"),
        BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX"),
        BYTES(SIGNATURE "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb"), // version 1
        BYTES(SIGNATURE "\x22\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb"), // command 2
        BYTES(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1"),     // too short for IPv4
        BYTES(SIGNATURE "\x21\x21\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbb"), // and for IPv6
        BYTES(SIGNATURE "\x21\x11\xff\xff"),                                   // 64 KiB
    };
    struct tw_proxy_header out;
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        if (tw_proxy_header_parse(cases[i], &out) != TW_PROXY_INVALID)
            fail_msg("case %zu is taken", i);
    char endless[512];
    memset(endless, 'A', sizeof endless);
    memcpy(endless, "PROXY TCP4 ", 11);
    assert_int_equal(tw_proxy_header_parse((struct tw_str){endless, 105}, &out), TW_PROXY_MORE);
    assert_int_equal(tw_proxy_header_parse((struct tw_str){endless, 106}, &out), TW_PROXY_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("proxy header", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// base64url: every byte string has one spelling, and every other spelling is refused.
#include "tests/unit/test_auth_kit.h"

#include "auth/base64url.h"

static bool decodes(const char *text, const char *expected)
{
    unsigned char out[64];
    size_t n = 99;
    if (!tw_base64url_decode(tw_str_of(text), out, sizeof out, &n)) {
        assert_int_equal(n, 99); // untouched
        return false;
    }
    assert_int_equal(n, TW_BASE64URL_DECODED_BYTES(strlen(text)));
    assert_true(tw_str_eq((struct tw_str){(char *)out, n}, tw_str_of(expected)));
    return true;
}

static void test_rfc4648_vectors(void **state)
{
    (void)state;
    assert_true(decodes("", ""));
    assert_true(decodes("Zg", "f"));
    assert_true(decodes("Zm8", "fo"));
    assert_true(decodes("Zm9v", "foo"));
    assert_true(decodes("Zm9vYg", "foob"));
    assert_true(decodes("Zm9vYmE", "fooba"));
    assert_true(decodes("Zm9vYmFy", "foobar"));
    assert_true(decodes("-_-_", "\xfb\xff\xbf"));
}

static void test_refused_spellings(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "Z",      "Zm9vY",    "Zg==",  "Zm8=", "Zm9v=", "Zm9v\n", " Zm9v", "Zm 9v",   "Zm9+",
        "Zm9/",   "Zm9v.",    "Zm9vé", "Zh",   "Zn",    "Zm9",    "Zm-",   "Z_",      "Zm9v\tYg",
        "Zm9vYh", "\x80\x80", "@@",    "[[",   "``",    "{{",     "::",    "Zm9vYmG",
    };
    for (size_t i = 0; i < TW_COUNT(refused); i++)
        if (decodes(refused[i], ""))
            fail_msg("accepted %s", refused[i]);
}

// Of all strings of n letters exactly 256^bytes decode: no two spellings of anything.
static void test_canonical_count(void **state)
{
    (void)state;
    unsigned char out[4];
    size_t n, one_byte = 0, two_bytes = 0;
    for (unsigned i = 0; i < 1u << 16; i++) {
        char two[2] = {(char)(i >> 8), (char)i};
        one_byte += tw_base64url_decode((struct tw_str){two, 2}, out, sizeof out, &n);
    }
    for (unsigned i = 0; i < 1u << 24; i++) {
        char three[3] = {(char)(i >> 16), (char)(i >> 8), (char)i};
        two_bytes += tw_base64url_decode((struct tw_str){three, 3}, out, sizeof out, &n);
    }
    assert_int_equal(one_byte, 256);
    assert_int_equal(two_bytes, 65536);
}

static void test_round_trip_and_room(void **state)
{
    (void)state;
    unsigned char bytes[67], out[67];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        size_t got = 0;
        char *text = kit_base64url(bytes, n);
        assert_true(tw_base64url_decode(tw_str_of(text), out, n, &got));
        assert_int_equal(got, n);
        assert_memory_equal(out, bytes, n);
        assert_true(n == 0 || !tw_base64url_decode(tw_str_of(text), out, n - 1, &got));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4648_vectors),
        cmocka_unit_test(test_refused_spellings),
        cmocka_unit_test(test_canonical_count),
        cmocka_unit_test(test_round_trip_and_room),
    };
    return cmocka_run_group_tests_name("auth base64url", tests, NULL, NULL);
}

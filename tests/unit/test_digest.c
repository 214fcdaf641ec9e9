// SPDX-License-Identifier: Apache-2.0
// digest: the vectors of FIPS 180-4, one after the other by the same context.
#include "tests/unit/test_kit.h"

#include "gateway/digest.h"

static void assert_digest(struct tw_str text, const char *hex)
{
    unsigned char out[TW_SHA256_BYTES];
    char got[2 * sizeof out + 1];
    tw_sha256(text, out);
    for (size_t i = 0; i < sizeof out; i++)
        snprintf(got + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(got, hex);
}

static void test_vectors(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_digest(TW_STR("abc"),
                      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_digest(TW_STR(""),
                      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_digest(TW_STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}

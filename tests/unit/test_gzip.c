// SPDX-License-Identifier: Apache-2.0
// gzip: what is packed is what comes out, one body never shows in the next, and room is kept to.
#include "tests/unit/test_kit.h"

#include <stdlib.h>
#include <zlib.h>

#include "gateway/gzip.h"

#define SIZE_MAX_TESTED 200000

static struct tw_gzip *gzip;
static char body[SIZE_MAX_TESTED], packed[SIZE_MAX_TESTED + 1024], unpacked[SIZE_MAX_TESTED];

static int set_up(void **state)
{
    (void)state;
    gzip = tw_gzip_new();
    return gzip ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tw_gzip_free(gzip);
    return 0;
}

// By zlib itself, and gzip alone (15 + 16).
static size_t unpack(size_t n)
{
    z_stream stream = {.next_in = (Bytef *)packed,
                       .avail_in = (uInt)n,
                       .next_out = (Bytef *)unpacked,
                       .avail_out = sizeof(unpacked)};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    size_t out = stream.total_out;
    inflateEnd(&stream);
    return out;
}

static void fill(size_t n, unsigned range)
{
    unsigned seed = 7;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        body[i] = (char)('!' + (seed >> 16) % range);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 100, 1023, 1024, 8191, 8192, 65536, SIZE_MAX_TESTED};
    for (size_t i = 0; i < TW_COUNT(sizes); i++) {
        fill(sizes[i], 20);
        size_t n = tw_gzip_pack(gzip, (struct tw_str){body, sizes[i]}, packed, sizeof(packed));
        assert_true(n > 0);
        assert_int_equal(unpack(n), sizes[i]);
        assert_memory_equal(unpacked, body, sizes[i]);
    }
}

// The same body gives the same bytes whatever came before it, also one that did not fit.
static void test_nothing_is_left_over(void **state)
{
    (void)state;
    char first[4096];
    fill(2000, 10);
    size_t n = tw_gzip_pack(gzip, (struct tw_str){body, 2000}, first, sizeof(first));
    assert_true(n > 0);
    assert_int_equal(tw_gzip_pack(gzip, (struct tw_str){body, 2000}, packed, n - 1), 0);
    assert_int_equal(tw_gzip_pack(gzip, (struct tw_str){body, 2000}, packed, sizeof(packed)), n);
    assert_memory_equal(packed, first, n);
}

static void test_room(void **state)
{
    (void)state;
    fill(5000, 90); // hardly to be shrunk
    size_t n = tw_gzip_pack(gzip, (struct tw_str){body, 5000}, packed, sizeof(packed));
    assert_true(n > 0);
    memset(packed, 'x', sizeof(packed));
    assert_int_equal(tw_gzip_pack(gzip, (struct tw_str){body, 5000}, packed, n - 1), 0);
    assert_int_equal(packed[n - 1], 'x');
    assert_int_equal(tw_gzip_pack(gzip, (struct tw_str){body, 5000}, packed, n), n);
    assert_int_equal(tw_gzip_pack(gzip, (struct tw_str){body, 5000}, packed, 0), 0);
    tw_gzip_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_nothing_is_left_over),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests_name("gzip", tests, set_up, tear_down);
}

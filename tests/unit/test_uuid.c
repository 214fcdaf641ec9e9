// SPDX-License-Identifier: Apache-2.0
// uuid: one text form, version 7 as RFC 9562 lays it out, random bytes that a fork does not repeat.
#include "tests/unit/test_kit.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/uuid.h"

// The C library's getrandom, which a test can make as slow and as interrupted as the manual allows.
static bool interrupted;
static unsigned random_calls;

ssize_t getrandom(void *buffer, size_t n, unsigned flags)
{
    FILE *source = fopen("/dev/urandom", "re");
    (void)flags;
    random_calls++;
    if (interrupted && random_calls % 2 == 0) {
        fclose(source);
        errno = EINTR;
        return -1;
    }
    size_t got = fread(buffer, 1, interrupted && n > 100 ? 100 : n, source);
    fclose(source);
    return (ssize_t)got;
}

static bool parses(const char *text, struct tw_uuid *out)
{
    return tw_uuid_parse(tw_str_of(text), out);
}

static void assert_format(const struct tw_uuid *uuid, const char *expected)
{
    char text[TW_UUID_TEXT_LEN + 2];
    memset(text, '#', sizeof text);
    tw_uuid_format(uuid, text);
    assert_true(text[TW_UUID_TEXT_LEN] == '#');
    text[TW_UUID_TEXT_LEN] = '\0';
    assert_string_equal(text, expected);
}

static void test_text_form(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = {0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3,
                                      0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    struct tw_uuid uuid;
    assert_true(parses("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", &uuid));
    assert_memory_equal(uuid.bytes, bytes, 16);
    assert_true(parses("017F22E2-79B0-7CC3-98c4-DC0C0C07398F", &uuid));
    assert_memory_equal(uuid.bytes, bytes, 16);
    assert_format(&uuid, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_true(parses("00000000-0000-0000-0000-000000000000", &uuid));
    assert_format(&uuid, "00000000-0000-0000-0000-000000000000");
    assert_true(parses("ffffffff-ffff-ffff-ffff-ffffffffffff", &uuid));
    assert_format(&uuid, "ffffffff-ffff-ffff-ffff-ffffffffffff");
}

static void test_other_spellings(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f ",
        "017f22e2-79b0-7cc398c4--dc0c0c07398f",
        "-017f22e2-79b0-7cc3-98c4-dc0c0c07398",
    };
    struct tw_uuid uuid;
    for (size_t i = 0; i < TW_COUNT(refused); i++)
        if (parses(refused[i], &uuid))
            fail_msg("accepted \"%s\"", refused[i]);
    assert_false(tw_uuid_parse(tw_str_of(NULL), &uuid));
}

// Every byte at every place: 22 hex digits at 32 places, one dash at four.
static void test_every_byte_at_every_place(void **state)
{
    (void)state;
    char text[] = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    struct tw_uuid uuid;
    unsigned accepted = 0;
    for (size_t i = 0; i < TW_UUID_TEXT_LEN; i++) {
        char before = text[i];
        for (unsigned c = 0; c < 256; c++) {
            text[i] = (char)c;
            accepted += tw_uuid_parse((struct tw_str){text, TW_UUID_TEXT_LEN}, &uuid);
        }
        text[i] = before;
    }
    assert_int_equal(accepted, 32 * 22 + 4);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct tw_uuid uuid, again;
        char text[TW_UUID_TEXT_LEN];
        uint64_t halves[2] = {kit_random(), kit_random()};
        memcpy(uuid.bytes, halves, sizeof uuid.bytes);
        tw_uuid_format(&uuid, text);
        assert_true(tw_uuid_parse((struct tw_str){text, sizeof text}, &again));
        assert_memory_equal(uuid.bytes, again.bytes, 16);
    }
}

static int64_t time_of(const struct tw_uuid *uuid)
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | uuid->bytes[i];
    return ms;
}

static void test_version_7(void **state)
{
    (void)state;
    static const int64_t times_ms[] = {
        0, 1, 255, 256, INT64_C(1645557742000), INT64_C(281474976710655)};
    for (size_t i = 0; i < TW_COUNT(times_ms); i++) {
        struct tw_uuid uuid = tw_uuid_v7(times_ms[i]);
        assert_int_equal(time_of(&uuid), times_ms[i]);
        assert_int_equal(uuid.bytes[6] >> 4, 7);
        assert_int_equal(uuid.bytes[8] >> 6, 2);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

// 74 random bits: none twice, and each of them is 0 and 1 about equally often.
static void test_version_7_is_unique(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct tw_uuid *uuids = malloc(N * sizeof *uuids);
    unsigned ones[128] = {0}, random_bits = 0;
    assert_non_null(uuids);
    for (size_t i = 0; i < N; i++) {
        uuids[i] = tw_uuid_v7(INT64_C(1645557742000));
        for (unsigned bit = 0; bit < 128; bit++)
            ones[bit] += uuids[i].bytes[bit / 8] >> (7 - bit % 8) & 1;
    }
    for (unsigned bit = 48; bit < 128; bit++)
        random_bits += ones[bit] > N * 0.485 && ones[bit] < N * 0.515; // nine deviations
    assert_int_equal(random_bits, 74);
    qsort(uuids, N, sizeof *uuids, compare);
    for (size_t i = 1; i < N; i++)
        assert_true(compare(&uuids[i - 1], &uuids[i]) < 0);
    free(uuids);
}

static void test_random_sizes(void **state)
{
    (void)state;
    static unsigned char a[4096 + 1], b[4096 + 1];
    for (size_t n = 0; n <= 4096; n = n < 64 ? n + 1 : n * 2) {
        memset(a, 0, sizeof a);
        memset(b, 0, sizeof b);
        a[n] = b[n] = 0x5A;
        tw_random(a, n);
        tw_random(b, n);
        assert_true(a[n] == 0x5A && b[n] == 0x5A);
        assert_true(n < 16 || memcmp(a, b, n) != 0);
    }
}

static void test_one_call_serves_many(void **state)
{
    (void)state;
    uint64_t value;
    random_calls = 0;
    for (int i = 0; i < 5120; i++)
        tw_random(&value, sizeof value);
    assert_in_range(random_calls, 10, 11);
}

// A child must not give away its parent's next bytes.
static void test_fork(void **state)
{
    (void)state;
    uint64_t parent[4], child[4];
    int fds[2], status;
    tw_random(parent, sizeof parent); // the reserve is full now
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        tw_random(child, sizeof child);
        _exit(write(fds[1], child, sizeof child) == sizeof child ? 0 : 1);
    }
    tw_random(parent, sizeof parent);
    assert_int_equal(read(fds[0], child, sizeof child), sizeof child);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_memory_not_equal(parent, child, sizeof parent);
    close(fds[0]);
    close(fds[1]);
}

// getrandom(2): above 256 bytes a signal may cut it short or interrupt it.
static void test_signals_cost_nothing(void **state)
{
    (void)state;
    static unsigned char bytes[4096];
    unsigned zeros = 0;
    tw_random(bytes, sizeof bytes); // empties the reserve: what is not filled now is zero
    interrupted = true;
    tw_random(bytes, sizeof bytes);
    interrupted = false;
    for (size_t i = 0; i < sizeof bytes; i++)
        zeros += bytes[i] == 0;
    assert_true(zeros < 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_other_spellings),
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_version_7),
        cmocka_unit_test(test_version_7_is_unique),
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_one_call_serves_many),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_signals_cost_nothing),
    };
    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}

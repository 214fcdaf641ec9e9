// SPDX-License-Identifier: Apache-2.0
// usage_map: sums by key and policy, within its room.
#include "tests/unit/test_kit.h"

#include "gateway/usage_map.h"

#define SPREAD UINT64_C(0x9e3779b97f4a7c15)

static const struct tw_limit_rule rule = {.interval = 5040, .burst = 1};

static void test_sums(void **state)
{
    (void)state;
    struct tw_usage_map *map = tw_usage_map_new(8);
    assert_non_null(map);
    assert_null(tw_usage_map_find(map, 1, 'a'));
    for (unsigned i = 0; i < 3; i++) {
        assert_non_null(tw_usage_map_add(map, 1, 'a', TW_STR("a"), &rule, 2));
        assert_non_null(tw_usage_map_add(map, 2, 'a', TW_STR("a"), &rule, 1));
        assert_non_null(tw_usage_map_add(map, 1, 0, TW_STR(""), &rule, 5));
    }
    assert_int_equal(tw_usage_map_count(map), 3);
    assert_int_equal(tw_usage_map_find(map, 1, 'a')->cost, 6);
    assert_int_equal(tw_usage_map_at(map, 1)->policy, 2);
    assert_int_equal(tw_usage_map_at(map, 2)->cost, 15);
    assert_int_equal(tw_usage_map_add(map, 2, 'a', TW_STR("a"), &rule, UINT64_MAX)->cost,
                     UINT64_MAX);
    tw_usage_map_clear(map);
    assert_int_equal(tw_usage_map_count(map), 0);
    assert_null(tw_usage_map_find(map, 1, 'a'));
    assert_int_equal(tw_usage_map_add(map, 1, 'a', TW_STR("a"), &rule, 1)->cost, 1);
    tw_usage_map_free(map);
    tw_usage_map_free(NULL);
}

static void test_room(void **state)
{
    (void)state;
    enum { KEYS = 1000 };
    static char large[300 * 128];
    struct tw_usage_map *map = tw_usage_map_new(KEYS);
    char key[24];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS + 10; i++) {
            snprintf(key, sizeof key, "key %u", i);
            struct tw_usage *usage = tw_usage_map_add(map, 1, i * SPREAD, tw_str_of(key), &rule,
                                                      i + 1);
            assert_int_equal(usage != NULL, i < KEYS);
        }
        for (unsigned i = 0; i < KEYS; i++) {
            snprintf(key, sizeof key, "key %u", i);
            assert_int_equal(tw_usage_map_find(map, 1, i * SPREAD)->cost, i + 1);
            assert_true(tw_str_eq(tw_usage_map_at(map, i)->key, tw_str_of(key)));
        }
        assert_non_null(
            tw_usage_map_add(map, 1, 7 * SPREAD, TW_STR("key 7"), &rule, 1)); // it has its place
        tw_usage_map_clear(map);
    }
    for (unsigned i = 0; i < 4; i++) { // 128 bytes each: three of these are too much
        large[0] = (char)i;
        assert_int_equal(
            tw_usage_map_add(map, 1, i, (struct tw_str){large, sizeof large}, &rule, 1) != NULL,
            i < 3);
    }
    tw_usage_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums), cmocka_unit_test(test_room)};
    return cmocka_run_group_tests_name("usage map", tests, NULL, NULL);
}

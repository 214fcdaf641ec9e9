// SPDX-License-Identifier: Apache-2.0
// cache: what it holds against a reference that holds the same more simply; its bound in bytes; and
// that no order of reads, changes and news of changes leaves an old answer in it.
#include "tests/unit/test_kit.h"

#include "gateway/cache.h"

static const unsigned char hash_key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static struct tw_uuid id_of(uint64_t n)
{
    struct tw_uuid id = {{0}};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

static struct tw_cache_table *cache_of(size_t max_bytes)
{
    struct tw_cache_table *cache = tw_cache_new(max_bytes, hash_key);
    assert_non_null(cache);
    return cache;
}

// A body of n bytes that tells its id and version, behind a tag that tells the version.
static bool put(struct tw_cache_table *cache, uint64_t key, uint64_t version, size_t n)
{
    char body[4096], etag[32];
    struct tw_uuid id = id_of(key);
    struct tw_cache_fill fill;
    bool stored;
    assert_true(n <= sizeof body);
    memset(body, 'a' + (int)((key + version) % 26), n);
    int etag_n = snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)version);
    tw_cache_fill_begin(cache, &fill, &id);
    struct tw_cache_entry *entry = tw_cache_fill_end(
        cache, &fill, (struct tw_str){body, n}, (struct tw_str){etag, (size_t)etag_n}, &stored);
    assert_non_null(entry);
    tw_cache_unref(entry);
    return stored;
}

static struct tw_cache_entry *find(struct tw_cache_table *cache, uint64_t key)
{
    struct tw_uuid id = id_of(key);
    return tw_cache_find(cache, &id);
}

static bool forget(struct tw_cache_table *cache, uint64_t key)
{
    struct tw_uuid id = id_of(key);
    return tw_cache_forget(cache, &id);
}

static void assert_holds(struct tw_cache_entry *entry, uint64_t key, uint64_t version, size_t n)
{
    char etag[32];
    (void)snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)version);
    assert_non_null(entry);
    kit_assert_str(entry->etag, etag);
    assert_int_equal(entry->body.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(entry->body.p[i], 'a' + (int)((key + version) % 26));
}

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct tw_cache_table *cache = cache_of(65536);
    assert_null(find(cache, 1));
    assert_true(put(cache, 1, 7, 300));
    assert_holds(find(cache, 1), 1, 7, 300);
    assert_null(find(cache, 2));
    assert_true(forget(cache, 1));
    assert_false(forget(cache, 1));
    assert_null(find(cache, 1));
    tw_cache_free(cache);
}

static void a_reference_outlives_the_place(void **state)
{
    (void)state;
    struct tw_cache_table *cache = cache_of(65536);
    assert_true(put(cache, 1, 7, 300));
    struct tw_cache_entry *one = tw_cache_ref(find(cache, 1)), *two = tw_cache_ref(one);
    (void)forget(cache, 1);
    assert_int_equal(tw_cache_stats(cache).entries, 0);
    assert_holds(one, 1, 7, 300);
    tw_cache_unref(one);
    tw_cache_free(cache);
    assert_holds(two, 1, 7, 300);
    tw_cache_unref(two);
    tw_cache_unref(NULL);
    tw_cache_free(NULL);
}

static void too_large_is_not_stored(void **state)
{
    (void)state;
    struct tw_cache_table *cache = cache_of(4096);
    assert_true(put(cache, 1, 1, 100));
    assert_false(put(cache, 2, 1, 4096));
    assert_non_null(find(cache, 1)); // nothing went for it in vain
    assert_null(find(cache, 2));
    tw_cache_free(cache);
    cache = cache_of(0);
    assert_false(put(cache, 1, 1, 1));
    tw_cache_free(cache);
}

static void memory_stays_within_its_bound(void **state)
{
    (void)state;
    const size_t bound = 1 << 20;
    struct tw_cache_table *cache = cache_of(bound);
    for (uint64_t i = 0; i < 100000; i++) {
        assert_true(put(cache, i, i, kit_below(2000)));
        assert_true(tw_cache_stats(cache).bytes <= bound);
        assert_holds(find(cache, i), i, i, find(cache, i)->body.n);
    }
    struct tw_cache_stats stats = tw_cache_stats(cache);
    assert_true(stats.bytes > bound - 4096); // and it is used
    assert_int_equal(stats.evictions + stats.entries, 100000);
    tw_cache_free(cache);
}

static void what_was_cleared_goes_by_and_by(void **state)
{
    (void)state;
    struct tw_cache_table *cache = cache_of(1 << 20);
    size_t empty = tw_cache_stats(cache).bytes;
    for (uint64_t i = 0; i < 1500; i++)
        assert_true(put(cache, i, 1, 100));
    tw_cache_clear(cache);
    for (uint64_t i = 0; i < 10; i++) {
        assert_null(find(cache, i));
        assert_true(put(cache, i, 2, 100));
    }
    size_t before = tw_cache_stats(cache).entries;
    tw_cache_sweep(cache);
    assert_in_range(tw_cache_stats(cache).entries, 11, before - 1);
    for (int i = 0; i < 10; i++)
        tw_cache_sweep(cache);
    assert_int_equal(tw_cache_stats(cache).entries, 10);
    for (uint64_t i = 0; i < 10; i++) {
        assert_holds(find(cache, i), i, 2, 100);
        (void)forget(cache, i);
    }
    assert_int_equal(tw_cache_stats(cache).evictions, 0);
    assert_int_equal(tw_cache_stats(cache).bytes, empty);
    tw_cache_free(cache);
}

// ---- against a reference ------------------------------------------------------------------------

// The same cache as an array in order of use, the last one first.
#define KEYS 300

static struct {
    struct {
        uint64_t key, version;
        size_t n, bytes;
    } items[KEYS];
    size_t n, bytes;
} reference;

static size_t reference_at(uint64_t key)
{
    size_t i = 0;
    while (i < reference.n && reference.items[i].key != key)
        i++;
    return i;
}

static void reference_remove(size_t i)
{
    reference.bytes -= reference.items[i].bytes;
    memmove(&reference.items[i], &reference.items[i + 1],
            (--reference.n - i) * sizeof reference.items[0]);
}

static void reference_put(uint64_t key, uint64_t version, size_t n, size_t bytes, size_t bound)
{
    while (reference.bytes + bytes > bound)
        reference_remove(reference.n - 1);
    memmove(&reference.items[1], &reference.items[0], reference.n++ * sizeof reference.items[0]);
    reference.items[0].key = key;
    reference.items[0].version = version;
    reference.items[0].n = n;
    reference.items[0].bytes = bytes;
    reference.bytes += bytes;
}

static void reference_touch(size_t i)
{
    uint64_t key = reference.items[i].key, version = reference.items[i].version;
    size_t n = reference.items[i].n, bytes = reference.items[i].bytes;
    reference_remove(i);
    reference_put(key, version, n, bytes, SIZE_MAX);
}

// What an entry of n bytes counts as: measured in a cache of its own.
static size_t bytes_of(uint64_t version, size_t n)
{
    struct tw_cache_table *cache = cache_of(65536);
    size_t empty = tw_cache_stats(cache).bytes;
    assert_true(put(cache, 0, version, n));
    size_t bytes = tw_cache_stats(cache).bytes - empty;
    tw_cache_free(cache);
    return bytes;
}

static void step(struct tw_cache_table *cache, uint64_t version, size_t bound)
{
    uint64_t key = kit_below(KEYS);
    size_t i = reference_at(key), n = kit_below(700);
    bool known = i < reference.n;
    switch (kit_below(16)) {
    case 0:
        assert_int_equal(forget(cache, key), known);
        if (known)
            reference_remove(i);
        break;
    case 1:
        if (kit_below(100) == 0) {
            tw_cache_clear(cache);
            reference.n = reference.bytes = 0;
        }
        break;
    case 2:
        tw_cache_sweep(cache);
        break;
    default: {
        struct tw_cache_entry *entry = find(cache, key);
        assert_int_equal(entry != NULL, known);
        if (known) {
            assert_holds(entry, key, reference.items[i].version, reference.items[i].n);
            reference_touch(i);
        } else {
            assert_true(put(cache, key, version, n));
            reference_put(key, version, n, bytes_of(version, n), bound);
        }
    }
    }
}

static void it_holds_what_the_reference_holds(void **state)
{
    (void)state;
    struct tw_cache_table *cache = cache_of(32768);
    size_t index_bytes = tw_cache_stats(cache).bytes;
    reference.n = reference.bytes = 0;
    for (uint64_t version = 0; version < 60000; version++)
        step(cache, version, 32768 - index_bytes);
    while (reference.n > 0) {
        size_t last = reference.n - 1;
        assert_holds(find(cache, reference.items[last].key), reference.items[last].key,
                     reference.items[last].version, reference.items[last].n);
        reference_remove(last);
    }
    tw_cache_free(cache);
}

// ---- reads, changes and news of them ------------------------------------------------------------

#define ROWS  4
#define READS 8
#define NEWS  64

// A database of versions, the reads that are on their way to it or back, and the news of changes,
// which come in the order of the commits, as PostgreSQL's do.
static struct {
    uint64_t versions[ROWS];
    uint64_t heard[ROWS]; // the version whose news have come
    struct {
        bool is_under_way, was_judged;
        uint64_t row, seen, asked_for; // asked_for: what a reader had heard of when it began
        struct tw_cache_fill fill;
    } reads[READS];
    struct {
        uint64_t row, version;
    } news[NEWS];
    size_t n_news;
} world;

static void world_read(struct tw_cache_table *cache)
{
    uint64_t row = kit_below(ROWS);
    struct tw_uuid id = id_of(row);
    struct tw_cache_entry *entry = tw_cache_find(cache, &id);
    if (entry) {
        uint64_t version;
        memcpy(&version, entry->body.p, sizeof version);
        assert_true(version >= world.heard[row]);
        return;
    }
    struct tw_cache_fill *fill = tw_cache_fill_find(cache, &id);
    if (fill) { // who joins it must not get less than he might know
        for (size_t i = 0; i < READS; i++)
            if (&world.reads[i].fill == fill)
                assert_true(world.reads[i].is_under_way &&
                            world.reads[i].asked_for == world.heard[row]);
        return;
    }
    for (size_t i = 0; i < READS; i++) {
        if (world.reads[i].is_under_way)
            continue;
        world.reads[i].is_under_way = true;
        world.reads[i].was_judged = false;
        world.reads[i].row = row;
        world.reads[i].asked_for = world.heard[row];
        tw_cache_fill_begin(cache, &world.reads[i].fill, &id);
        return;
    }
}

// The statement is executed, or its answer arrives.
static void world_answer(struct tw_cache_table *cache)
{
    size_t i = kit_below(READS);
    bool stored;
    if (!world.reads[i].is_under_way)
        return;
    if (!world.reads[i].was_judged) {
        world.reads[i].was_judged = true;
        world.reads[i].seen = world.versions[world.reads[i].row];
        return;
    }
    world.reads[i].is_under_way = false;
    if (kit_below(8) == 0) {
        tw_cache_fill_cancel(cache, &world.reads[i].fill);
        return;
    }
    struct tw_str body = {(const char *)&world.reads[i].seen, sizeof world.reads[i].seen};
    struct tw_cache_entry *entry = tw_cache_fill_end(cache, &world.reads[i].fill, body,
                                                     TW_STR("\"x\""), &stored);
    assert_non_null(entry);
    tw_cache_unref(entry);
}

static void world_change(void)
{
    uint64_t row = kit_below(ROWS);
    if (world.n_news == NEWS)
        return;
    world.news[world.n_news].row = row;
    world.news[world.n_news++].version = ++world.versions[row];
}

static void world_hear(struct tw_cache_table *cache)
{
    if (world.n_news == 0)
        return;
    world.heard[world.news[0].row] = world.news[0].version;
    if (kit_below(16) == 0)
        tw_cache_clear(cache); // told of as one of very many
    else
        (void)forget(cache, world.news[0].row);
    memmove(&world.news[0], &world.news[1], --world.n_news * sizeof world.news[0]);
}

static void no_order_leaves_an_old_answer(void **state)
{
    (void)state;
    struct tw_cache_table *cache = cache_of(65536);
    memset(&world, 0, sizeof world);
    for (int i = 0; i < 400000; i++) {
        switch (kit_below(8)) {
        case 0:
            world_change();
            break;
        case 1:
            world_hear(cache);
            break;
        case 2:
        case 3:
        case 4:
            world_answer(cache);
            break;
        default:
            world_read(cache);
        }
    }
    while (world.n_news > 0)
        world_hear(cache);
    for (uint64_t row = 0; row < ROWS; row++) {
        struct tw_cache_entry *entry = find(cache, row);
        if (entry)
            assert_memory_equal(entry->body.p, &world.versions[row], sizeof(uint64_t));
    }
    for (size_t i = 0; i < READS; i++)
        if (world.reads[i].is_under_way)
            tw_cache_fill_cancel(cache, &world.reads[i].fill);
    tw_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(a_reference_outlives_the_place),
        cmocka_unit_test(too_large_is_not_stored),
        cmocka_unit_test(memory_stays_within_its_bound),
        cmocka_unit_test(what_was_cleared_goes_by_and_by),
        cmocka_unit_test(it_holds_what_the_reference_holds),
        cmocka_unit_test(no_order_leaves_an_old_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// db_gather: what is merged is byte for byte what one query with all the rows would have sent; what
// cannot be gathered is told apart. tests/sql/array_format.sql has PostgreSQL's own word for it.
#include "tests/unit/test_kit.h"

#include "gateway/db_gather.h"

#define ROLES  "rriees"
#define ROWS   8
#define PARTS  100
#define BUFFER 65536

// One query's rows and lines, drawn at random.
struct sample {
    int n_rows, n_lines;
    int64_t ids[ROWS];
    char names[ROWS][4];
    int name_lengths[ROWS]; // -1: NULL
    int lines[ROWS];        // row numbers from 1
};

static struct sample samples[PARTS];
static struct tw_params params[PARTS];
static const char *values[PARTS][TW_PARAMS_MAX];
static struct tw_gather_part parts[PARTS];
static char merged_bytes[PARTS * BUFFER / 8];

static void draw(struct sample *sample, int n_rows, int n_lines)
{
    sample->n_rows = n_rows;
    sample->n_lines = n_lines;
    for (int i = 0; i < ROWS; i++) {
        sample->ids[i] = kit_random_i64();
        sample->name_lengths[i] = (int)kit_below(5) - 1;
        memset(sample->names[i], 'a' + i, sizeof(sample->names[i]));
        sample->lines[i] = 1 + (int)kit_below((uint64_t)n_rows);
    }
}

static void put_name(struct tw_params *to, const struct sample *sample, int i)
{
    int n = sample->name_lengths[i];
    tw_param_optional(to, (struct tw_str){n < 0 ? NULL : sample->names[i], n < 0 ? 0 : (size_t)n});
}

// The parameters of one query that asks for the rows of all `n` samples.
static void put_all(struct tw_params *to, const struct sample *all, size_t n, const char *shared)
{
    size_t n_rows = 0, n_lines = 0, before = 0;
    for (size_t k = 0; k < n; k++) {
        n_rows += (size_t)all[k].n_rows;
        n_lines += (size_t)all[k].n_lines;
    }
    static char buffer[1];
    tw_params_init(to, buffer, 0);
    tw_param_array(to, TW_ARRAY_I64, n_rows);
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < all[k].n_rows; i++)
            tw_param_i64(to, all[k].ids[i]);
    tw_param_array_end(to);
    tw_param_array(to, TW_ARRAY_TEXT, n_rows);
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < all[k].n_rows; i++)
            put_name(to, &all[k], i);
    tw_param_array_end(to);
    tw_param_array(to, TW_ARRAY_I32, n_lines);
    for (size_t k = 0; k < n; before += (size_t)all[k++].n_rows)
        for (int i = 0; i < all[k].n_lines; i++)
            tw_param_i32(to, (int32_t)before + all[k].lines[i]);
    tw_param_array_end(to);
    tw_param_array(to, TW_ARRAY_I64, n_lines);
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < all[k].n_lines; i++)
            tw_param_i64(to, -all[k].ids[i]);
    tw_param_array_end(to);
    tw_param_array(to, TW_ARRAY_TEXT, n_lines);
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < all[k].n_lines; i++)
            put_name(to, &all[k], i);
    tw_param_array_end(to);
    tw_param_optional(to, tw_str_of(shared));
    assert_false(to->failed);
}

static struct tw_gather_part part_of(const struct tw_params *from, const char **its_values)
{
    for (unsigned i = 0; i < from->n; i++)
        its_values[i] = from->lengths[i] < 0 ? NULL : from->bytes + from->offsets[i];
    return (struct tw_gather_part){its_values, from->lengths};
}

static struct tw_gather_part *make(size_t k, const char *shared)
{
    put_all(&params[k], &samples[k], 1, shared);
    parts[k] = part_of(&params[k], values[k]);
    return &parts[k];
}

static int clear(void **state)
{
    (void)state;
    for (size_t k = 0; k < PARTS; k++)
        tw_params_free(&params[k]);
    return 0;
}

static void assert_merged(size_t n)
{
    struct tw_gathered merged = {.buffer = merged_bytes};
    struct tw_params whole;
    const char *whole_values[TW_PARAMS_MAX];
    for (size_t k = 0; k < n; k++) {
        make(k, "shared");
        assert_int_equal(tw_gather_rows(ROLES, &parts[k]), samples[k].n_rows);
        assert_true(tw_gather_fits(ROLES, &parts[0], &parts[k]));
    }
    tw_gather_merge(ROLES, parts, n, &merged);
    put_all(&whole, samples, n, "shared");
    struct tw_gather_part wanted = part_of(&whole, whole_values);
    for (unsigned i = 0; i < whole.n; i++) {
        assert_int_equal(merged.lengths[i], wanted.lengths[i]);
        assert_memory_equal(merged.values[i], wanted.values[i], (size_t)wanted.lengths[i]);
    }
    tw_params_free(&whole);
    clear(NULL);
}

static void test_many_are_as_one(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + kit_below(round < 190 ? 9 : PARTS);
        for (size_t k = 0; k < n; k++)
            draw(&samples[k], 1 + (int)kit_below(ROWS), (int)kit_below(ROWS + 1));
        assert_merged(n);
    }
}

static void test_empty_arrays(void **state)
{
    (void)state;
    draw(&samples[0], 1, 0);
    draw(&samples[1], 3, 0);
    assert_merged(1);
    assert_merged(2);
    draw(&samples[2], 2, 4);
    draw(&samples[3], 1, 0);
    assert_merged(3);
    assert_merged(4);
}

static void test_what_is_shared_must_be_equal(void **state)
{
    (void)state;
    draw(&samples[0], 1, 1);
    struct tw_gather_part *eur = make(0, "EUR");
    samples[1] = samples[2] = samples[3] = samples[0];
    assert_false(tw_gather_fits(ROLES, eur, make(1, "CHF")));
    assert_false(tw_gather_fits(ROLES, eur, make(2, "EURO")));
    assert_false(tw_gather_fits(ROLES, eur, make(3, NULL)));
    assert_false(tw_gather_fits(ROLES, &parts[3], eur));
    assert_true(tw_gather_fits(ROLES, &parts[3], &parts[3]));
    assert_true(tw_gather_fits(ROLES, eur, eur));
    ((char *)(uintptr_t)parts[1].values[0])[11]++; // another element type
    assert_false(tw_gather_fits("r", eur, &parts[1]));
}

// A line of sale 0 or of a sale behind the last would become a neighbour's.
static void test_foreign_rows(void **state)
{
    (void)state;
    static const int foreign[] = {0, 3, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < TW_COUNT(foreign); i++) {
        draw(&samples[0], 2, 3);
        samples[0].lines[1] = foreign[i];
        assert_int_equal(tw_gather_rows(ROLES, make(0, "")), 0);
        tw_params_free(&params[0]);
    }
    draw(&samples[0], 2, 3);
    make(0, "");
    ((char *)(uintptr_t)values[0][2])[23] = 0; // NULL or odd row numbers
    assert_int_equal(tw_gather_rows(ROLES, &parts[0]), 0);
}

static void test_lengths_that_differ(void **state)
{
    (void)state;
    draw(&samples[0], 2, 3);
    make(0, "");
    assert_int_equal(tw_gather_rows(ROLES, &parts[0]), 2);
    assert_int_equal(tw_gather_rows("rrr", &parts[0]), 0);
    assert_int_equal(tw_gather_rows("rrrees", &parts[0]), 0);
    values[0][1] = NULL; // a NULL array
    assert_int_equal(tw_gather_rows(ROLES, &parts[0]), 0);
}

// Whatever is cut off or changed, no byte outside is read (ASan), and it is refused or still whole.
static void test_spoilt_arrays(void **state)
{
    (void)state;
    draw(&samples[0], 3, 5);
    make(0, "");
    for (int i = 0; i < 5; i++) {
        int length = parts[0].lengths[i];
        for (int n = 0; n < length; n++) {
            char *copy = malloc((size_t)n + 1);
            memcpy(copy, parts[0].values[i], (size_t)n);
            struct tw_gather_part cut = {(const char *const[]){copy}, &n};
            assert_int_equal(tw_gather_rows("r", &cut), 0);
            free(copy);
        }
        for (int n = 0; n < length * 8; n++) {
            char *copy = malloc((size_t)length);
            memcpy(copy, parts[0].values[i], (size_t)length);
            copy[n / 8] ^= (char)(1 << n % 8);
            struct tw_gather_part spoilt = {(const char *const[]){copy}, &length};
            (void)tw_gather_rows("r", &spoilt);
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_many_are_as_one, clear),
        cmocka_unit_test_teardown(test_empty_arrays, clear),
        cmocka_unit_test_teardown(test_what_is_shared_must_be_equal, clear),
        cmocka_unit_test_teardown(test_foreign_rows, clear),
        cmocka_unit_test_teardown(test_lengths_that_differ, clear),
        cmocka_unit_test_teardown(test_spoilt_arrays, clear),
    };
    return cmocka_run_group_tests_name("db_gather", tests, NULL, NULL);
}

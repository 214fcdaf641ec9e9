// SPDX-License-Identifier: Apache-2.0
// log_line: the form for people. Columns stand under each other, and no byte that a client or a
// database has chosen moves the cursor, colours a word, begins a line or turns text around.
#include "tests/unit/test_kit.h"

#include "gateway/log_line.h"

static char line_text[4097];

static struct tw_log_head head_of(enum tw_level level, const char *process, int worker,
                                  const char *kind)
{
    return (struct tw_log_head){
        TW_STR("2026-11-28T12:34:56.789Z"), level, tw_str_of(kind), process, worker, false};
}

static const char *ended(struct tw_log_line *line)
{
    size_t n = tw_log_line_end(line);
    assert_true(n > 0 && n < sizeof line_text && line_text[n - 1] == '\n');
    line_text[n - 1] = '\0';
    return line_text;
}

static void put_request(struct tw_log_line *line, unsigned status, uint64_t us, const char *path)
{
    tw_log_line_bare_i64(line, TW_STR("status"), status);
    tw_log_line_bare_us(line, TW_STR("durationUs"), us, 4);
    tw_log_line_bare(line, TW_STR("method"), TW_STR("GET"), 32, 6);
    tw_log_line_bare(line, TW_STR("path"), tw_str_of(path), 2000, 0);
    tw_log_line_str(line, TW_STR("code"), TW_STR(""), 64);
    tw_log_line_us(line, TW_STR("dbUs"), 1002);
    tw_log_line_i64(line, TW_STR("bytes"), -5);
}

static void test_columns(void **state)
{
    (void)state;
    struct tw_log_head head = head_of(TW_LEVEL_INFO, "worker", 3, "access");
    struct tw_log_line line = tw_log_line_begin(line_text, 4096, TW_LOG_TEXT, &head);
    put_request(&line, 200, 1234, "/v1/me");
    assert_string_equal(ended(&line),
                        "2026-11-28T12:34:56.789Z INFO  worker3  access 200    1.234ms "
                        "GET    /v1/me db=1.002ms bytes=-5");
    head = head_of(TW_LEVEL_ERROR, "master", -1, "event");
    line = tw_log_line_begin(line_text, 4096, TW_LOG_TEXT, &head);
    put_request(&line, 0, 12345678, "/");
    assert_string_equal(ended(&line),
                        "2026-11-28T12:34:56.789Z ERROR master   event    0 12345.678ms "
                        "GET    / db=1.002ms bytes=-5");
}

static void test_json(void **state)
{
    (void)state;
    struct tw_log_head head = head_of(TW_LEVEL_WARN, "worker", 0, "access");
    struct tw_log_line line = tw_log_line_begin(line_text, 4096, TW_LOG_JSON, &head);
    put_request(&line, 200, 1234, "/v1/\x1b[2J");
    assert_string_equal(
        ended(&line),
        "{\"time\":\"2026-11-28T12:34:56.789Z\",\"level\":\"warn\",\"kind\":\"access\",\"process\":"
        "\"worker\",\"worker\":0,\"status\":200,\"durationUs\":1234,\"method\":\"GET\",\"path\":"
        "\"/v1/\\u001b[2J\",\"dbUs\":1002,\"bytes\":-5}");
}

static void test_colours(void **state)
{
    (void)state;
    struct tw_log_head head = head_of(TW_LEVEL_WARN, "worker", 0, "event");
    head.is_coloured = true;
    struct tw_log_line line = tw_log_line_begin(line_text, 4096, TW_LOG_TEXT, &head);
    assert_string_equal(ended(&line),
                        "2026-11-28T12:34:56.789Z \x1b[33mWARN \x1b[0m worker0  event ");
    line = tw_log_line_begin(line_text, 4096, TW_LOG_JSON, &head);
    assert_null(strchr(ended(&line), '\x1b'));
}

// What stands behind the columns for this value, with its key.
static const char *shown(const char *value, size_t n)
{
    struct tw_log_head head = head_of(TW_LEVEL_INFO, "worker", 0, "event");
    struct tw_log_line line = tw_log_line_begin(line_text, 4096, TW_LOG_TEXT, &head);
    tw_log_line_str(&line, TW_STR("k"), (struct tw_str){value, n}, 2000);
    return strstr(ended(&line), " k=") + 3;
}

static void test_no_tricks(void **state)
{
    (void)state;
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"two words", "\"two words\""},
        {"a=\"b\"\\", "\"a=\\\"b\\\"\\\\\""},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f"},
        {"csi \xc2\x9b"
         "31m",
         "\"csi \\u{9b}31m\""}, // C1: as good as ESC [
        {"\xe2\x80\xaegnp.exe\xe2\x80\xac",
         "\\u{202e}gnp.exe\\u{202c}"},                          // right to left from here on
        {"a\xe2\x81\xa6z\xe2\x81\xa9", "a\\u{2066}z\\u{2069}"}, // isolates
        {"x\xe2\x80\x8by\xef\xbb\xbf", "x\\u{200b}y\\u{feff}"}, // without width
        {"\xf3\xa0\x81\x81", "\\u{e0041}"},                     // a tag
        {"\xe2\x80\xa8line", "\\u{2028}line"},                  // a line separator
        {"\xf0\x9f\x9b\x92", "\xf0\x9f\x9b\x92"},               // a shopping cart
        {"not \xff utf-8 \x1b", "\"not ? utf-8 \\x1b\""},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        assert_string_equal(shown(cases[i].value, strlen(cases[i].value)), cases[i].shown);
    assert_string_equal(shown("a\0b", 3), "a\\x00b");
}

// Whatever comes, a line is one line of printable text.
static void test_any_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char bytes[64];
        size_t n = 1 + kit_below(sizeof bytes);
        for (size_t j = 0; j < n; j++)
            bytes[j] = kit_below(2) ? (char)kit_below(256)
                                    : "\xc2\xe2\x80\x9b\x1b\xae"[kit_below(6)];
        const char *out = shown(bytes, n);
        struct tw_str whole = tw_str_of(out);
        assert_true(tw_utf8_valid(whole));
        for (size_t j = 0; j < whole.n; j++)
            assert_true((unsigned char)out[j] >= 0x20 && out[j] != 0x7f);
        assert_null(strstr(out, "\xc2\x9b"));
        assert_null(strstr(out, "\xe2\x80\xae")); // NOLINT(misc-misleading-bidirectional)
    }
}

// A value is cut where a character ends, and leaves room for the others.
static void test_cut(void **state)
{
    (void)state;
    char value[3000];
    static const char unit[] = "\xe2\x80\x8e"; // three bytes, shown as eight
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = unit[i % 3];
    const char *out = shown(value, sizeof value);
    assert_int_equal(strlen(out), 2000);
    assert_string_equal(out + 2000 - 8, "\\u{200e}");
    struct tw_log_head head = head_of(TW_LEVEL_INFO, "worker", 0, "event");
    struct tw_log_line line = tw_log_line_begin(line_text, 100, TW_LOG_TEXT, &head);
    tw_log_line_str(&line, TW_STR("k"), (struct tw_str){value, sizeof value}, 2000);
    assert_int_equal(tw_log_line_end(&line), 0); // it did not fit, and nothing was overrun
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_colours),   cmocka_unit_test(test_no_tricks),
        cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests_name("log_line", tests, NULL, NULL);
}

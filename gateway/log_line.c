// SPDX-License-Identifier: Apache-2.0
#include "gateway/log_line.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

// ---- JSON ---------------------------------------------------------------------------------------

size_t tw_log_boundary(const char *p, size_t n)
{
    size_t at = n;
    while (at > 0 && n - at < 3 && ((unsigned char)p[at] & 0xC0) == 0x80)
        at--;
    return at;
}

// As much of `value` as takes at most `max` bytes in JSON.
static struct tw_str cut(struct tw_str value, size_t max)
{
    size_t escaped = 0;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        escaped += c < 0x20 || c == 0x7f ? 6 : c == '"' || c == '\\' ? 2 : 1;
        if (escaped > max)
            return (struct tw_str){value.p, tw_log_boundary(value.p, i)};
    }
    return value;
}

static struct tw_log_line json_begin(char *buffer, size_t size, const struct tw_log_head *head)
{
    struct tw_log_line line = {tw_json_fixed(buffer, size), TW_LOG_JSON};
    tw_json_object(&line.json);
    TW_JSON_STR(&line.json, "time", head->time);
    TW_JSON_STR(&line.json, "level", tw_str_of(level_names[head->level]));
    TW_JSON_STR(&line.json, "kind", head->kind);
    TW_JSON_STR(&line.json, "process", tw_str_of(head->process));
    if (head->worker >= 0)
        TW_JSON_I64(&line.json, "worker", head->worker);
    return line;
}

static void json_str(struct tw_json *json, struct tw_str key, struct tw_str value, size_t max)
{
    tw_json_key(json, key);
    if (value.n <= max && tw_plain_run(value) == value.n)
        tw_json_str_plain(json, value);
    else
        tw_json_str_untrusted(json, cut(value, max));
}

// ---- text ---------------------------------------------------------------------------------------

static void put(struct tw_json *text, const char *p, size_t n)
{
    if (text->cap - text->n < n)
        text->failed = true;
    if (text->failed)
        return;
    memcpy(text->p + text->n, p, n);
    text->n += n;
}

static void put_text(struct tw_json *text, const char *c_string)
{
    put(text, c_string, strlen(c_string));
}

// A character of n bytes, well-formed.
static uint32_t code_point(const char *p, size_t n)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & first[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

// Controls (C1 too: some terminals act on them), marks of direction, what has no width, tags.
static bool is_tricky(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

static size_t length_of(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

// One character as it is to be shown, into `out`; returns its length.
static size_t show(const char *p, size_t n, bool quoted, char out[16])
{
    uint32_t c = code_point(p, n);
    if (is_tricky(c))
        return (size_t)snprintf(out, 16, c < 0x80 ? "\\x%02" PRIx32 : "\\u{%" PRIx32 "}", c);
    if (quoted && (c == '"' || c == '\\')) {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    memcpy(out, p, n);
    return n;
}

static void put_shown(struct tw_json *text, struct tw_str value, size_t max, bool quoted)
{
    bool is_utf8 = tw_utf8_valid(value);
    size_t used = 0;
    for (size_t i = 0, n; i < value.n; i += n) {
        char shown[16] = "?";
        n = is_utf8 ? length_of((unsigned char)value.p[i]) : 1;
        bool is_known = is_utf8 || (unsigned char)value.p[i] < 0x80;
        size_t shown_n = is_known ? show(value.p + i, n, quoted, shown) : 1;
        used += shown_n;
        if (used > max)
            return;
        put(text, shown, shown_n);
    }
}

// Whether it would be read as more than one value.
static bool needs_quotes(struct tw_str value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == ' ' || value.p[i] == '"' || value.p[i] == '=' || value.p[i] == '\\')
            return true;
    return false;
}

static void put_key(struct tw_json *text, struct tw_str key)
{
    put(text, " ", 1);
    put(text, key.p, key.n);
    put(text, "=", 1);
}

static void text_str(struct tw_json *text, struct tw_str key, struct tw_str value, size_t max)
{
    bool quoted = needs_quotes(value);
    put_key(text, key);
    put(text, "\"", quoted);
    put_shown(text, value, max, quoted);
    put(text, "\"", quoted);
}

static void fill_up(struct tw_json *text, size_t from, size_t width)
{
    while (!text->failed && text->n - from < width)
        put(text, " ", 1);
}

static void put_us(struct tw_json *text, uint64_t us)
{
    char shown[48];
    (void)snprintf(shown, sizeof(shown), "%" PRIu64 ".%03ums", us / 1000, (unsigned)(us % 1000));
    put_text(text, shown);
}

static struct tw_log_line text_begin(char *buffer, size_t size, const struct tw_log_head *head)
{
    static const char *const columns[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    static const char *const colours[] = {"\x1b[2m", "", "\x1b[33m", "\x1b[31m"};
    struct tw_log_line line = {tw_json_fixed(buffer, size), TW_LOG_TEXT};
    struct tw_json *text = &line.json;
    bool is_coloured = head->is_coloured && colours[head->level][0];
    char process[32];
    put(text, head->time.p, head->time.n);
    put_text(text, is_coloured ? " " : "");
    put_text(text, is_coloured ? colours[head->level] : " ");
    put_text(text, columns[head->level]);
    put_text(text, is_coloured ? "\x1b[0m " : " ");
    if (head->worker >= 0)
        (void)snprintf(process, sizeof(process), "%s%d", head->process, head->worker);
    else
        (void)snprintf(process, sizeof(process), "%s", head->process);
    size_t from = text->n;
    put_text(text, process);
    fill_up(text, from, 8);
    from = text->n;
    put(text, " ", 1);
    put(text, head->kind.p, head->kind.n);
    fill_up(text, from, 7);
    return line;
}

// ---- both ---------------------------------------------------------------------------------------

struct tw_log_line tw_log_line_begin(char *buffer, size_t size, enum tw_log_format format,
                                     const struct tw_log_head *head)
{
    return format == TW_LOG_JSON ? json_begin(buffer, size - 1, head)
                                 : text_begin(buffer, size - 1, head);
}

struct tw_log_line tw_log_line_begin_as(char *buffer, size_t size, enum tw_log_format format,
                                        struct tw_str begun, struct tw_str time)
{
    struct tw_log_line line = {tw_json_fixed(buffer, size - 1), format};
    size_t time_at = format == TW_LOG_JSON ? sizeof("{\"time\":\"") - 1 : 0;
    put(&line.json, begun.p, begun.n);
    memcpy(buffer + time_at, time.p, time.n);
    return line;
}

void tw_log_line_str(struct tw_log_line *line, struct tw_str key, struct tw_str value, size_t max)
{
    if (value.n == 0)
        return;
    if (line->format == TW_LOG_JSON)
        json_str(&line->json, key, value, max);
    else
        text_str(&line->json, key, value, max);
}

void tw_log_line_i64(struct tw_log_line *line, struct tw_str key, int64_t value)
{
    char shown[24];
    if (line->format == TW_LOG_JSON) {
        tw_json_key(&line->json, key);
        tw_json_i64(&line->json, value);
        return;
    }
    put_key(&line->json, key);
    (void)snprintf(shown, sizeof(shown), "%" PRId64, value);
    put_text(&line->json, shown);
}

void tw_log_line_us(struct tw_log_line *line, struct tw_str key, uint64_t us)
{
    if (line->format == TW_LOG_JSON) {
        tw_json_key(&line->json, key);
        tw_json_i64(&line->json, (int64_t)us);
        return;
    }
    put_key(&line->json, (struct tw_str){key.p, key.n - 2}); // without "Us"
    put_us(&line->json, us);
}

void tw_log_line_bare(struct tw_log_line *line, struct tw_str key, struct tw_str value, size_t max,
                      size_t width)
{
    if (line->format == TW_LOG_JSON) {
        if (value.n > 0)
            json_str(&line->json, key, value, max);
        return;
    }
    put(&line->json, " ", 1);
    size_t from = line->json.n;
    put_shown(&line->json, value, max, false);
    fill_up(&line->json, from, width);
}

void tw_log_line_message(struct tw_log_line *line, struct tw_str value, size_t max)
{
    if (line->format == TW_LOG_JSON)
        json_str(&line->json, TW_STR("message"), value, max);
    else
        tw_log_line_bare(line, TW_STR("message"), value, max, 0);
}

void tw_log_line_bare_i64(struct tw_log_line *line, struct tw_str key, int64_t value)
{
    char shown[24];
    if (line->format == TW_LOG_JSON) {
        tw_log_line_i64(line, key, value);
        return;
    }
    (void)snprintf(shown, sizeof(shown), " %3" PRId64, value);
    put_text(&line->json, shown);
}

void tw_log_line_bare_us(struct tw_log_line *line, struct tw_str key, uint64_t us, size_t width)
{
    char shown[48];
    if (line->format == TW_LOG_JSON) {
        tw_log_line_us(line, key, us);
        return;
    }
    (void)snprintf(shown, sizeof(shown), " %*" PRIu64 ".%03ums", (int)width, us / 1000,
                   (unsigned)(us % 1000));
    put_text(&line->json, shown);
}

size_t tw_log_line_end(struct tw_log_line *line)
{
    if (line->format == TW_LOG_JSON)
        tw_json_object_end(&line->json);
    if (line->json.failed)
        return 0;
    line->json.p[line->json.n] = '\n';
    return line->json.n + 1;
}

// SPDX-License-Identifier: Apache-2.0
#include "handlers/json_split.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct tw_str trimmed(struct tw_str text)
{
    while (text.n > 0 && is_space(text.p[0])) {
        text.p++;
        text.n--;
    }
    while (text.n > 0 && is_space(text.p[text.n - 1]))
        text.n--;
    return text;
}

static void take(struct tw_str slice, struct tw_str *out, size_t cap, size_t *n)
{
    if (*n < cap)
        out[*n] = slice;
    ++*n;
}

// The end of the string whose opening quote stands at `i`: its closing quote, or the text's end.
static size_t string_end(struct tw_str text, size_t i)
{
    for (i++; i < text.n && text.p[i] != '"'; i++)
        if (text.p[i] == '\\')
            i++;
    return i < text.n ? i : text.n;
}

// The first comma or closing bracket from `i` on that is not within brackets or a string.
static size_t element_end(struct tw_str text, size_t i)
{
    size_t depth = 0;
    for (; i < text.n; i++) {
        char c = text.p[i];
        if (depth == 0 && (c == ',' || c == ']' || c == '}'))
            return i;
        if (c == '"')
            i = string_end(text, i);
        else if (c == '[' || c == '{')
            depth++;
        else if (c == ']' || c == '}')
            depth--;
    }
    return text.n;
}

bool tw_json_split_array(struct tw_str text, struct tw_str *out, size_t cap, size_t *n)
{
    *n = 0;
    text = trimmed(text);
    if (text.n < 2 || text.p[0] != '[')
        return false;
    for (size_t from = 1;;) {
        size_t end = element_end(text, from);
        if (end == text.n || text.p[end] == '}')
            return false;
        bool is_last = text.p[end] == ']';
        struct tw_str slice = trimmed((struct tw_str){text.p + from, end - from});
        if (slice.n > 0)
            take(slice, out, cap, n);
        else if (!is_last || *n > 0)
            return false;
        if (is_last)
            return end == text.n - 1;
        from = end + 1;
    }
}

void tw_json_split_lines(struct tw_str text, struct tw_str *out, size_t cap, size_t *n)
{
    *n = 0;
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t length = end ? (size_t)(end - text.p) : text.n;
        struct tw_str slice = trimmed((struct tw_str){text.p, length});
        if (slice.n > 0)
            take(slice, out, cap, n);
        text.p += length + (end ? 1 : 0);
        text.n -= length + (end ? 1 : 0);
    }
}

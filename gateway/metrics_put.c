// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics_put.h"

#include <stdlib.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

static const struct {
    enum kind kind;
    const char *name, *help;
} families[TW_FAMILY_COUNT] = {
#define FAMILY(name, kind, prometheus_name, labels, help) \
    [TW_FAMILY_##name] = {kind, prometheus_name, help},
#include "gateway/metrics.def"
};

// ---- text ---------------------------------------------------------------------------------------

bool tw_text_has_room(struct tw_text *out, size_t n)
{
    if (n <= out->room - out->n)
        return true;
    size_t room = out->room ? out->room : 64 * 1024;
    while (room < out->n + n)
        room *= 2;
    char *p = realloc(out->p, room);
    if (!p) {
        out->failed = true;
        return false;
    }
    out->p = p;
    out->room = room;
    return true;
}

static void add(struct tw_text *out, struct tw_str text)
{
    if (!tw_text_has_room(out, text.n))
        return;
    memcpy(out->p + out->n, text.p, text.n);
    out->n += text.n;
}

// ---- numbers ------------------------------------------------------------------------------------

// At least so many digits, with zeros before it.
static char *write_digits(char *to, uint64_t value, unsigned digits)
{
    char text[20], *p = text + sizeof(text);
    for (unsigned i = 0; value > 0 || i < digits; i++, value /= 10)
        *--p = (char)('0' + value % 10);
    size_t n = (size_t)(text + sizeof(text) - p);
    memcpy(to, p, n);
    return to + n;
}

char *tw_write_u64(char *to, uint64_t value)
{
    if (value > 9)
        return write_digits(to, value, 1);
    *to = (char)('0' + value); // most are
    return to + 1;
}

char *tw_write_i64(char *to, int64_t value)
{
    if (value >= 0)
        return tw_write_u64(to, (uint64_t)value);
    *to = '-';
    return tw_write_u64(to + 1, -(uint64_t)value);
}

char *tw_write_seconds(char *to, uint64_t us)
{
    to = tw_write_u64(to, us / 1000000);
    *to = '.';
    return write_digits(to + 1, us % 1000000, 6);
}

// ---- what others put ----------------------------------------------------------------------------

void tw_put_head(struct tw_text *out, const char *name, const char *type, const char *help)
{
    const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
    for (size_t i = 0; i < TW_COUNT(parts); i++)
        add(out, tw_str_of(parts[i]));
}

void tw_put_family(struct tw_text *out, enum tw_family family)
{
    tw_put_head(out, families[family].name, kind_names[families[family].kind],
                families[family].help);
}

void tw_put_line(struct tw_text *out, const char *name, const char *suffix, const char *labels)
{
    add(out, tw_str_of(name));
    add(out, tw_str_of(suffix));
    if (labels[0] != '\0') {
        add(out, TW_STR("{"));
        add(out, tw_str_of(labels));
        add(out, TW_STR("}"));
    }
    add(out, TW_STR(" "));
}

void tw_put_name(struct tw_text *out, enum tw_family family, const char *suffix, const char *labels)
{
    tw_put_line(out, families[family].name, suffix, labels);
}

// The number's text, and the end of its line.
static void put_number(struct tw_text *out, const char *text, const char *end)
{
    add(out, (struct tw_str){text, (size_t)(end - text)});
    add(out, TW_STR("\n"));
}

void tw_put_u64(struct tw_text *out, enum tw_family family, const char *labels, uint64_t value)
{
    char text[TW_NUMBER_MAX_BYTES];
    tw_put_name(out, family, "", labels);
    put_number(out, text, tw_write_u64(text, value));
}

void tw_put_seconds(struct tw_text *out, enum tw_family family, const char *labels, uint64_t us)
{
    char text[TW_NUMBER_MAX_BYTES];
    tw_put_name(out, family, "", labels);
    put_number(out, text, tw_write_seconds(text, us));
}

void tw_label_add(char *labels, size_t size, const char *name, const char *value)
{
    size_t n = strlen(labels), length = strlen(name);
    if (n + length + sizeof(",=\"\\n\"") > size)
        return;
    if (n > 0)
        labels[n++] = ',';
    memcpy(labels + n, name, length);
    n += length;
    labels[n++] = '=';
    labels[n++] = '"';
    for (; *value && n + sizeof("\\n\"") <= size; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            labels[n++] = '\\';
        labels[n++] = *value == '\n' ? 'n' : *value;
    }
    labels[n++] = '"';
    labels[n] = '\0';
}

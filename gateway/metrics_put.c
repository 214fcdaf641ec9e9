// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics_put.h"

#include <stdio.h>
#include <stdlib.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

static const struct {
    enum kind kind;
    struct tw_str name; // with a NUL behind it
    const char *help;
} families[TW_FAMILY_COUNT] = {
#define FAMILY(name, kind, prometheus_name, labels, help) \
    [TW_FAMILY_##name] = {kind, {prometheus_name, sizeof(prometheus_name) - 1}, help},
#include "gateway/metrics.def"
};

// ---- text ---------------------------------------------------------------------------------------

static bool make_room(struct tw_text *out, size_t n)
{
    size_t room = out->room ? out->room : 64 * 1024;
    while (room < out->n + n)
        room *= 2;
    char *p = room > out->room ? realloc(out->p, room) : out->p;
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
    if (text.n > out->room - out->n && !make_room(out, text.n))
        return;
    memcpy(out->p + out->n, text.p, text.n);
    out->n += text.n;
}

// At least so many digits, with zeros before it.
static void add_number(struct tw_text *out, uint64_t value, unsigned digits)
{
    char text[20], *p = text + sizeof(text);
    for (unsigned i = 0; value > 0 || i < digits; i++, value /= 10)
        *--p = (char)('0' + value % 10);
    add(out, (struct tw_str){p, (size_t)(text + sizeof(text) - p)});
}

static void begin(struct tw_text *out, struct tw_str name, struct tw_str suffix,
                  struct tw_str labels)
{
    add(out, name);
    add(out, suffix);
    if (labels.n > 0) {
        add(out, TW_STR("{"));
        add(out, labels);
        add(out, TW_STR("}"));
    }
    add(out, TW_STR(" "));
}

static void put(struct tw_text *out, struct tw_str name, struct tw_str suffix, struct tw_str labels,
                uint64_t value)
{
    begin(out, name, suffix, labels);
    add_number(out, value, 1);
    add(out, TW_STR("\n"));
}

static void put_us(struct tw_text *out, struct tw_str name, struct tw_str suffix,
                   struct tw_str labels, uint64_t us)
{
    begin(out, name, suffix, labels);
    add_number(out, us / 1000000, 1);
    add(out, TW_STR("."));
    add_number(out, us % 1000000, 6);
    add(out, TW_STR("\n"));
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
    tw_put_head(out, families[family].name.p, kind_names[families[family].kind],
                families[family].help);
}

void tw_put_i64(struct tw_text *out, const char *name, const char *labels, int64_t value)
{
    begin(out, tw_str_of(name), TW_STR(""), tw_str_of(labels));
    if (value < 0)
        add(out, TW_STR("-"));
    add_number(out, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);
    add(out, TW_STR("\n"));
}

void tw_put_u64(struct tw_text *out, enum tw_family family, const char *labels, uint64_t value)
{
    put(out, families[family].name, TW_STR(""), tw_str_of(labels), value);
}

void tw_put_seconds(struct tw_text *out, enum tw_family family, const char *labels, uint64_t us)
{
    put_us(out, families[family].name, TW_STR(""), tw_str_of(labels), us);
}

// The end of a bucket's labels as Prometheus writes it: ,le="0.00025"} or ,le="+Inf"}.
static struct tw_str bound_label(unsigned bucket)
{
    static const uint64_t bounds[] = TW_LATENCY_BOUNDS_US;
    static char labels[TW_LATENCY_BUCKETS][24]; // written once
    if (bucket >= TW_COUNT(bounds))
        return TW_STR(",le=\"+Inf\"} ");
    if (!labels[bucket][0])
        snprintf(labels[bucket], sizeof(labels[bucket]), ",le=\"%g\"} ",
                 (double)bounds[bucket] / 1e6);
    return tw_str_of(labels[bucket]);
}

void tw_put_histogram(struct tw_text *out, enum tw_family family, const char *labels,
                      const struct tw_histogram_sum *sum)
{
    struct tw_str name = families[family].name, of = tw_str_of(labels);
    uint64_t count = 0;
    for (unsigned i = 0; i < TW_LATENCY_BUCKETS; i++) {
        count += sum->buckets[i];
        add(out, name);
        add(out, TW_STR("_bucket{"));
        add(out, of);
        add(out, bound_label(i));
        add_number(out, count, 1);
        add(out, TW_STR("\n"));
    }
    put_us(out, name, TW_STR("_sum"), of, sum->sum_us);
    put(out, name, TW_STR("_count"), of, count);
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

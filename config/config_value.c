// SPDX-License-Identifier: Apache-2.0
// config_value: typed values: text in, a field of the snapshot out, and back.
//
// Numbers of every type go through uint64_t, and the limits of options.def are written in the same
// notation as the values, so one comparison serves all. Overflow is "out of range", never wrapped.
// Not for lists. Runs in: master and command line. Strings belong to the snapshot.

#include "config/internal.h"

#include <inttypes.h>

const struct tw_option tw_options[TW_OPTION_COUNT] = {
#define OPT(key, field, TYPE, initial, min, max, reloadable, secret, doc) \
    {key,                                                                 \
     TW_OPTION_##TYPE,                                                    \
     initial,                                                             \
     min,                                                                 \
     max,                                                                 \
     reloadable,                                                          \
     secret,                                                              \
     doc,                                                                 \
     offsetof(struct tw_config, field)},
#include "config/options.def"
#undef OPT
};

enum parsed { PARSED, MALFORMED, OUT_OF_RANGE };

// Leading decimal digits of `*text`, which moves behind them.
static enum parsed take_number(struct tw_str *text, uint64_t *out)
{
    size_t i = 0;
    uint64_t value = 0;
    bool overflow = false;
    for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++)
        overflow |= __builtin_mul_overflow(value, 10u, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(text->p[i] - '0'), &value);
    *text = (struct tw_str){text->p + i, text->n - i};
    *out = value;
    return i == 0 ? MALFORMED : overflow ? OUT_OF_RANGE : PARSED;
}

struct unit {
    struct tw_str name;
    uint64_t factor;
};

// Largest first; "ms" before "m" is not needed because a unit ends at a digit or the end.
static const struct unit duration_units[] = {
    {{"h", 1}, 3600000}, {{"m", 1}, 60000}, {{"s", 1}, 1000}, {{"ms", 2}, 1}};
static const struct unit size_units[] = {
    {{"GiB", 3}, 1u << 30}, {{"MiB", 3}, 1u << 20}, {{"KiB", 3}, 1u << 10}, {{"", 0}, 1}};

// The letters that follow a number, moved past; NULL when they are no unit from `from` on.
static const struct unit *take_unit(struct tw_str *text, const struct unit *from,
                                    const struct unit *end)
{
    size_t n = 0;
    while (n < text->n && (text->p[n] < '0' || text->p[n] > '9'))
        n++;
    struct tw_str name = {text->p, n};
    *text = (struct tw_str){text->p + n, text->n - n};
    for (; from < end; from++)
        if (tw_str_eq(from->name, name))
            return from;
    return NULL;
}

// "1h30m": numbers with units, the larger unit first, each at most once.
static enum parsed parse_duration(struct tw_str text, uint64_t *out)
{
    const struct unit *unit = duration_units, *end = duration_units + TW_COUNT(duration_units);
    enum parsed result = PARSED;
    *out = 0;
    do {
        uint64_t part;
        enum parsed number = take_number(&text, &part);
        unit = number == MALFORMED ? NULL : take_unit(&text, unit, end);
        if (unit == NULL)
            return MALFORMED;
        if (number == OUT_OF_RANGE || __builtin_mul_overflow(part, unit->factor, &part) ||
            __builtin_add_overflow(*out, part, out))
            result = OUT_OF_RANGE;
        unit++;
    } while (text.n > 0);
    return result;
}

bool tw_config_duration_ms(struct tw_str text, uint64_t *out)
{
    return parse_duration(text, out) == PARSED;
}

static enum parsed parse_size(struct tw_str text, uint64_t *out)
{
    enum parsed number = take_number(&text, out);
    if (number == MALFORMED)
        return MALFORMED;
    const struct unit *unit = take_unit(&text, size_units, size_units + TW_COUNT(size_units));
    if (unit == NULL || text.n > 0)
        return MALFORMED;
    return number == OUT_OF_RANGE || __builtin_mul_overflow(*out, unit->factor, out) ? OUT_OF_RANGE
                                                                                     : PARSED;
}

static enum parsed parse_int(struct tw_str text, uint64_t *out)
{
    enum parsed number = take_number(&text, out);
    return text.n > 0 ? MALFORMED : number;
}

// "0.25" as millionths: at most six decimals.
static enum parsed parse_ratio(struct tw_str text, uint64_t *out)
{
    uint64_t whole, part = 0, scale = 1000000;
    enum parsed number = take_number(&text, &whole);
    if (number == MALFORMED || (text.n > 0 && (text.p[0] != '.' || text.n == 1 || text.n > 7)))
        return MALFORMED;
    for (size_t i = 1; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return MALFORMED;
        scale /= 10;
        part += (uint64_t)(text.p[i] - '0') * scale;
    }
    if (number == OUT_OF_RANGE || whole > 1000000)
        return OUT_OF_RANGE;
    *out = whole * 1000000 + part;
    return PARSED;
}

static enum parsed parse_bool(struct tw_str text, uint64_t *out)
{
    *out = tw_str_eq(text, TW_STR("true"));
    return *out || tw_str_eq(text, TW_STR("false")) ? PARSED : MALFORMED;
}

static enum parsed parse_number(enum tw_option_type type, struct tw_str text, uint64_t *out)
{
    switch (type) {
    case TW_OPTION_BOOL:
        return parse_bool(text, out);
    case TW_OPTION_DURATION_MS:
        return parse_duration(text, out);
    case TW_OPTION_SIZE_BYTES:
        return parse_size(text, out);
    case TW_OPTION_RATIO_PPM:
        return parse_ratio(text, out);
    case TW_OPTION_INT_AUTO:
        if (tw_str_eq(text, TW_STR("auto"))) {
            *out = 0;
            return PARSED;
        }
        return parse_int(text, out);
    default:
        return parse_int(text, out);
    }
}

static bool in_range(const struct tw_option *option, enum tw_option_type type, uint64_t value)
{
    uint64_t min = 0, max = 0;
    return parse_number(type, tw_str_of(option->min), &min) == PARSED &&
           parse_number(type, tw_str_of(option->max), &max) == PARSED && value >= min &&
           value <= max;
}

static bool is_choice(const char *choices, struct tw_str text)
{
    for (const char *p = choices; *p != '\0';) {
        size_t n = strcspn(p, "|");
        if (tw_str_eq((struct tw_str){p, n}, text))
            return true;
        p += p[n] == '|' ? n + 1 : n;
    }
    return false;
}

// What to write instead, after "is not ".
static const char *expected(enum tw_option_type type)
{
    switch (type) {
    case TW_OPTION_BOOL:
        return "a switch: write true or false";
    case TW_OPTION_DURATION_MS:
        return "a duration: write whole numbers with units, such as 250ms, 5s, 10m or 1h30m";
    case TW_OPTION_SIZE_BYTES:
        return "a size: write a whole number of bytes, KiB, MiB or GiB, such as 1024 or 16KiB";
    case TW_OPTION_RATIO_PPM:
        return "a share: write a number from 0 to 1 with at most six decimals, such as 0.1";
    case TW_OPTION_INT_AUTO:
        return "a whole number or auto";
    default:
        return "a whole number: write digits only";
    }
}

// "is_it" is "is not ..." or similar; the value is quoted unless it is secret.
static void fail_value(struct tw_config_load *load, struct tw_config_place place,
                       const struct tw_option *option, struct tw_str text, const char *problem,
                       const char *detail)
{
    int shown = text.n > 60 ? 60 : (int)text.n;
    if (option->secret)
        tw_config_fail(load, place, option->key, "the value (hidden) %s%s", problem, detail);
    else
        tw_config_fail(load, place, option->key, "\"%.*s\"%s %s%s", shown, text.p ? text.p : "",
                       text.n > 60 ? "..." : "", problem, detail);
}

static void fail_range(struct tw_config_load *load, struct tw_config_place place,
                       const struct tw_option *option, struct tw_str text)
{
    bool is_text = option->type == TW_OPTION_STRING;
    char detail[96];
    if (is_text && strcmp(option->min, option->max) == 0)
        snprintf(detail, sizeof detail, "%s bytes", option->min);
    else
        snprintf(detail, sizeof detail, "%s to %s%s", option->min, option->max,
                 is_text ? " bytes" : "");
    fail_value(load, place, option, text,
               is_text ? "has the wrong length: allowed is " : "is out of range: allowed is ",
               detail);
}

static void *field_of(const struct tw_option *option, struct tw_config *config)
{
    return (char *)config + option->offset;
}

static const void *field_in(const struct tw_option *option, const struct tw_config *config)
{
    return (const char *)config + option->offset;
}

static bool set_text(struct tw_config_load *load, struct tw_config_place place,
                     const struct tw_option *option, struct tw_str text)
{
    const char *fault = tw_config_text_fault(text);
    if (fault != NULL) {
        fail_value(load, place, option, text, fault, "");
        return false;
    }
    if (option->type == TW_OPTION_CHOICE && !is_choice(option->min, text)) {
        fail_value(load, place, option, text, "is not one of ", option->min);
        return false;
    }
    if (option->type == TW_OPTION_STRING && !in_range(option, TW_OPTION_INT, text.n)) {
        fail_range(load, place, option, text);
        return false;
    }
    const char *copy = tw_config_copy(load, text);
    if (copy == NULL)
        return false;
    *(const char **)field_of(option, load->config) = copy;
    return true;
}

static void store_number(const struct tw_option *option, struct tw_config *config, uint64_t value)
{
    void *field = field_of(option, config);
    if (option->type == TW_OPTION_BOOL)
        *(bool *)field = value != 0;
    else if (option->type == TW_OPTION_DURATION_MS)
        *(uint64_t *)field = value;
    else if (option->type == TW_OPTION_SIZE_BYTES)
        *(size_t *)field = (size_t)value;
    else
        *(uint32_t *)field = (uint32_t)value;
}

static bool set_number(struct tw_config_load *load, struct tw_config_place place,
                       const struct tw_option *option, struct tw_str text)
{
    uint64_t value = 0;
    enum parsed parsed = parse_number(option->type, text, &value);
    if (parsed == MALFORMED) {
        fail_value(load, place, option, text, "is not ", expected(option->type));
        return false;
    }
    if (option->type != TW_OPTION_BOOL &&
        (parsed == OUT_OF_RANGE || !in_range(option, option->type, value))) {
        fail_range(load, place, option, text);
        return false;
    }
    store_number(option, load->config, value);
    return true;
}

static bool is_text_type(enum tw_option_type type)
{
    return type == TW_OPTION_STRING || type == TW_OPTION_CHOICE;
}

void tw_option_set(struct tw_config_load *load, struct tw_config_place place,
                   const struct tw_option *option, struct tw_str text)
{
    bool ok = is_text_type(option->type) ? set_text(load, place, option, text)
                                         : set_number(load, place, option, text);
    if (!ok)
        return;
    char origin[1024];
    int n = place.line > 0 ? snprintf(origin, sizeof origin, "%s:%u", place.name, place.line)
                           : snprintf(origin, sizeof origin, "%s", place.name);
    n = n < 0 ? 0 : n < (int)sizeof origin ? n : (int)sizeof origin - 1;
    const char *copy = tw_config_copy(load, (struct tw_str){origin, (size_t)n});
    if (copy != NULL)
        load->origins[option - tw_options] = copy;
}

static uint64_t load_number(const struct tw_option *option, const struct tw_config *config)
{
    const void *field = field_in(option, config);
    if (option->type == TW_OPTION_BOOL)
        return *(const bool *)field;
    if (option->type == TW_OPTION_DURATION_MS)
        return *(const uint64_t *)field;
    if (option->type == TW_OPTION_SIZE_BYTES)
        return *(const size_t *)field;
    return *(const uint32_t *)field;
}

static void print_duration(uint64_t value, FILE *out)
{
    if (value == 0)
        fputs("0s", out);
    for (size_t i = 0; i < TW_COUNT(duration_units); i++) {
        const struct unit *unit = &duration_units[i];
        if (value >= unit->factor)
            fprintf(out, "%" PRIu64 "%s", value / unit->factor, unit->name.p);
        value %= unit->factor;
    }
}

static void print_size(uint64_t value, FILE *out)
{
    const struct unit *unit = size_units;
    while (value == 0 ? unit->factor > 1 : value % unit->factor != 0)
        unit++;
    fprintf(out, "%" PRIu64 "%s", value / unit->factor, unit->name.p);
}

static void print_ratio(uint64_t ppm, FILE *out)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRIu64 ".%06" PRIu64, ppm / 1000000, ppm % 1000000);
    while (text[n - 1] == '0')
        n--;
    fprintf(out, "%.*s", text[n - 1] == '.' ? n - 1 : n, text);
}

void tw_config_print_list_head(size_t n, FILE *out)
{
    fputs(n == 0 ? " []\n" : "\n", out);
}

void tw_config_print_texts(struct tw_texts texts, FILE *out)
{
    putc('[', out);
    for (size_t i = 0; i < texts.n; i++) {
        fputs(i > 0 ? ", " : "", out);
        tw_config_print_text(texts.items[i], out);
    }
    putc(']', out);
}

void tw_config_print_text(const char *text, FILE *out)
{
    putc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', out);
        putc(*text, out);
    }
    putc('"', out);
}

void tw_option_print(const struct tw_option *option, const struct tw_config *config, FILE *out)
{
    if (is_text_type(option->type)) {
        const char *text = *(const char *const *)field_in(option, config);
        tw_config_print_text(option->secret && *text != '\0' ? "***" : text, out);
        return;
    }
    uint64_t value = load_number(option, config);
    if (option->type == TW_OPTION_BOOL)
        fputs(value ? "true" : "false", out);
    else if (option->type == TW_OPTION_INT_AUTO && value == 0)
        fputs("auto", out);
    else if (option->type == TW_OPTION_DURATION_MS)
        print_duration(value, out);
    else if (option->type == TW_OPTION_SIZE_BYTES)
        print_size(value, out);
    else if (option->type == TW_OPTION_RATIO_PPM)
        print_ratio(value, out);
    else
        fprintf(out, "%" PRIu64, value);
}

bool tw_option_equal(const struct tw_option *option, const struct tw_config *a,
                     const struct tw_config *b)
{
    if (is_text_type(option->type))
        return strcmp(*(const char *const *)field_in(option, a),
                      *(const char *const *)field_in(option, b)) == 0;
    return load_number(option, a) == load_number(option, b);
}

bool tw_option_copy(const struct tw_option *option, struct tw_config *to,
                    const struct tw_config *from)
{
    if (!is_text_type(option->type)) {
        store_number(option, to, load_number(option, from));
        return true;
    }
    const char *copy = tw_config_memory_text(to->memory,
                                             *(const char *const *)field_in(option, from));
    if (copy != NULL)
        *(const char **)field_of(option, to) = copy;
    return copy != NULL;
}

const char *tw_option_type_name(enum tw_option_type type)
{
    static const char *const names[] = {
        [TW_OPTION_STRING] = "text",     [TW_OPTION_CHOICE] = "choice",
        [TW_OPTION_BOOL] = "switch",     [TW_OPTION_INT] = "number",
        [TW_OPTION_INT_AUTO] = "number", [TW_OPTION_DURATION_MS] = "duration",
        [TW_OPTION_SIZE_BYTES] = "size", [TW_OPTION_RATIO_PPM] = "share",
    };
    return names[type];
}

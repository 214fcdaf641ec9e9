// SPDX-License-Identifier: Apache-2.0
#include "gateway/tls_names.h"

#include <stdlib.h>

struct entry {
    size_t value;
    size_t order;
    size_t n;
    char text[TW_TLS_NAME_MAX_BYTES];
};

struct tw_tls_names {
    size_t n, most;
    struct entry entries[];
};

struct tw_tls_names *tw_tls_names_new(size_t most)
{
    struct tw_tls_names *names = malloc(sizeof(*names) + most * sizeof(names->entries[0]));
    if (!names)
        return NULL;
    names->n = 0;
    names->most = most;
    return names;
}

void tw_tls_names_free(struct tw_tls_names *names)
{
    free(names);
}

// In lower case and without a final dot; false when it is too long or empty.
static bool normalize(struct tw_str name, char out[TW_TLS_NAME_MAX_BYTES], size_t *n)
{
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > TW_TLS_NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    *n = name.n;
    return true;
}

static bool is_name(const struct entry *entry)
{
    size_t first = entry->n > 2 && memcmp(entry->text, "*.", 2) == 0 ? 2 : 0;
    for (size_t i = first; i < entry->n; i++)
        if (entry->text[i] <= ' ' || entry->text[i] == '*' || entry->text[i] > '~')
            return false;
    return true;
}

void tw_tls_names_add(struct tw_tls_names *names, struct tw_str name, size_t value)
{
    if (names->n == names->most)
        return;
    struct entry *entry = &names->entries[names->n];
    entry->value = value;
    entry->order = names->n;
    if (normalize(name, entry->text, &entry->n) && is_name(entry))
        names->n++;
}

static int compare_text(const char *a, size_t a_n, const char *b, size_t b_n)
{
    int order = memcmp(a, b, a_n < b_n ? a_n : b_n);
    return order != 0 ? order : (a_n > b_n) - (a_n < b_n);
}

static int compare(const void *p, const void *q)
{
    const struct entry *a = p, *b = q;
    int order = compare_text(a->text, a->n, b->text, b->n);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

void tw_tls_names_sort(struct tw_tls_names *names)
{
    qsort(names->entries, names->n, sizeof(names->entries[0]), compare);
}

// The first of those that are equal.
static size_t find(const struct tw_tls_names *names, const char *text, size_t n)
{
    size_t low = 0, high = names->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct entry *entry = &names->entries[middle];
        if (compare_text(entry->text, entry->n, text, n) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct entry *entry = &names->entries[low];
    return low < names->n && compare_text(entry->text, entry->n, text, n) == 0 ? entry->value
                                                                               : TW_TLS_NAME_NONE;
}

size_t tw_tls_names_find(const struct tw_tls_names *names, struct tw_str name)
{
    char text[TW_TLS_NAME_MAX_BYTES];
    size_t n;
    if (!normalize(name, text, &n) || text[0] == '*')
        return TW_TLS_NAME_NONE;
    size_t exact = find(names, text, n);
    const char *dot = memchr(text, '.', n);
    if (exact != TW_TLS_NAME_NONE || !dot || dot == text)
        return exact;
    char *star = text + (dot - text) - 1; // the label's last byte becomes the star
    *star = '*';
    return find(names, star, n - (size_t)(star - text));
}

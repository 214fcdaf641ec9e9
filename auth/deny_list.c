// SPDX-License-Identifier: Apache-2.0
#include "auth/deny_list.h"

#include <stdlib.h>

struct entry {
    enum { DENY_JTI, DENY_SUB } kind;
    struct tw_str id; // into tw_deny_list.text
};

struct tw_deny_list {
    size_t n;
    struct entry *entries; // sorted
    char text[];
};

static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->id.n != b->id.n)
        return a->id.n < b->id.n ? -1 : 1;
    return memcmp(a->id.p, b->id.p, a->id.n);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct tw_str trimmed(struct tw_str s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = (struct tw_str){s.p + 1, s.n - 1};
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

// Takes the first line off `*rest`.
static struct tw_str next_line(struct tw_str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    struct tw_str line = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
    size_t taken = line.n + (end ? 1 : 0);
    *rest = (struct tw_str){rest->p + taken, rest->n - taken};
    return trimmed(line);
}

static bool read_entry(struct tw_str line, struct entry *out)
{
    if (line.n < 5 || !is_blank(line.p[3]))
        return false;
    struct tw_str kind = {line.p, 3};
    out->kind = tw_str_eq(kind, TW_STR("jti")) ? DENY_JTI : DENY_SUB;
    out->id = trimmed((struct tw_str){line.p + 3, line.n - 3});
    return tw_str_eq(kind, TW_STR("jti")) || tw_str_eq(kind, TW_STR("sub"));
}

static size_t count_lines(struct tw_str text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

static bool read_lines(struct tw_deny_list *list, struct tw_str text,
                       struct tw_deny_list_fault *fault)
{
    for (unsigned number = 1; text.n > 0; number++) {
        struct tw_str line = next_line(&text);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (!read_entry(line, &list->entries[list->n])) {
            *fault = (struct tw_deny_list_fault){"write \"jti ID\" or \"sub ID\"", number};
            return false;
        }
        list->n++;
    }
    qsort(list->entries, list->n, sizeof list->entries[0], compare);
    return true;
}

struct tw_deny_list *tw_deny_list_parse(struct tw_str text, struct tw_deny_list_fault *fault)
{
    *fault = (struct tw_deny_list_fault){"it is larger than 1 MiB", 0};
    if (text.n > TW_DENY_LIST_MAX_BYTES)
        return NULL;
    fault->reason = "it is not UTF-8 text";
    if (!tw_utf8_valid(text))
        return NULL;
    fault->reason = "out of memory";
    struct tw_deny_list *list = calloc(1, sizeof *list + text.n + 1);
    if (!list)
        return NULL;
    if (text.n > 0)
        memcpy(list->text, text.p, text.n);
    list->entries = calloc(count_lines(text), sizeof list->entries[0]);
    if (list->entries && read_lines(list, (struct tw_str){list->text, text.n}, fault)) {
        *fault = (struct tw_deny_list_fault){NULL, 0};
        return list;
    }
    tw_deny_list_free(list);
    return NULL;
}

static bool has(const struct tw_deny_list *list, struct entry wanted)
{
    return wanted.id.n > 0 &&
           bsearch(&wanted, list->entries, list->n, sizeof wanted, compare) != NULL;
}

bool tw_deny_list_names(const struct tw_deny_list *list, struct tw_str jti, struct tw_str sub)
{
    return list && list->n > 0 &&
           (has(list, (struct entry){DENY_JTI, jti}) || has(list, (struct entry){DENY_SUB, sub}));
}

void tw_deny_list_free(struct tw_deny_list *list)
{
    if (list)
        free(list->entries);
    free(list);
}

// SPDX-License-Identifier: Apache-2.0
#include "handlers/json_text.h"

#include <stdio.h>

struct level {
    bool is_object;
    bool wants_key;    // object: the next string is a key
    size_t index;      // array
    struct tw_str key; // object: as it stands in the text, escapes and all
};

struct walk {
    struct tw_str text;
    size_t at;
    size_t depth;
    struct level levels[TW_JSON_DEPTH_MAX];
};

// The string that begins at walk->at, without its quotes; leaves walk->at behind it.
static struct tw_str take_string(struct walk *walk)
{
    size_t begin = ++walk->at;
    if (begin < walk->text.n)
        walk->at += tw_plain_run((struct tw_str){walk->text.p + begin, walk->text.n - begin});
    while (walk->at < walk->text.n && walk->text.p[walk->at] != '"')
        walk->at += walk->text.p[walk->at] == '\\' ? 2 : 1;
    size_t end = walk->at < walk->text.n ? walk->at : walk->text.n;
    walk->at = end < walk->text.n ? end + 1 : end;
    return (struct tw_str){walk->text.p + begin, end > begin ? end - begin : 0};
}

// One byte of structure, outside of strings. False: deeper than allowed.
static bool take_structure(struct walk *walk, char c)
{
    struct level *top = walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
    if (c == '{' || c == '[') {
        if (walk->depth == TW_JSON_DEPTH_MAX)
            return false;
        walk->levels[walk->depth++] = (struct level){.is_object = c == '{', .wants_key = c == '{'};
    } else if ((c == '}' || c == ']') && top) {
        walk->depth--;
    } else if (c == ',' && top) {
        top->wants_key = top->is_object;
        top->index++;
    }
    walk->at++;
    return true;
}

static bool is_minus_zero(struct tw_str text, size_t at)
{
    if (text.p[at] != '-' || text.n - at < 2 || text.p[at + 1] != '0')
        return false;
    char next = text.n - at > 2 ? text.p[at + 2] : '\0';
    return next == '\0' || !strchr(".eE0123456789", next);
}

// Walks until `stop`, or to the first fault.
static enum tw_json_fault run(struct walk *walk, size_t stop, bool seek_minus_zero)
{
    while (walk->at < stop) {
        char c = walk->text.p[walk->at];
        if (c == '"') {
            struct level *top = walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
            struct tw_str string = take_string(walk);
            if (top && top->wants_key) {
                top->key = string;
                top->wants_key = false;
            }
        } else if (seek_minus_zero && is_minus_zero(walk->text, walk->at)) {
            return TW_JSON_MINUS_ZERO;
        } else if (!take_structure(walk, c)) {
            return TW_JSON_TOO_DEEP;
        }
    }
    return TW_JSON_FINE;
}

enum tw_json_fault tw_json_text_scan(struct tw_str text, size_t *at)
{
    struct walk walk = {.text = text};
    enum tw_json_fault fault = run(&walk, text.n, true);
    *at = walk.at;
    return fault;
}

static size_t put_step(const struct level *level, char *out, size_t cap)
{
    char index[24];
    struct tw_str step = level->key;
    if (!level->is_object) {
        int n = snprintf(index, sizeof(index), "%zu", level->index);
        step = (struct tw_str){index, (size_t)n};
    }
    size_t n = 0;
    if (step.n * 2 + 1 > cap) // rather a shorter pointer than half a step
        return 0;
    out[n++] = '/';
    for (size_t i = 0; i < step.n; i++) {
        if (step.p[i] == '~' || step.p[i] == '/') {
            out[n++] = '~';
            out[n++] = step.p[i] == '~' ? '0' : '1';
        } else {
            out[n++] = step.p[i];
        }
    }
    return n;
}

size_t tw_json_text_pointer(struct tw_str text, size_t at, char *out, size_t cap)
{
    struct walk walk = {.text = text};
    size_t n = 0;
    if (run(&walk, at < text.n ? at : text.n, false) != TW_JSON_FINE)
        return 0;
    for (size_t i = 0; i < walk.depth; i++)
        n += put_step(&walk.levels[i], out + n, cap - n);
    return n;
}

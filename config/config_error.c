// SPDX-License-Identifier: Apache-2.0
// config_error: collects what is wrong, one line each, and guesses what was meant.
//
// A line reads "file:line: key: what is wrong; what to do". Lines hold no control characters,
// whatever stood in the file. Owns nothing: lines go to the buffer tw_config_load() was given.
// Runs in: master and command line.

#include "config/internal.h"

#include <stdarg.h>

#define LINE_MAX_BYTES 1024
#define TAIL_BYTES     32 // kept free for "(and 4294967295 more)"
#define WORD_MAX       64

// Copies `line` behind what is there, if it fits whole. The first line may be cut instead.
static bool append_line(struct tw_config_load *load, const char *line)
{
    size_t n = strlen(line);
    size_t separator = load->err_used > 0 ? 1 : 0;
    size_t keep = load->err_size > 4 * TAIL_BYTES ? TAIL_BYTES : 1;
    size_t room = load->err_size > keep + load->err_used ? load->err_size - keep - load->err_used
                                                         : 0;
    if (n + separator > room) {
        if (load->err_used > 0 || room == 0)
            return false;
        n = room;
    }
    if (separator)
        load->err[load->err_used++] = '\n';
    memcpy(load->err + load->err_used, line, n);
    load->err_used += n;
    load->err[load->err_used] = '\0';
    return true;
}

static size_t write_place(char *line, size_t size, struct tw_config_place place, const char *key)
{
    const char *colon = key ? ": " : "";
    key = key ? key : "";
    int n;
    if (place.name == NULL)
        n = snprintf(line, size, "%s%s", key, colon);
    else if (place.line == 0)
        n = snprintf(line, size, "%s: %s%s", place.name, key, colon);
    else
        n = snprintf(line, size, "%s:%u: %s%s", place.name, place.line, key, colon);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

void tw_config_fail(struct tw_config_load *load, struct tw_config_place place, const char *key,
                    const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    size_t used = write_place(line, sizeof line, place, key);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - used, format, args);
    va_end(args);
    for (char *p = line; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    load->n_errors++;
    if (!append_line(load, line))
        load->n_omitted++;
}

void tw_config_fail_finish(struct tw_config_load *load)
{
    if (load->n_omitted > 0 && load->err_used < load->err_size)
        snprintf(load->err + load->err_used, load->err_size - load->err_used, "\n(and %u more)",
                 load->n_omitted);
}

// Letters compare without case, '-' as '_'.
static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c == '-' ? '_' : c;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

// Edits between two words: insert, delete, replace, or swap of neighbours (optimal string
// alignment, three rows). WORD_MAX for words that are too long.
static size_t edit_distance(struct tw_str a, struct tw_str b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    if (a.n > WORD_MAX || b.n > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b.n; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = fold(a.p[i - 1]), y = fold(b.p[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b.p[j - 2]) && fold(a.p[i - 2]) == y &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[b.n];
}

// How far off a word may be and still be taken for another one: a third of what follows its last
// dot, at least one letter and at most three.
static size_t tolerance(struct tw_str word)
{
    size_t n = 0;
    while (n < word.n && word.p[word.n - 1 - n] != '.')
        n++;
    return n / 3 < 1 ? 1 : n / 3 > 3 ? 3 : n / 3;
}

void tw_config_guess(struct tw_config_guess *guess, struct tw_str candidate)
{
    size_t distance = edit_distance(guess->word, candidate);
    if (distance > tolerance(guess->word) || (guess->best.n > 0 && distance >= guess->distance))
        return;
    guess->best = candidate;
    guess->distance = distance;
}

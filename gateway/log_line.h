// SPDX-License-Identifier: Apache-2.0
// log_line: one line of the log being written, as JSON or for people. Private to log*.c.
//
// Fields of bounded size make lines that fit, so that no request can write itself out of the log.
// For people a line begins with what every line has in columns, then values of which the place says
// what they are ("bare"), then key=value. Bytes that a terminal would act on, or that would show
// text in another order than it has, are written as escapes. Runs in: both. Pure.

#ifndef TW_LOG_LINE_H
#define TW_LOG_LINE_H

#include "gateway/json_out.h"
#include "gateway/log.h"

struct tw_log_line {
    struct tw_json json; // TW_LOG_TEXT: its buffer alone
    enum tw_log_format format;
};

// What every line has.
struct tw_log_head {
    struct tw_str time; // ISO 8601
    enum tw_level level;
    struct tw_str kind;
    const char *process;
    int worker;       // -1: none
    bool is_coloured; // of text
};

// Begins a line in `buffer`.
struct tw_log_line tw_log_line_begin(char *buffer, size_t size, enum tw_log_format format,
                                     const struct tw_log_head *head);

// Another line that begins as `begun` does, but for the time, which is as long. It must fit.
struct tw_log_line tw_log_line_begin_as(char *buffer, size_t size, enum tw_log_format format,
                                        struct tw_str begun, struct tw_str time);

// A value that may be any bytes; an empty one is left out. At most `max` bytes of it in the line's
// own notation. `key` is a literal.
void tw_log_line_str(struct tw_log_line *line, struct tw_str key, struct tw_str value, size_t max);
void tw_log_line_i64(struct tw_log_line *line, struct tw_str key, int64_t value);

// Microseconds: "durationUs":1234, or duration=1.234ms.
void tw_log_line_us(struct tw_log_line *line, struct tw_str key, uint64_t us);

// The same, where text has the value alone, filled up with spaces to `width`.
void tw_log_line_bare(struct tw_log_line *line, struct tw_str key, struct tw_str value, size_t max,
                      size_t width);

// "message", also an empty one.
void tw_log_line_message(struct tw_log_line *line, struct tw_str value, size_t max);
void tw_log_line_bare_i64(struct tw_log_line *line, struct tw_str key, int64_t value);
void tw_log_line_bare_us(struct tw_log_line *line, struct tw_str key, uint64_t us, size_t width);

// Ends it, newline included; returns its length, 0 when it did not fit.
size_t tw_log_line_end(struct tw_log_line *line);

// The place at or before p[n] where a character of UTF-8 begins.
size_t tw_log_boundary(const char *p, size_t n);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/json_out.h"

#define BUFFER_BYTES (256 * 1024)
#define LINE_BYTES   4096 // at most PIPE_BUF, so that a line is never torn in a pipe

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    const char *process;
    int worker;
    enum tw_level level;
    int fd;
    bool is_pipe;
    bool may_block; // writing to `fd` waits for its reader unless it is asked first
    uint64_t dropped;
    size_t used;
    int64_t stamp_second; // the access log's clock: formatted once per second
    char stamp[TW_ISO8601_LEN];
    char buffer[BUFFER_BYTES];
} out = {.process = "tillway", .worker = -1, .level = TW_LEVEL_INFO, .fd = STDOUT_FILENO};

// Standard output is shared with whoever started us: making it non-blocking would change it for
// them too. A pipe or terminal is therefore opened anew, which gives a description of our own. What
// cannot be opened anew, such as a socket or another user's pipe, is asked before each write.
static void own_output(void)
{
    struct stat st;
    out.fd = STDOUT_FILENO;
    out.is_pipe = out.may_block = false;
    if (fstat(STDOUT_FILENO, &st) != 0)
        return;
    if (S_ISREG(st.st_mode)) {
        (void)fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_APPEND);
        return;
    }
    int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    out.is_pipe = !S_ISCHR(st.st_mode);
    out.may_block = fd < 0;
    out.fd = fd >= 0 ? fd : STDOUT_FILENO;
}

void tw_log_open(const char *process, int worker, enum tw_level level)
{
    if (out.fd != STDOUT_FILENO)
        close(out.fd);
    out.process = process;
    out.worker = worker;
    out.level = level;
    out.used = 0; // lines of the parent are the parent's to write
    out.dropped = 0;
    own_output();
}

static void drop_lines(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out.dropped += p[i] == '\n';
}

// How much of the n bytes at p goes out in one write: everything, or whole lines up to PIPE_BUF.
static size_t portion(const char *p, size_t n)
{
    if (n <= LINE_BYTES || !(out.is_pipe || out.may_block))
        return n;
    size_t end = LINE_BYTES;
    while (end > 0 && p[end - 1] != '\n')
        end--;
    return end > 0 ? end : n;
}

// As write(2), but never waits. A pipe that is ready takes a portion without waiting, unless
// another process fills it up in between.
static ssize_t write_now(const char *p, size_t n)
{
    if (out.may_block) {
        struct pollfd ready = {.fd = out.fd, .events = POLLOUT};
        ssize_t sent = send(out.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || errno != ENOTSOCK)
            return sent;
        if (poll(&ready, 1, 0) <= 0)
            return 0;
    }
    return write(out.fd, p, n);
}

void tw_log_flush(void)
{
    size_t done = 0;
    while (done < out.used) {
        size_t n = portion(out.buffer + done, out.used - done);
        ssize_t written = write_now(out.buffer + done, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            drop_lines(out.buffer + done, out.used - done);
            break;
        }
        done += (size_t)written;
    }
    out.used = 0;
}

bool tw_log_pending(void)
{
    return out.used > 0;
}

uint64_t tw_log_take_dropped(void)
{
    uint64_t dropped = out.dropped;
    out.dropped = 0;
    return dropped;
}

// Formats the time once a second; the milliseconds are put in each time.
static struct tw_str time_now(void)
{
    int64_t now_ms = tw_unix_ms();
    if (now_ms / 1000 != out.stamp_second) {
        out.stamp_second = now_ms / 1000;
        tw_iso8601_utc(now_ms, out.stamp);
    }
    int ms = (int)(now_ms % 1000);
    out.stamp[20] = (char)('0' + ms / 100);
    out.stamp[21] = (char)('0' + ms / 10 % 10);
    out.stamp[22] = (char)('0' + ms % 10);
    return (struct tw_str){out.stamp, TW_ISO8601_LEN};
}

// A line in the buffer, begun with the keys that every line has.
static struct tw_json line_begin(enum tw_level level, struct tw_str kind)
{
    if (BUFFER_BYTES - out.used < LINE_BYTES)
        tw_log_flush();
    struct tw_json line = tw_json_fixed(out.buffer + out.used, LINE_BYTES - 1);
    tw_json_object(&line);
    TW_JSON_STR(&line, "time", time_now());
    TW_JSON_STR(&line, "level", tw_str_of(level_names[level]));
    TW_JSON_STR(&line, "kind", kind);
    TW_JSON_STR(&line, "process", tw_str_of(out.process));
    if (out.worker >= 0)
        TW_JSON_I64(&line, "worker", out.worker);
    return line;
}

static void line_end(struct tw_json *line)
{
    tw_json_object_end(line);
    if (line->failed) {
        out.dropped++;
        return;
    }
    line->p[line->n] = '\n';
    out.used += line->n + 1;
}

// ---- fields -------------------------------------------------------------------------------------

// The place at or before p[n] where a character begins.
static size_t boundary(const char *p, size_t n)
{
    size_t at = n;
    while (at > 0 && n - at < 3 && ((unsigned char)p[at] & 0xC0) == 0x80)
        at--;
    return at;
}

// As much of `value` as takes at most `max` bytes in JSON: fields of bounded size make lines that
// fit, so that no request can write itself out of the log.
static struct tw_str cut(struct tw_str value, size_t max)
{
    size_t escaped = 0;
    if (value.n <= max / 6) // \u001f is the longest escape
        return value;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        escaped += c < 0x20 || c == 0x7f ? 6 : c == '"' || c == '\\' ? 2 : 1;
        if (escaped > max)
            return (struct tw_str){value.p, boundary(value.p, i)};
    }
    return value;
}

void tw_log(enum tw_level level, const char *event, const char *fmt, ...)
{
    if (level < out.level)
        return;
    char message[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length >= sizeof(message))
        length = boundary(message, sizeof(message) - 2);

    struct tw_json line = line_begin(level, TW_STR("event"));
    TW_JSON_STR(&line, "event", tw_str_of(event));
    tw_json_key(&line, TW_STR("message"));
    tw_json_str_untrusted(&line, cut((struct tw_str){message, length}, 3500));
    line_end(&line);
    tw_log_flush();
}

static void put_optional(struct tw_json *line, struct tw_str key, struct tw_str value, size_t max)
{
    if (value.n == 0)
        return;
    tw_json_key(line, key);
    tw_json_str_untrusted(line, cut(value, max));
}

void tw_log_access(const struct tw_log_access *entry)
{
    enum tw_level level = entry->level > TW_LEVEL_INFO ? entry->level : TW_LEVEL_INFO;
    if (level < out.level)
        return;
    struct tw_json line = line_begin(level, TW_STR("access"));
    // The limits and some 300 bytes for keys and numbers stay below LINE_BYTES.
    put_optional(&line, TW_STR("requestId"), entry->request_id, 64);
    put_optional(&line, TW_STR("method"), entry->method, 32);
    put_optional(&line, TW_STR("path"), entry->path, 2000);
    put_optional(&line, TW_STR("route"), entry->route, 256);
    TW_JSON_I64(&line, "status", entry->http_status);
    put_optional(&line, TW_STR("code"), entry->code, 64);
    TW_JSON_I64(&line, "bytes", (int64_t)entry->bytes_sent);
    TW_JSON_I64(&line, "durationUs", (int64_t)entry->duration_us);
    put_optional(&line, TW_STR("protocol"), entry->protocol, 16);
    put_optional(&line, TW_STR("peer"), entry->peer, 64);
    put_optional(&line, TW_STR("client"), entry->client, 64);
    put_optional(&line, TW_STR("sub"), entry->subject, 512);
    put_optional(&line, TW_STR("traceparent"), entry->traceparent, 128);
    line_end(&line);
}

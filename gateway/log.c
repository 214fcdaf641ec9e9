// SPDX-License-Identifier: Apache-2.0
#include "gateway/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log_line.h"

#define BUFFER_BYTES (256 * 1024)
#define LINE_BYTES   4096 // at most PIPE_BUF, so that a line is never torn in a pipe

// How the last line began. The next one begins so too, but for the time, if its level and its kind
// are the same, as under load they are.
struct begun {
    enum tw_level level;
    struct tw_str kind; // a literal
    size_t n;           // 0: none
    char text[256];
};

static struct {
    const char *process;
    int worker;
    struct tw_log_setup setup;
    int fd;
    bool is_pipe;
    bool is_own; // to be closed here
    bool is_file;
    bool is_torn; // the file ends with a piece of a line
    bool is_coloured;
    bool may_block; // writing to `fd` waits for its reader unless it is asked first
    uint64_t dropped;
    size_t used;
    int64_t stamp_second; // the access log's clock: formatted once per second
    char stamp[TW_ISO8601_LEN];
    struct begun begun;
    char buffer[BUFFER_BYTES];
} out = {.process = "tillway",
         .worker = -1,
         .setup = {.level = TW_LEVEL_INFO, .fd = -1},
         .fd = STDOUT_FILENO,
         .stamp_second = -1};

// Standard output is shared with whoever started us: making it non-blocking would change it for
// them too. A pipe or terminal is therefore opened anew, which gives a description of our own. What
// cannot be opened anew, such as a socket or another user's pipe, is asked before each write.
static void own_standard_output(const struct stat *st)
{
    if (S_ISREG(st->st_mode)) {
        (void)fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_APPEND);
        return;
    }
    int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    out.may_block = fd < 0;
    out.is_own = fd >= 0;
    out.fd = fd >= 0 ? fd : STDOUT_FILENO;
}

// What log_file.h opens is non-blocking and appends already.
static void set_output(int fd)
{
    struct stat st;
    if (out.is_own)
        close(out.fd);
    out.fd = fd >= 0 ? fd : STDOUT_FILENO;
    out.begun.n = 0;
    out.is_own = out.is_pipe = out.may_block = out.is_coloured = out.is_file = out.is_torn = false;
    if (fstat(out.fd, &st) != 0)
        return;
    out.is_file = S_ISREG(st.st_mode);
    out.is_pipe = !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode);
    out.is_coloured = S_ISCHR(st.st_mode) && isatty(out.fd) && !getenv("NO_COLOR");
    if (out.fd == STDOUT_FILENO)
        own_standard_output(&st);
}

void tw_log_open(const char *process, int worker, const struct tw_log_setup *setup)
{
    out.process = process;
    out.worker = worker;
    out.setup = *setup;
    out.used = 0; // lines of the parent are the parent's to write
    out.dropped = 0;
    set_output(setup->fd);
}

void tw_log_use(int fd)
{
    tw_log_flush();
    set_output(fd);
}

void tw_log_replace(int before, int fd)
{
    if (out.fd == before)
        tw_log_use(fd);
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

// ---- a full disk --------------------------------------------------------------------------------

// The file ends with these bytes.
static bool ends_with(const char *p, size_t n, off_t *begin)
{
    char end[LINE_BYTES];
    struct stat st;
    if (fstat(out.fd, &st) != 0 || st.st_size < (off_t)n || n > sizeof(end))
        return false;
    *begin = st.st_size - (off_t)n;
    return pread(out.fd, end, n, *begin) == (ssize_t)n && memcmp(end, p, n) == 0;
}

// A write into a file has ended within a line, `n` bytes at p of it: the disk is full. They are
// taken back, so that the next line is one again. If they cannot be, it gets a line's end before
// it.
static void take_back(const char *p, size_t n)
{
    off_t begin;
    out.is_torn = !ends_with(p, n, &begin) || ftruncate(out.fd, begin) != 0;
}

// How much of a line stands at the end of what was written.
static size_t torn_bytes(const char *p, size_t n)
{
    size_t torn = 0;
    while (torn < n && p[n - 1 - torn] != '\n')
        torn++;
    return torn;
}

static void mend(void)
{
    if (out.is_torn && write_now("\n", 1) == 1)
        out.is_torn = false;
}

// ---- out ----------------------------------------------------------------------------------------

// What was written ends within a line: the rest is dropped with all that stands behind it.
static void give_up_torn(size_t done)
{
    size_t torn = out.is_file ? torn_bytes(out.buffer, done) : 0;
    if (torn > 0)
        take_back(out.buffer + done - torn, torn);
    drop_lines(out.buffer + done, out.used - done);
}

void tw_log_flush(void)
{
    size_t done = 0;
    if (out.used > 0)
        mend();
    while (done < out.used) {
        size_t n = portion(out.buffer + done, out.used - done);
        ssize_t written = write_now(out.buffer + done, n);
        if (written < 0 && errno == EINTR)
            continue;
        done += written > 0 ? (size_t)written : 0;
        if (written <= 0 || (out.is_file && (size_t)written < n)) {
            give_up_torn(done);
            break;
        }
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
static struct tw_str time_of(int64_t unix_ms)
{
    if (unix_ms / 1000 != out.stamp_second) {
        out.stamp_second = unix_ms / 1000;
        tw_iso8601_utc(unix_ms, out.stamp);
    }
    int ms = (int)(unix_ms % 1000);
    out.stamp[20] = (char)('0' + ms / 100);
    out.stamp[21] = (char)('0' + ms / 10 % 10);
    out.stamp[22] = (char)('0' + ms % 10);
    return (struct tw_str){out.stamp, TW_ISO8601_LEN};
}

static void keep_begun(enum tw_level level, struct tw_str kind, const struct tw_log_line *line)
{
    struct begun *begun = &out.begun;
    begun->level = level;
    begun->kind = kind;
    begun->n = line->json.n <= sizeof(begun->text) ? line->json.n : 0;
    memcpy(begun->text, line->json.p, begun->n);
}

// A line in the buffer, begun with what every line has. `kind` is a literal.
static struct tw_log_line line_begin(enum tw_level level, struct tw_str kind, int64_t unix_ms)
{
    if (BUFFER_BYTES - out.used < LINE_BYTES)
        tw_log_flush();
    char *p = out.buffer + out.used;
    const struct tw_log_head head = {.time = time_of(unix_ms),
                                     .level = level,
                                     .kind = kind,
                                     .process = out.process,
                                     .worker = out.worker,
                                     .is_coloured = out.is_coloured};
    if (out.begun.n > 0 && out.begun.level == level && tw_str_eq(out.begun.kind, kind))
        return tw_log_line_begin_as(p, LINE_BYTES, out.setup.format,
                                    (struct tw_str){out.begun.text, out.begun.n}, head.time);
    struct tw_log_line line = tw_log_line_begin(p, LINE_BYTES, out.setup.format, &head);
    keep_begun(level, kind, &line);
    return line;
}

static void line_end(struct tw_log_line *line)
{
    size_t n = tw_log_line_end(line);
    out.dropped += n == 0;
    out.used += n;
}

// ---- kinds --------------------------------------------------------------------------------------

static void TW_PRINTF(4, 0) log_event(struct tw_str request_id, enum tw_level level,
                                      const char *event, const char *fmt, va_list args)
{
    char message[1024];
    int n = vsnprintf(message, sizeof(message), fmt, args);
    size_t length = n < 0 ? 0 : (size_t)n;
    if (length >= sizeof(message))
        length = tw_log_boundary(message, sizeof(message) - 2);

    struct tw_str kind = level >= TW_LEVEL_ERROR ? TW_STR("error") : TW_STR("event");
    struct tw_log_line line = line_begin(level, kind, tw_unix_ms());
    tw_log_line_bare(&line, TW_STR("event"), tw_str_of(event), 64, 0);
    tw_log_line_message(&line, (struct tw_str){message, length}, 3500);
    tw_log_line_str(&line, TW_STR("requestId"), request_id, 64);
    line_end(&line);
    tw_log_flush();
}

void tw_log(enum tw_level level, const char *event, const char *fmt, ...)
{
    va_list args;
    if (level < out.setup.level)
        return;
    va_start(args, fmt);
    log_event(TW_STR(""), level, event, fmt, args);
    va_end(args);
}

void tw_log_for(struct tw_str request_id, enum tw_level level, const char *event, const char *fmt,
                ...)
{
    va_list args;
    if (level < out.setup.level)
        return;
    va_start(args, fmt);
    log_event(request_id, level, event, fmt, args);
    va_end(args);
}

// Who, and which request.
static void put_ids(struct tw_log_line *line, const struct tw_log_access *entry)
{
    tw_log_line_str(line, TW_STR("principal"), entry->principal, 64);
    tw_log_line_str(line, TW_STR("sub"), entry->subject, 512);
    tw_log_line_str(line, TW_STR("requestId"), entry->request_id, 64);
    tw_log_line_str(line, TW_STR("traceId"), entry->trace_id, 32);
}

void tw_log_access(const struct tw_log_access *entry)
{
    enum tw_level level = entry->level > TW_LEVEL_INFO ? entry->level : TW_LEVEL_INFO;
    if (level < out.setup.level)
        return;
    struct tw_log_line line = line_begin(level, TW_STR("access"), entry->unix_ms);
    // The limits and some 400 bytes for keys and numbers stay below LINE_BYTES.
    tw_log_line_bare_i64(&line, TW_STR("status"), entry->http_status);
    tw_log_line_bare_us(&line, TW_STR("durationUs"), entry->duration_us, 4);
    tw_log_line_bare(&line, TW_STR("method"), entry->method, 32, 6);
    tw_log_line_bare(&line, TW_STR("path"), entry->path, 2000, 0);
    tw_log_line_str(&line, TW_STR("route"), entry->route, 256);
    tw_log_line_str(&line, TW_STR("code"), entry->code, 64);
    if (entry->n_statements > 0) {
        tw_log_line_us(&line, TW_STR("queueUs"), entry->queue_us);
        tw_log_line_us(&line, TW_STR("dbUs"), entry->db_us);
    }
    tw_log_line_i64(&line, TW_STR("bytes"), (int64_t)entry->bytes_sent);
    tw_log_line_str(&line, TW_STR("protocol"), entry->protocol, 16);
    tw_log_line_str(&line, TW_STR("peer"), entry->peer, 64);
    tw_log_line_str(&line, TW_STR("client"), entry->client, 64);
    put_ids(&line, entry);
    line_end(&line);
}

void tw_log_audit(const struct tw_log_access *entry, const char *outcome, struct tw_str entity,
                  struct tw_str store)
{
    struct tw_log_line line = line_begin(TW_LEVEL_INFO, TW_STR("audit"), entry->unix_ms);
    tw_log_line_bare_i64(&line, TW_STR("status"), entry->http_status);
    tw_log_line_bare(&line, TW_STR("outcome"), tw_str_of(outcome), 16, 8);
    tw_log_line_bare(&line, TW_STR("method"), entry->method, 32, 6);
    tw_log_line_bare(&line, TW_STR("entity"), entity, 1000, 0);
    tw_log_line_str(&line, TW_STR("route"), entry->route, 256);
    tw_log_line_str(&line, TW_STR("code"), entry->code, 64);
    tw_log_line_str(&line, TW_STR("store"), store, 256);
    tw_log_line_str(&line, TW_STR("peer"), entry->peer, 64);
    tw_log_line_str(&line, TW_STR("client"), entry->client, 64);
    put_ids(&line, entry);
    line_end(&line);
}

void tw_log_failure(const struct tw_log_access *entry, const char *message)
{
    if (entry->level < out.setup.level)
        return;
    struct tw_log_line line = line_begin(entry->level, TW_STR("error"), entry->unix_ms);
    tw_log_line_bare(&line, TW_STR("event"), TW_STR("request_failed"), 64, 0);
    tw_log_line_message(&line, tw_str_of(message), 1000);
    tw_log_line_i64(&line, TW_STR("status"), entry->http_status);
    tw_log_line_str(&line, TW_STR("code"), entry->code, 64);
    tw_log_line_str(&line, TW_STR("method"), entry->method, 32);
    tw_log_line_str(&line, TW_STR("path"), entry->path, 1000);
    tw_log_line_str(&line, TW_STR("route"), entry->route, 256);
    tw_log_line_us(&line, TW_STR("durationUs"), entry->duration_us);
    put_ids(&line, entry);
    line_end(&line);
}

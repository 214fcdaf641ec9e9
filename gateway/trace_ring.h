// SPDX-License-Identifier: Apache-2.0
// trace_ring: how a worker hands finished traces to the master: a ring in shared memory.
//
// One writer (the worker of that index, and whoever replaces it), one reader (the master). Neither
// waits: a ring that is full costs the trace, which the worker counts. A worker that dies within a
// record leaves none, as the record counts only when it is committed. What is read was written by
// a process that speaks with strangers: the reader copies a record before it believes its lengths.
// Runs in: worker (writes), master (makes, reads).

#ifndef TW_TRACE_RING_H
#define TW_TRACE_RING_H

#include "gateway/trace_context.h"

#define TW_TRACE_RING_RECORDS   512
#define TW_TRACE_STATEMENTS_MAX 4
#define TW_TRACE_TEXT_MAX       704

// Microseconds since the request began; nothing of it happened while begin_us == end_us == 0.
struct tw_trace_part {
    uint32_t begin_us, end_us;
};

enum tw_trace_part_kind {
    TW_TRACE_LIMIT_ADDRESS,
    TW_TRACE_AUTH,
    TW_TRACE_LIMIT_PRINCIPAL,
    TW_TRACE_SERIALISE,
    TW_TRACE_PARTS
};

// Texts of a record, one behind the other.
enum tw_trace_text {
    TW_TRACE_METHOD,
    TW_TRACE_PATH,
    TW_TRACE_HOST, // as the client wrote it, with its port
    TW_TRACE_CLIENT,
    TW_TRACE_REQUEST_ID,
    TW_TRACE_STATE, // tracestate
    TW_TRACE_TEXTS
};

struct tw_trace_statement {
    uint16_t stmt;   // enum tw_stmt
    uint16_t status; // enum tw_status
    struct tw_trace_part queue, server;
};

// One request and what was done for it.
struct tw_trace_record {
    struct tw_trace_context context; // span_id: of the request here
    unsigned char parent_id[TW_SPAN_ID_BYTES];
    uint8_t has_parent, is_tls, has_principal; // 0 or 1; not bool: nobody vouches for them
    uint8_t http_version;                      // 10, 11 or 20
    uint16_t row;                              // 0, or route index + 1
    uint16_t status;                           // enum tw_status
    uint16_t http_status;
    uint16_t n_statements;
    uint16_t text_n[TW_TRACE_TEXTS];
    uint32_t total_us;
    uint64_t begin_unix_us;
    uint64_t bytes_sent;
    char principal[16]; // its hash in the log
    struct tw_trace_part parts[TW_TRACE_PARTS];
    struct tw_trace_statement statements[TW_TRACE_STATEMENTS_MAX];
    char text[TW_TRACE_TEXT_MAX];
};

struct tw_trace_ring;

// n rings in memory that is shared with children; NULL when it is refused.
struct tw_trace_ring *tw_trace_rings_new(unsigned n);
void tw_trace_rings_free(struct tw_trace_ring *rings, unsigned n); // NULL is fine
struct tw_trace_ring *tw_trace_ring_at(struct tw_trace_ring *rings, unsigned index);

// Worker: room for the next record, or NULL; then that it is complete.
struct tw_trace_record *tw_trace_ring_room(struct tw_trace_ring *ring);
void tw_trace_ring_commit(struct tw_trace_ring *ring);

// Master: copies the oldest record out. False when there is none.
bool tw_trace_ring_take(struct tw_trace_ring *ring, struct tw_trace_record *out);

// A text of a record; lengths that cannot be are taken for 0.
struct tw_str tw_trace_record_text(const struct tw_trace_record *record, enum tw_trace_text which);

// Adds the next text, in the order of the enum, cut to `max` bytes.
void tw_trace_record_put(struct tw_trace_record *record, enum tw_trace_text which,
                         struct tw_str value, size_t max);

#endif

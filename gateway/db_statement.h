// SPDX-License-Identifier: Apache-2.0
// db_statement: THE statements, one per file of db/queries/, embedded at build.
//
// `tw_statements[TW_STMT_PRODUCT_GET]` is db/queries/product_get.sql. Runs in: worker. Data only.

#ifndef TW_DB_STATEMENT_H
#define TW_DB_STATEMENT_H

#include "gateway/base.h"
#include "gen/statements.h"

// Each lane has its own connections, timeout and queue, so that a report never delays a sale.
// SESSION and MIGRATE are no lanes: statements that set up a connection, or run by the command
// line.
enum tw_lane {
    TW_LANE_FAST,
    TW_LANE_WRITE,
    TW_LANE_SLOW,
    TW_LANE_COUNT,
    TW_LANE_SESSION,
    TW_LANE_MIGRATE
};

enum tw_stmt {
#define XX(name, lane, kind) TW_STMT_##name,
    TW_STATEMENT_MAP(XX)
#undef XX
        TW_STMT_COUNT
};

// Whose queries are refused when there is more work than PostgreSQL can do (db_shed.h): the last
// ones first.
enum tw_priority {
    TW_PRIORITY_SALE,
    TW_PRIORITY_REFUND, // and every other write
    TW_PRIORITY_LOOKUP,
    TW_PRIORITY_LIST,
    TW_PRIORITY_REPORT,
    TW_PRIORITY_COUNT
};

struct tw_statement {
    const char *name;
    enum tw_lane lane;
    enum tw_priority priority;
    bool is_write;
    int n_params;
    const char *gather; // how queries share a call (db_gather.h); NULL: each has its own
    const char *sql;
};

extern const struct tw_statement tw_statements[];

// The SQLSTATE of TW_STMT_TIME_ZONE for a name that is no zone (invalid_parameter_value).
#define TW_DB_UNKNOWN_ZONE "22023"

#endif

// SPDX-License-Identifier: Apache-2.0
// status: THE list of everything that can go wrong with a request.
//
// One line per failure: name, stable code (part of the API: never renamed), HTTP status, title, log
// level. `docs/errors.md` is generated from it. RFC 9457 problem documents carry `code`; the
// wording of a `detail` is free, the code is not. Runs in: master and worker. Pure.

#ifndef TW_STATUS_H
#define TW_STATUS_H

#include "gateway/base.h"

// XX(NAME, code, http, title, level)
#define TW_STATUS_MAP(XX)                                                                         \
    XX(OK, "ok", 200, "OK", INFO)                                                                 \
    XX(BAD_REQUEST, "bad-request", 400, "Bad Request", INFO)                                      \
    XX(INVALID_TARGET, "invalid-target", 400, "Request target is not in canonical form", INFO)    \
    XX(MALFORMED_JSON, "malformed-json", 400, "Body is not valid JSON", INFO)                     \
    XX(INVALID_PARAMETER, "invalid-parameter", 400, "Invalid parameter", INFO)                    \
    XX(UNKNOWN_PARAMETER, "unknown-parameter", 400, "Unknown query parameter", INFO)              \
    XX(IDEMPOTENCY_KEY_MISSING, "idempotency-key-missing", 400, "Idempotency key required", INFO) \
    XX(BODY_MISSING, "body-missing", 400, "Body required", INFO)                                  \
    XX(BODY_UNEXPECTED, "body-unexpected", 400, "No body expected", INFO)                         \
    XX(TOKEN_MISSING, "token-missing", 401, "Authentication required", INFO)                      \
    XX(TOKEN_INVALID, "token-invalid", 401, "Token is not valid", INFO)                           \
    XX(TOKEN_EXPIRED, "token-expired", 401, "Token has expired", INFO)                            \
    XX(FORBIDDEN, "forbidden", 403, "Not allowed for this principal", INFO)                       \
    XX(INSUFFICIENT_SCOPE, "insufficient-scope", 403, "Token lacks a scope", INFO)                \
    XX(CROSS_SITE, "cross-site", 403, "Not for browsers", INFO)                                   \
    XX(NOT_FOUND, "not-found", 404, "Not found", INFO)                                            \
    XX(METHOD_NOT_ALLOWED, "method-not-allowed", 405, "Method not allowed", INFO)                 \
    XX(NOT_ACCEPTABLE, "not-acceptable", 406, "No acceptable form of the answer", INFO)           \
    XX(REQUEST_TIMEOUT, "request-timeout", 408, "Request took too long to arrive", INFO)          \
    XX(ALREADY_EXISTS, "already-exists", 409, "Already exists", INFO)                             \
    XX(INSUFFICIENT_STOCK, "insufficient-stock", 409, "Not enough stock", INFO)                   \
    XX(ORDER_NOT_OPEN, "order-not-open", 409, "Order is not open any more", INFO)                 \
    XX(CHANGE_IN_PROGRESS, "change-in-progress", 409, "Something else comes first", INFO)         \
    XX(RELOAD_FAILED, "reload-failed", 409, "New workers could not take over", INFO)              \
    XX(PRECONDITION_FAILED, "precondition-failed", 412, "Not in the state expected", INFO)        \
    XX(TRANSACTION_VOIDED, "transaction-voided", 409, "Sale was voided", INFO)                    \
    XX(TRANSACTION_REFUNDED, "transaction-refunded", 409, "Sale was refunded", INFO)              \
    XX(VOID_TOO_LATE, "void-too-late", 409, "Business day is over", INFO)                         \
    XX(REFUND_EXCEEDS, "refund-exceeds", 409, "Refund exceeds the sale", INFO)                    \
    XX(PAYLOAD_TOO_LARGE, "payload-too-large", 413, "Request body is too large", INFO)            \
    XX(URI_TOO_LONG, "uri-too-long", 414, "Request target is too long", INFO)                     \
    XX(UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", 415, "Unsupported media type", INFO)     \
    XX(EXPECTATION_FAILED, "expectation-failed", 417, "Expectation failed", INFO)                 \
    XX(MISDIRECTED, "misdirected", 421, "Not a name of this server", INFO)                        \
    XX(VALIDATION_FAILED, "validation-failed", 422, "Validation failed", INFO)                    \
    XX(CONFIG_INVALID, "config-invalid", 422, "Configuration is not valid", INFO)                 \
    XX(UNKNOWN_PRODUCT, "unknown-product", 422, "Unknown product", INFO)                          \
    XX(UNKNOWN_STORE, "unknown-store", 422, "Unknown store", INFO)                                \
    XX(UNKNOWN_CUSTOMER, "unknown-customer", 422, "Unknown customer", INFO)                       \
    XX(UNKNOWN_LINE, "unknown-line", 422, "Unknown line", INFO)                                   \
    XX(TOTAL_MISMATCH, "total-mismatch", 422, "Total does not match", INFO)                       \
    XX(PAYMENT_MISMATCH, "payment-mismatch", 422, "Payments do not cover the total", INFO)        \
    XX(DISCOUNT_TOO_LARGE, "discount-too-large", 422, "Discount exceeds the line", INFO)          \
    XX(AMOUNT_OUT_OF_RANGE, "amount-out-of-range", 422, "Amount is out of range", INFO)           \
    XX(IDEMPOTENCY_MISMATCH, "idempotency-mismatch", 422, "Idempotency key was used", INFO)       \
    XX(QUOTA_EXCEEDED, "quota-exceeded", 429, "Too many requests", INFO)                          \
    XX(TOO_MANY_IN_PROGRESS, "too-many-in-progress", 429, "Too many requests in progress", INFO)  \
    XX(HEAD_TOO_LARGE, "head-too-large", 431, "Request header fields are too large", INFO)        \
    XX(INTERNAL, "internal", 500, "Internal error", ERROR)                                        \
    XX(NOT_IMPLEMENTED, "not-implemented", 501, "Transfer coding is not implemented", INFO)       \
    XX(DATABASE_UNAVAILABLE, "database-unavailable", 503, "Database is not reachable", WARN)      \
    XX(OVERLOADED, "overloaded", 503, "Too busy", WARN)                                           \
    XX(OUTCOME_UNKNOWN, "outcome-unknown", 503, "Outcome is not known yet", WARN)                 \
    XX(KEYS_UNAVAILABLE, "keys-unavailable", 503, "Token keys are not loaded yet", WARN)          \
    XX(DEADLINE_EXCEEDED, "deadline-exceeded", 504, "Took too long", WARN)                        \
    XX(HTTP_VERSION_NOT_SUPPORTED, "http-version-not-supported", 505,                             \
       "HTTP version is not supported", INFO)

enum tw_level { TW_LEVEL_DEBUG, TW_LEVEL_INFO, TW_LEVEL_WARN, TW_LEVEL_ERROR };

enum tw_status {
#define XX(name, code, http, title, level) TW_##name,
    TW_STATUS_MAP(XX)
#undef XX
        TW_STATUS_COUNT
};

struct tw_status_info {
    const char *code;
    uint16_t http;
    const char *title;
    enum tw_level level;
};

// Never NULL for a value of the enum.
const struct tw_status_info *tw_status_info(enum tw_status status);

// The status whose code this is, for verdicts that come as text from SQL; TW_INTERNAL if unknown.
enum tw_status tw_status_by_code(struct tw_str code);

#endif

// SPDX-License-Identifier: Apache-2.0
// schema: a JSON body against a table of fields, into a plain struct; every fault is collected.
//
// A table row says name, type, bounds and where the value goes. Faults are answered together as
// 422 `validation-failed` with a JSON pointer each; text that is not JSON is 400 `malformed-json`.
// A name that no row has is a fault too: a mistyped "discuont" must not sell at full price.
// Not for: rules between fields (handlers) or against the database (SQL). Runs in: worker.

#ifndef TW_SCHEMA_H
#define TW_SCHEMA_H

#include "gateway/reply.h"
#include "gateway/request.h"
#include "gateway/uuid.h"

enum tw_field_type {
    TW_FIELD_TEXT,      // struct tw_str; min and max count bytes; p is NULL when absent
    TW_FIELD_TOKEN,     // struct tw_str of letters, digits, '-', '_', '.', ':' only
    TW_FIELD_MONEY,     // struct tw_number, minor units of the currency
    TW_FIELD_QUANTITY,  // struct tw_number, thousandths
    TW_FIELD_INTEGER,   // struct tw_number
    TW_FIELD_RATE,      // struct tw_number, millionths: 0.2 is 20 %
    TW_FIELD_UUID,      // struct tw_optional_uuid
    TW_FIELD_BOOL,      // struct tw_optional_bool
    TW_FIELD_LIST,      // struct tw_list of structs; min and max count elements
    TW_FIELD_READ_ONLY, // what our answers contain and a client may send back: not looked at
};

struct tw_number {
    bool present;
    int64_t value;
};

struct tw_optional_uuid {
    bool present;
    struct tw_uuid value;
};

struct tw_optional_bool {
    bool present;
    bool value;
};

struct tw_list {
    void *items;
    size_t n;
};

struct tw_schema;

struct tw_field {
    const char *name;
    enum tw_field_type type;
    size_t offset; // in the parsed struct
    bool required;
    int64_t min, max;
    const struct tw_schema *element; // LIST
    size_t null_at; // offset of a bool that null sets (a merge patch); 0: null is as if left out
    bool not_null;  // it may be left out, but null is a fault (a merge patch)
};

struct tw_schema {
    const struct tw_field *fields;
    size_t n;
    size_t size; // of the parsed struct
};

// A row for the member `field` of struct `of`; more of it may follow: .element = …, .null_at = ….
#define TW_FIELD(of, json_name, field, kind, is_required, least, most, ...)               \
    {                                                                                     \
        .name = json_name, .type = TW_FIELD_##kind, .offset = offsetof(struct of, field), \
        .required = is_required, .min = least, .max = most, __VA_ARGS__                   \
    }
#define TW_READ_ONLY(json_name)                       \
    {                                                 \
        .name = json_name, .type = TW_FIELD_READ_ONLY \
    }

// What is wrong with a text. Its parts are the request's, or constants.
struct tw_faults {
    enum tw_status status; // TW_MALFORMED_JSON or TW_VALIDATION_FAILED; of a handler's own: any
    const char *detail;
    const struct tw_problem_error *errors; // pointers begin at the text's root
    size_t n_errors;
};

// Parses a text, which may be one of many in a body, into `out` (schema->size bytes, zeroed first),
// whose texts and lists live in the request's pool. False: `*faults` says why.
TW_MUST_USE bool tw_text_parse(struct tw_req *req, struct tw_str text,
                               const struct tw_schema *schema, void *out, struct tw_faults *faults);

// The answer that tells of them.
TW_MUST_USE struct tw_verdict tw_fail_faults(struct tw_req *req, const struct tw_faults *faults);

// Parses the request's body into `out` (schema->size bytes, zeroed first), whose texts and lists
// live in the request's pool. False: the request has been answered, and `*verdict` is the proof.
TW_MUST_USE bool tw_body_parse(struct tw_req *req, const struct tw_schema *schema, void *out,
                               struct tw_verdict *verdict);

// One element of a body that is an array. n_errors > 0: `value` is not to be used.
struct tw_parsed {
    void *value; // schema->size bytes
    const struct tw_problem_error *errors;
    size_t n_errors;
};

// The same for an array of 1 to `max` objects, each judged on its own: the faults of one are no
// fault of the others. Their pointers begin at the element, as if it had been sent alone.
TW_MUST_USE bool tw_body_parse_each(struct tw_req *req, const struct tw_schema *schema, size_t max,
                                    struct tw_parsed **out, size_t *n, struct tw_verdict *verdict);

#endif

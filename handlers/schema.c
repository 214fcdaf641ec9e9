// SPDX-License-Identifier: Apache-2.0
#include "handlers/schema.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "gateway/json_memory.h"
#include "handlers/json_text.h"
#include "handlers/money.h"

#define ERRORS_MAX  50 // enough to mend a body by; more would only cost
#define POINTER_MAX 128
#define FIELDS_MAX  40 // of any table

// One step of the way to a value: the member `name` of an object, or an element of an array. The
// steps lie on the stack; a pointer is written of them when there is a fault to be told.
struct step {
    const struct step *above; // NULL: the first one
    const char *name;         // NULL: an element
    size_t index;
};

struct parser {
    struct tw_req *req;
    const struct step *at; // the value at hand
    size_t n_errors;
    struct tw_problem_error errors[ERRORS_MAX];
};

static struct tw_str pool_copy(struct tw_req *req, const char *p, size_t n)
{
    char *copy = tw_req_alloc(req, n + 1);
    memcpy(copy, p, n);
    copy[n] = '\0';
    return (struct tw_str){copy, n};
}

// Goes one step down in a pointer of n bytes (RFC 6901: '~' and '/' are escaped), as far as there
// is room for whole characters; returns its length. The parser has made sure that `name` is UTF-8.
static size_t put_step(char pointer[POINTER_MAX], size_t n, const char *name)
{
    if (n < POINTER_MAX)
        pointer[n++] = '/';
    for (; *name && n + 2 <= POINTER_MAX; name++) {
        if (*name == '~' || *name == '/') {
            pointer[n++] = '~';
            pointer[n++] = *name == '~' ? '0' : '1';
        } else {
            pointer[n++] = *name;
        }
    }
    if (((unsigned char)*name & 0xC0) == 0x80) { // cut within a character: it goes as a whole
        while (((unsigned char)pointer[n - 1] & 0xC0) == 0x80)
            n--;
        n--;
    }
    return n;
}

// The steps are as many as tables are nested: a few.
static size_t put_pointer(char pointer[POINTER_MAX], const struct step *step)
{
    char index[24];
    if (!step)
        return 0;
    size_t n = put_pointer(pointer, step->above);
    (void)snprintf(index, sizeof(index), "%zu", step->index);
    return put_step(pointer, n, step->name ? step->name : index);
}

static void fault(struct parser *parser, const char *code, const char *fmt, ...) TW_PRINTF(3, 4);

static void fault(struct parser *parser, const char *code, const char *fmt, ...)
{
    if (parser->n_errors == ERRORS_MAX)
        return;
    char detail[160], pointer[POINTER_MAX];
    size_t pointer_n = put_pointer(pointer, parser->at);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof(detail) ? (size_t)n : sizeof(detail) - 1;
    parser->errors[parser->n_errors++] = (struct tw_problem_error){
        .pointer = pool_copy(parser->req, pointer, pointer_n),
        .code = code,
        .detail = pool_copy(parser->req, detail, length),
    };
}

// ---- values -------------------------------------------------------------------------------------

static bool is_token(struct tw_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              strchr("-_.:", c)))
            return false;
    }
    return true;
}

static void parse_text(struct parser *parser, const struct tw_field *field, const json_t *json,
                       struct tw_str *out)
{
    if (!json_is_string(json)) {
        fault(parser, "type", "Must be a string.");
        return;
    }
    struct tw_str text = {json_string_value(json), json_string_length(json)};
    if (text.n < (size_t)field->min || text.n > (size_t)field->max)
        fault(parser, "length", "Must have %lld to %lld bytes.", (long long)field->min,
              (long long)field->max);
    else if (field->type == TW_FIELD_TOKEN && !is_token(text))
        fault(parser, "format", "Only letters, digits and - _ . : are allowed.");
    else
        *out = pool_copy(parser->req, text.p, text.n);
}

static unsigned decimals_of(const struct parser *parser, enum tw_field_type type)
{
    return type == TW_FIELD_MONEY      ? parser->req->config->pos_currency_decimals
           : type == TW_FIELD_QUANTITY ? 3
           : type == TW_FIELD_INTEGER  ? 0
                                       : 6;
}

static void parse_number(struct parser *parser, const struct tw_field *field, const json_t *json,
                         struct tw_number *out)
{
    unsigned decimals = decimals_of(parser, field->type);
    int64_t value = 0;
    enum tw_decimal result;
    if (json_is_integer(json)) {
        result = tw_decimal_from_integer(json_integer_value(json), decimals, &value);
    } else if (json_is_real(json)) {
        result = tw_decimal_from_real(json_real_value(json), decimals, &value);
    } else {
        fault(parser, "type", "Must be a number.");
        return;
    }
    double unit = decimals == 0 ? 1 : decimals == 2 ? 100 : decimals == 3 ? 1000 : 1000000;
    if (result == TW_DECIMAL_TOO_PRECISE)
        fault(parser, "decimals", "At most %u decimals are allowed.", decimals);
    else if (result != TW_DECIMAL_OK || value < field->min || value > field->max)
        fault(parser, "range", "Must be from %.*f to %.*f.", (int)decimals,
              (double)field->min / unit, (int)decimals, (double)field->max / unit);
    else
        *out = (struct tw_number){true, value};
}

static void parse_uuid(struct parser *parser, const json_t *json, struct tw_optional_uuid *out)
{
    struct tw_str text = {json_string_value(json), json_string_length(json)};
    if (!json_is_string(json))
        fault(parser, "type", "Must be a string.");
    else if (!tw_uuid_parse(text, &out->value))
        fault(parser, "format", "Must be a UUID.");
    else
        out->present = true;
}

static void parse_bool(struct parser *parser, const json_t *json, struct tw_optional_bool *out)
{
    if (json_is_boolean(json))
        *out = (struct tw_optional_bool){true, json_is_true(json)};
    else
        fault(parser, "type", "Must be true or false.");
}

static void parse_object(struct parser *parser, const struct tw_schema *schema, json_t *json,
                         void *out);

static void parse_list(struct parser *parser, const struct tw_field *field, const json_t *json,
                       struct tw_list *out)
{
    if (!json_is_array(json)) {
        fault(parser, "type", "Must be an array.");
        return;
    }
    size_t n = json_array_size(json), size = field->element->size;
    if (n < (size_t)field->min || n > (size_t)field->max) {
        fault(parser, "length", "Must have %lld to %lld elements.", (long long)field->min,
              (long long)field->max);
        return;
    }
    out->items = tw_req_alloc(parser->req, n * size + 1);
    out->n = n;
    struct step step = {.above = parser->at};
    parser->at = &step;
    for (; step.index < n; step.index++)
        parse_object(parser, field->element, json_array_get(json, step.index),
                     (char *)out->items + step.index * size);
    parser->at = step.above;
}

static void parse_value(struct parser *parser, const struct tw_field *field, const json_t *json,
                        void *out)
{
    switch (field->type) {
    case TW_FIELD_TEXT:
    case TW_FIELD_TOKEN:
        parse_text(parser, field, json, out);
        break;
    case TW_FIELD_MONEY:
    case TW_FIELD_QUANTITY:
    case TW_FIELD_INTEGER:
    case TW_FIELD_RATE:
        parse_number(parser, field, json, out);
        break;
    case TW_FIELD_UUID:
        parse_uuid(parser, json, out);
        break;
    case TW_FIELD_BOOL:
        parse_bool(parser, json, out);
        break;
    case TW_FIELD_LIST:
        parse_list(parser, field, json, out);
        break;
    case TW_FIELD_READ_ONLY:
        break;
    }
}

// The row of a name; schema->n: there is none.
static size_t find_field(const struct tw_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->n; i++)
        if (schema->fields[i].name[0] == name[0] && strcmp(schema->fields[i].name, name) == 0)
            return i;
    return schema->n;
}

// The values in the order of the table. False: there are others.
static bool sort_members(const struct tw_schema *schema, json_t *json, json_t *values[FIELDS_MAX])
{
    bool all_known = true;
    for (size_t i = 0; i < schema->n; i++)
        values[i] = NULL;
    for (void *i = json_object_iter(json); i; i = json_object_iter_next(json, i)) {
        size_t field = find_field(schema, json_object_iter_key(i));
        if (field < schema->n)
            values[field] = json_object_iter_value(i);
        else
            all_known = false;
    }
    return all_known;
}

static void refuse_unknown(struct parser *parser, const struct tw_schema *schema, json_t *json)
{
    const char *name;
    json_t *value;
    json_object_foreach (json, name, value) {
        struct step step = {.above = parser->at, .name = name};
        if (find_field(schema, name) < schema->n)
            continue;
        parser->at = &step;
        fault(parser, "unknown", "There is no such field.");
        parser->at = step.above;
    }
}

static void parse_field(struct parser *parser, const struct tw_field *field, const json_t *value,
                        void *out)
{
    struct step step = {.above = parser->at, .name = field->name};
    parser->at = &step;
    if (value && !json_is_null(value))
        parse_value(parser, field, value, (char *)out + field->offset);
    else if (field->required || (value && field->not_null))
        fault(parser, "required", "Must be given.");
    else if (value && field->null_at)
        memset((char *)out + field->null_at, true, sizeof(bool));
    parser->at = step.above;
}

static void parse_object(struct parser *parser, const struct tw_schema *schema, json_t *json,
                         void *out)
{
    json_t *values[FIELDS_MAX];
    assert(schema->n <= FIELDS_MAX);
    memset(out, 0, schema->size);
    if (!json_is_object(json)) {
        fault(parser, "type", "Must be an object.");
        return;
    }
    bool all_known = sort_members(schema, json, values);
    for (size_t i = 0; i < schema->n; i++)
        if (values[i] || schema->fields[i].required)
            parse_field(parser, &schema->fields[i], values[i], out);
    if (!all_known)
        refuse_unknown(parser, schema, json);
}

// ---- a text -------------------------------------------------------------------------------------

// A number that no field can hold: JSON as text, but out of every range.
static void fault_number(struct tw_req *req, struct tw_str text, size_t at,
                         struct tw_faults *faults)
{
    char pointer[POINTER_MAX];
    size_t n = tw_json_text_pointer(text, at, pointer, sizeof(pointer));
    struct tw_problem_error *error = tw_req_alloc(req, sizeof(*error));
    *error = (struct tw_problem_error){.pointer = pool_copy(req, pointer, n),
                                       .code = "range",
                                       .detail = TW_STR("The number is out of range.")};
    bool printable = tw_utf8_valid(error->pointer);
    *faults = (struct tw_faults){TW_VALIDATION_FAILED, "See errors.", error, printable ? 1 : 0};
}

static void fault_malformed(struct tw_req *req, struct tw_str text, const json_error_t *error,
                            struct tw_faults *faults)
{
    char detail[256];
    if (json_error_code(error) == json_error_numeric_overflow) {
        fault_number(req, text, (size_t)(error->position > 0 ? error->position - 1 : 0), faults);
        return;
    }
    (void)snprintf(detail, sizeof(detail), "Line %d, column %d: %s", error->line, error->column,
                   tw_utf8_valid(tw_str_of(error->text)) ? error->text : "not UTF-8");
    *faults = (struct tw_faults){.status = TW_MALFORMED_JSON,
                                 .detail = pool_copy(req, detail, strlen(detail)).p};
}

// The text as a tree, which ends with tw_json_memory_end; or NULL and why.
static json_t *load(struct tw_req *req, struct tw_str text, struct tw_faults *faults)
{
    size_t at;
    json_error_t error;
    enum tw_json_fault fault = tw_json_text_scan(text, &at);
    if (fault == TW_JSON_TOO_DEEP) { // the parser's own limit is 2048
        *faults = (struct tw_faults){.status = TW_MALFORMED_JSON,
                                     .detail = "The body is nested too deeply."};
        return NULL;
    }
    tw_json_memory_begin();
    json_t *json = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (json && fault != TW_JSON_MINUS_ZERO)
        return json;
    if (json)
        fault_number(req, text, at, faults);
    else
        fault_malformed(req, text, &error, faults);
    tw_json_memory_end(json);
    return NULL;
}

static struct parser *parser_new(struct tw_req *req)
{
    struct parser *parser = tw_req_alloc(req, sizeof(*parser));
    parser->req = req;
    parser->n_errors = 0;
    parser->at = NULL;
    return parser;
}

static bool judge(const struct parser *parser, struct tw_faults *faults)
{
    *faults = (struct tw_faults){TW_VALIDATION_FAILED, "See errors.", parser->errors,
                                 parser->n_errors};
    return parser->n_errors == 0;
}

bool tw_text_parse(struct tw_req *req, struct tw_str text, const struct tw_schema *schema,
                   void *out, struct tw_faults *faults)
{
    json_t *json = load(req, text, faults);
    if (!json)
        return false;
    struct parser parser; // on the stack: a body may hold hundreds of texts
    parser.req = req;
    parser.n_errors = 0;
    parser.at = NULL;
    parse_object(&parser, schema, json, out);
    tw_json_memory_end(json);
    if (!judge(&parser, faults)) {
        size_t bytes = parser.n_errors * sizeof(parser.errors[0]);
        faults->errors = memcpy(tw_req_alloc(req, bytes), parser.errors, bytes);
    }
    return parser.n_errors == 0;
}

// ---- the body -----------------------------------------------------------------------------------

struct tw_verdict tw_fail_faults(struct tw_req *req, const struct tw_faults *faults)
{
    return tw_fail_errors(req, faults->status, faults->detail, faults->errors, faults->n_errors);
}

bool tw_body_parse(struct tw_req *req, const struct tw_schema *schema, void *out,
                   struct tw_verdict *verdict)
{
    struct tw_faults faults;
    if (tw_text_parse(req, req->body, schema, out, &faults))
        return true;
    *verdict = tw_fail_faults(req, &faults);
    return false;
}

static struct tw_parsed parse_element(struct parser *parser, const struct tw_schema *schema,
                                      json_t *json)
{
    struct tw_parsed parsed = {.value = tw_req_alloc(parser->req, schema->size)};
    parser->n_errors = 0;
    parse_object(parser, schema, json, parsed.value);
    if (parser->n_errors > 0) {
        size_t bytes = parser->n_errors * sizeof(parser->errors[0]);
        parsed.errors = memcpy(tw_req_alloc(parser->req, bytes), parser->errors, bytes);
        parsed.n_errors = parser->n_errors;
    }
    return parsed;
}

bool tw_body_parse_each(struct tw_req *req, const struct tw_schema *schema, size_t max,
                        struct tw_parsed **out, size_t *n, struct tw_verdict *verdict)
{
    struct tw_faults faults;
    json_t *json = load(req, req->body, &faults);
    if (!json) {
        *verdict = tw_fail_faults(req, &faults);
        return false;
    }
    struct parser *parser = parser_new(req);
    *n = json_array_size(json);
    if (!json_is_array(json))
        fault(parser, "type", "Must be an array.");
    else if (*n < 1 || *n > max)
        fault(parser, "length", "Must have 1 to %zu elements.", max);
    bool is_good = judge(parser, &faults);
    if (!is_good)
        *verdict = tw_fail_faults(req, &faults);
    if (is_good)
        *out = tw_req_alloc(req, *n * sizeof(**out));
    for (size_t i = 0; is_good && i < *n; i++)
        (*out)[i] = parse_element(parser, schema, json_array_get(json, i));
    tw_json_memory_end(json);
    return is_good;
}

// SPDX-License-Identifier: Apache-2.0
// customers: whom sales and orders may name: added, read, found, changed, erased. Known to all
// stores. Personal: no copy of an answer may be kept. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/etag.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/schema.h"

#define NAME_MAX_BYTES  200
#define PHONE_MAX_BYTES 40
#define EMAIL_MAX_BYTES 254 // RFC 5321
#define NOTES_MAX_BYTES 4000

// Of `after`: an id and what a list is ordered by, which is at most half as long again in lower
// case.
#define CURSOR_MAX_BYTES (TW_UUID_TEXT_LEN + 1 + 2 * (EMAIL_MAX_BYTES * 3 / 2))

// Result columns of customer_get and customer_list; customer_create and customer_patch have the
// verdict before them.
enum {
    COL_ID,
    COL_NAME,
    COL_PHONE,
    COL_EMAIL,
    COL_NOTES,
    COL_CREATED_AT,
    COL_UPDATED_AT,
    COL_VERSION,
    COL_SORT_KEY, // of customer_list
};

static void put_text(struct tw_json *json, struct tw_str key, struct tw_str value)
{
    tw_json_key(json, key);
    if (value.p)
        tw_json_str(json, value);
    else
        tw_json_null(json);
}

static void put_customer(struct tw_json *json, const struct tw_rows *rows, int row, int first)
{
    struct tw_uuid id = tw_row_uuid(rows, row, first + COL_ID);
    tw_json_object(json);
    tw_json_key(json, TW_STR("customerId"));
    tw_json_uuid(json, &id);
    TW_JSON_STR(json, "name", tw_row_str(rows, row, first + COL_NAME));
    put_text(json, TW_STR("phone"), tw_row_str(rows, row, first + COL_PHONE));
    put_text(json, TW_STR("email"), tw_row_str(rows, row, first + COL_EMAIL));
    put_text(json, TW_STR("notes"), tw_row_str(rows, row, first + COL_NOTES));
    tw_json_key(json, TW_STR("createdAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_CREATED_AT));
    tw_json_key(json, TW_STR("updatedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_UPDATED_AT));
    TW_JSON_I64(json, "version", tw_row_i64(rows, row, first + COL_VERSION));
    tw_json_object_end(json);
}

static struct tw_verdict reply_customer(struct tw_req *req, unsigned http_status,
                                        const struct tw_rows *rows, int first)
{
    tw_reply_header(req, TW_STR("etag"),
                    tw_etag_of_version(req, tw_row_i64(rows, 0, first + COL_VERSION)));
    struct tw_json json = tw_reply_body(req);
    put_customer(&json, rows, 0, first);
    return tw_reply_json(req, http_status, &json);
}

static struct tw_verdict fail_unknown(struct tw_req *req)
{
    return tw_fail(req, TW_NOT_FOUND, "There is no such customer.");
}

// ---- GET /v1/customers/{customerId} -------------------------------------------------------------

static struct tw_verdict customer_get_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return fail_unknown(req);
    return reply_customer(req, 200, result->rows, 0);
}

struct tw_verdict tw_customer_get(struct tw_req *req)
{
    struct tw_uuid id;
    char buffer[64];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &id))
        return fail_unknown(req);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    return tw_await_db(req, TW_STMT_CUSTOMER_GET, &params, customer_get_2_read);
}

// ---- GET /v1/customers --------------------------------------------------------------------------

enum { PARAM_NAME, PARAM_EMAIL, PARAM_PHONE, PARAM_LIMIT, PARAM_AFTER, PARAM_COUNT };

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_NAME] = {"name", NAME_MAX_BYTES},     [PARAM_EMAIL] = {"email", EMAIL_MAX_BYTES},
    [PARAM_PHONE] = {"phone", PHONE_MAX_BYTES},  [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", CURSOR_MAX_BYTES},
};

struct list_state {
    int32_t limit;
    bool is_search;
};

// row: of the page's last item, -1: there is no next page.
static void put_next(struct tw_req *req, struct tw_json *json, const struct tw_rows *rows, int row)
{
    const struct list_state *state = req->state;
    if (row < 0) {
        tw_page_next(req, json, NULL);
        return;
    }
    struct tw_uuid last = tw_row_uuid(rows, row, COL_ID);
    if (state->is_search)
        tw_page_next_text(req, json,
                          tw_cursor_of_text(req, tw_row_str(rows, row, COL_SORT_KEY), &last));
    else
        tw_page_next(req, json, &last);
}

static struct tw_verdict customer_list_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct list_state *state = req->state;
    int n = tw_rows_count(result->rows);
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < state->limit; row++)
        put_customer(&json, result->rows, row, 0);
    tw_json_array_end(&json);
    put_next(req, &json, result->rows, n > state->limit ? state->limit - 1 : -1);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

static bool has_digit(struct tw_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] >= '0' && text.p[i] <= '9')
            return true;
    return false;
}

static bool parse_after(struct tw_req *req, struct tw_str after, struct tw_uuid *id,
                        struct tw_str *sort_key)
{
    const struct list_state *state = req->state;
    if (!after.p)
        return true;
    return state->is_search ? tw_cursor_parse_text(req, after, sort_key, id)
                            : tw_uuid_parse(after, id);
}

struct tw_verdict tw_customer_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT];
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict))
        return verdict;
    struct list_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    struct tw_uuid after;
    struct tw_str sort_key = {NULL, 0};
    int n_searches = !!values[PARAM_NAME].p + !!values[PARAM_EMAIL].p + !!values[PARAM_PHONE].p;
    state->is_search = n_searches == 1;
    if (n_searches > 1)
        return tw_fail(req, TW_INVALID_PARAMETER, "Search by name, email or phone: one of them.");
    if (values[PARAM_PHONE].p && !has_digit(values[PARAM_PHONE]))
        return tw_fail(req, TW_INVALID_PARAMETER, "phone must have digits.");
    if (!tw_list_limit(values[PARAM_LIMIT], &state->limit))
        return tw_fail(req, TW_INVALID_PARAMETER, "limit must be from 1 to 500.");
    if (!parse_after(req, values[PARAM_AFTER], &after, &sort_key))
        return tw_fail(req, TW_INVALID_PARAMETER, "after must be the `next` of the page before.");
    char buffer[512];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_optional(&params, values[PARAM_NAME]);
    tw_param_optional(&params, values[PARAM_EMAIL]);
    tw_param_optional(&params, values[PARAM_PHONE]);
    if (values[PARAM_AFTER].p)
        tw_param_uuid(&params, &after);
    else
        tw_param_null(&params);
    tw_param_optional(&params, sort_key);
    tw_param_i32(&params, state->limit + 1);
    return tw_await_db(req, TW_STMT_CUSTOMER_LIST, &params, customer_list_2_read);
}

// ---- POST and PATCH -----------------------------------------------------------------------------

struct customer {
    struct tw_optional_uuid customer_id;
    struct tw_str name, phone, email, notes;
    bool name_is_null, phone_is_null, email_is_null, notes_is_null;
};

static const struct tw_field new_fields[] = {
    TW_FIELD(customer, "customerId", customer_id, UUID, false, 0, 0),
    TW_FIELD(customer, "name", name, TEXT, true, 1, NAME_MAX_BYTES),
    TW_FIELD(customer, "phone", phone, TEXT, false, 3, PHONE_MAX_BYTES),
    TW_FIELD(customer, "email", email, TEXT, false, 3, EMAIL_MAX_BYTES),
    TW_FIELD(customer, "notes", notes, TEXT, false, 1, NOTES_MAX_BYTES),
};
static const struct tw_schema new_schema = {new_fields, TW_COUNT(new_fields),
                                            sizeof(struct customer)};

// A merge patch (RFC 7396): null removes, but a customer has a name.
static const struct tw_field patch_fields[] = {
    TW_FIELD(customer, "name", name, TEXT, false, 1, NAME_MAX_BYTES,
             .null_at = offsetof(struct customer, name_is_null)),
    TW_FIELD(customer, "phone", phone, TEXT, false, 3, PHONE_MAX_BYTES,
             .null_at = offsetof(struct customer, phone_is_null)),
    TW_FIELD(customer, "email", email, TEXT, false, 3, EMAIL_MAX_BYTES,
             .null_at = offsetof(struct customer, email_is_null)),
    TW_FIELD(customer, "notes", notes, TEXT, false, 1, NOTES_MAX_BYTES,
             .null_at = offsetof(struct customer, notes_is_null)),
    TW_READ_ONLY("customerId"),
    TW_READ_ONLY("createdAt"),
    TW_READ_ONLY("updatedAt"),
    TW_READ_ONLY("version"),
};
static const struct tw_schema patch_schema = {patch_fields, TW_COUNT(patch_fields),
                                              sizeof(struct customer)};

// What the table cannot say: a phone number has digits, an address one '@' within.
static bool check(struct tw_req *req, const struct customer *customer, struct tw_verdict *verdict)
{
    struct tw_problem_error errors[3];
    size_t n = 0;
    struct tw_str email = customer->email;
    const char *at = email.p ? memchr(email.p, '@', email.n) : NULL;
    if (customer->name_is_null)
        errors[n++] = (struct tw_problem_error){TW_STR("/name"), "required",
                                                TW_STR("A customer has a name.")};
    if (customer->phone.p && !has_digit(customer->phone))
        errors[n++] = (struct tw_problem_error){TW_STR("/phone"), "format",
                                                TW_STR("Must have digits.")};
    if (email.p && (!at || at == email.p || at == email.p + email.n - 1 ||
                    memchr(at + 1, '@', (size_t)(email.p + email.n - at - 1))))
        errors[n++] = (struct tw_problem_error){TW_STR("/email"), "format",
                                                TW_STR("Must be an e-mail address.")};
    if (n == 0)
        return true;
    *verdict = tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", errors, n);
    return false;
}

// Columns of customer_create and customer_patch.
enum { COL_VERDICT, COL_CUSTOMER };

static struct tw_verdict fail_creation(struct tw_req *req, struct tw_str verdict)
{
    if (tw_str_eq(verdict, TW_STR("not-found")))
        return tw_fail(req, TW_NOT_FOUND, "The customer was added under this key, and erased.");
    return tw_fail(req, tw_status_by_code(verdict), TW_KEY_IS_USED);
}

static struct tw_verdict customer_create_2_written(struct tw_req *req,
                                                   const struct tw_db_result *result)
{
    static const struct tw_problem_error exists = {TW_STR("/customerId"), "already-exists",
                                                   TW_STR("There is one under this id.")};
    if (result->status == TW_ALREADY_EXISTS)
        return tw_fail_errors(req, TW_ALREADY_EXISTS, "Such a customer exists.", &exists, 1);
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    bool is_replay = tw_str_eq(verdict, TW_STR("replayed"));
    if (!is_replay && !tw_str_eq(verdict, TW_STR("created")))
        return fail_creation(req, verdict);
    if (is_replay)
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
    struct tw_uuid id = tw_row_uuid(result->rows, 0, COL_CUSTOMER + COL_ID);
    char location[14 + TW_UUID_TEXT_LEN];
    memcpy(location, "/v1/customers/", 14);
    tw_uuid_format(&id, location + 14);
    tw_reply_header(req, TW_STR("location"), (struct tw_str){location, sizeof(location)});
    return reply_customer(req, 201, result->rows, COL_CUSTOMER);
}

struct tw_verdict tw_customer_create(struct tw_req *req)
{
    struct customer customer;
    struct tw_str key;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &new_schema, &customer, &verdict) || !check(req, &customer, &verdict) ||
        !tw_idempotency_key_if_any(req, &key, &verdict))
        return verdict;
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_uuid_if(&params, customer.customer_id.present, &customer.customer_id.value);
    tw_param_str(&params, customer.name);
    tw_param_optional(&params, customer.phone);
    tw_param_optional(&params, customer.email);
    tw_param_optional(&params, customer.notes);
    tw_param_creation(req, TW_STR("POST /v1/customers"), key, &params);
    return tw_await_db(req, TW_STMT_CUSTOMER_CREATE, &params, customer_create_2_written);
}

static struct tw_verdict fail_change(struct tw_req *req, struct tw_str verdict)
{
    if (tw_str_eq(verdict, TW_STR("not-found")))
        return fail_unknown(req);
    return tw_fail(req, tw_status_by_code(verdict), "Read the customer again.");
}

static struct tw_verdict customer_patch_2_written(struct tw_req *req,
                                                  const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    if (!tw_str_eq(verdict, TW_STR("updated")))
        return fail_change(req, verdict);
    return reply_customer(req, 200, result->rows, COL_CUSTOMER);
}

struct tw_verdict tw_customer_patch(struct tw_req *req)
{
    struct customer customer;
    struct tw_uuid id;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &patch_schema, &customer, &verdict) || !check(req, &customer, &verdict))
        return verdict;
    if (!tw_path_uuid(req, 0, &id))
        return fail_unknown(req);
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_uuid(&params, &id);
    tw_param_optional(&params, tw_if_match(req));
    tw_param_optional(&params, customer.name);
    tw_param_bool(&params, customer.phone.p || customer.phone_is_null);
    tw_param_optional(&params, customer.phone);
    tw_param_bool(&params, customer.email.p || customer.email_is_null);
    tw_param_optional(&params, customer.email);
    tw_param_bool(&params, customer.notes.p || customer.notes_is_null);
    tw_param_optional(&params, customer.notes);
    return tw_await_db(req, TW_STMT_CUSTOMER_PATCH, &params, customer_patch_2_written);
}

// ---- DELETE -------------------------------------------------------------------------------------

static struct tw_verdict customer_erase_2_written(struct tw_req *req,
                                                  const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    return tw_str_eq(verdict, TW_STR("erased")) ? tw_reply_empty(req, 204)
                                                : fail_change(req, verdict);
}

struct tw_verdict tw_customer_erase(struct tw_req *req)
{
    struct tw_uuid id;
    char buffer[256];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &id))
        return fail_unknown(req);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_uuid(&params, &id);
    tw_param_optional(&params, tw_if_match(req));
    return tw_await_db(req, TW_STMT_CUSTOMER_ERASE, &params, customer_erase_2_written);
}

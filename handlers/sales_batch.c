// SPDX-License-Identifier: Apache-2.0
// sales_batch: POST /v1/transactions/batch: what a till has sold while it was alone.
//
// An array, or NDJSON. Each sale has a result of its own and the answer is 200 whatever they are:
// what is wrong with one is no reason to lose the others. All that pass the checks go to PostgreSQL
// in as few calls as it can do in time; when one fails as a whole, which nothing in a sale should
// make it do, halves of it are tried until the culprit stands alone. A till that hears nothing, or
// 503, sends the same batch again: each sale is known by its transactionId.
//
// A sale of a batch was sold offline, and is recorded although the stock is short, when it says so
// (`offline`), or when it has a `timestamp` and says nothing. Runs in: worker.
#include "gateway/negotiate.h"
#include "gateway/reply.h"
#include "gateway/sales_stats.h"
#include "handlers/handlers.h"
#include "handlers/json_split.h"
#include "handlers/sale.h"

#define SALES_MAX 500

// Lines of one call, unless a sale alone has more. A call that is too large for db.write_timeout
// would be too large each time that it is repeated.
#define LINES_OF_CALL 1000

// Calls for one batch at most: enough to find several culprits among 500.
#define CALLS_MAX 100

// Halves that wait while the first ones are tried: one for each halving of SALES_MAX, and one more.
#define RANGES_MAX 12

struct element {
    struct tw_sale_record record;
    enum tw_status status; // of its result; TW_OK: recorded
    bool has_id, is_judged, is_replayed, is_short, is_off_catalogue, is_off_amount;
    const char *detail;
    const struct tw_problem_error *errors;
    size_t n_errors;
    int64_t receipt_number, total_minor;
    int64_t *shortages_milli; // per line, of one that is_short
    size_t n_shortages;
};

struct range {
    size_t from, n;
};

struct batch {
    struct element *elements;
    size_t n;
    struct element **good;           // those that go to PostgreSQL …
    struct tw_sale_record **records; // … and what of them
    size_t n_good, n_begun;          // n_begun: of good, those that were in a range
    struct range ranges[RANGES_MAX]; // still to be tried, the next one last
    size_t n_ranges;
    unsigned n_calls;
};

// ---- the answer ---------------------------------------------------------------------------------

static void put_shortages(struct tw_json *json, const struct element *element)
{
    tw_json_key(json, TW_STR("shortages"));
    tw_json_array(json);
    for (size_t i = 0; i < element->n_shortages; i++) {
        if (element->shortages_milli[i] == 0)
            continue;
        tw_json_object(json);
        TW_JSON_I64(json, "line", (int64_t)i);
        tw_json_key(json, TW_STR("quantity"));
        tw_json_decimal_short(json, element->shortages_milli[i], 3);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_recorded(struct tw_req *req, struct tw_json *json, const struct element *element)
{
    tw_json_key(json, TW_STR("replayed"));
    tw_json_bool(json, element->is_replayed);
    TW_JSON_I64(json, "receiptNumber", element->receipt_number);
    tw_json_key(json, TW_STR("total"));
    tw_json_decimal(json, element->total_minor, req->config->pos_currency_decimals);
    tw_json_key(json, TW_STR("stockException"));
    tw_json_bool(json, element->is_short);
    tw_json_key(json, TW_STR("priceException"));
    tw_json_bool(json, element->is_off_catalogue);
    tw_json_key(json, TW_STR("amountException"));
    tw_json_bool(json, element->is_off_amount);
    if (element->is_short)
        put_shortages(json, element);
}

static void put_result(struct tw_req *req, struct tw_json *json, const struct element *element,
                       size_t index)
{
    bool is_recorded = element->status == TW_OK;
    tw_json_object(json);
    TW_JSON_I64(json, "index", (int64_t)index);
    TW_JSON_I64(json, "status", is_recorded ? 201 : tw_status_info(element->status)->http);
    if (element->has_id) {
        tw_json_key(json, TW_STR("transactionId"));
        tw_json_uuid(json, &element->record.transaction_id);
    }
    if (is_recorded) {
        put_recorded(req, json, element);
    } else {
        tw_json_key(json, TW_STR("problem"));
        tw_json_problem(json, element->status, element->detail, element->errors, element->n_errors);
    }
    tw_json_object_end(json);
}

static struct tw_verdict reply_results(struct tw_req *req, const struct batch *batch)
{
    int64_t n_recorded = 0, n_replayed = 0;
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("results"));
    tw_json_array(&json);
    for (size_t i = 0; i < batch->n; i++) {
        const struct element *element = &batch->elements[i];
        put_result(req, &json, element, i);
        n_recorded += element->status == TW_OK && !element->is_replayed;
        n_replayed += element->status == TW_OK && element->is_replayed;
    }
    tw_json_array_end(&json);
    int64_t n_refused = (int64_t)batch->n - n_recorded - n_replayed;
    TW_JSON_I64(&json, "recorded", n_recorded);
    TW_JSON_I64(&json, "replayed", n_replayed);
    TW_JSON_I64(&json, "refused", n_refused);
    tw_json_object_end(&json);
    tw_metric_add(req->page, TW_METRIC_SALES_RECORDED, n_recorded);
    tw_metric_add(req->page, TW_METRIC_SALES_REPLAYED, n_replayed);
    tw_metric_add(req->page, TW_METRIC_SALES_REFUSED, n_refused);
    return tw_reply_json(req, 200, &json);
}

// ---- what record_batch said ---------------------------------------------------------------------

enum {
    COL_INDEX,
    COL_VERDICT,
    COL_REFUSED_LINE,
    COL_ID,
    COL_RECEIPT,
    COL_TOTAL,
    COL_STOCK_EXCEPTION,
    COL_SHORTAGES,
    COL_PAYMENT_METHOD,
    COL_PRICE_EXCEPTION,
    COL_AMOUNT_EXCEPTION,
};

static void take_shortages(struct tw_req *req, struct element *element, struct tw_array array)
{
    element->n_shortages = (size_t)array.left;
    element->shortages_milli = tw_req_alloc(req, (size_t)array.left * sizeof(int64_t) + 1);
    for (size_t i = 0; array.left > 0; i++)
        element->shortages_milli[i] = tw_array_next_i64(&array);
}

static void take_refusal(struct tw_req *req, struct element *element, const struct tw_rows *rows,
                         int row)
{
    element->status = tw_status_by_code(tw_row_str(rows, row, COL_VERDICT));
    element->detail = tw_sale_refusal_detail(element->status);
    if (tw_row_is_null(rows, row, COL_REFUSED_LINE))
        return;
    struct tw_problem_error *error = tw_req_alloc(req, sizeof(*error));
    *error = tw_sale_refused_line(req, element->status, tw_row_i32(rows, row, COL_REFUSED_LINE));
    element->errors = error;
    element->n_errors = 1;
}

static void count_sale(struct tw_req *req, const struct element *element,
                       struct tw_str payment_method)
{
    const struct tw_sales_event sold = {
        .kind = TW_SALES_SALE,
        .store = element->record.store_id,
        .currency = tw_str_of(req->config->pos_currency),
        .payment_method = payment_method,
        .total_minor = element->total_minor,
    };
    tw_req_sold(req, &sold);
}

static void take_row(struct tw_req *req, struct element *element, const struct tw_rows *rows,
                     int row)
{
    struct tw_str verdict = tw_row_str(rows, row, COL_VERDICT);
    element->is_judged = true;
    element->is_replayed = tw_str_eq(verdict, TW_STR("replayed"));
    if (!element->is_replayed && !tw_str_eq(verdict, TW_STR("recorded"))) {
        take_refusal(req, element, rows, row);
        return;
    }
    element->status = TW_OK;
    element->record.transaction_id = tw_row_uuid(rows, row, COL_ID);
    element->receipt_number = tw_row_i64(rows, row, COL_RECEIPT);
    element->total_minor = tw_row_i64(rows, row, COL_TOTAL);
    element->is_short = tw_row_bool(rows, row, COL_STOCK_EXCEPTION);
    element->is_off_catalogue = tw_row_bool(rows, row, COL_PRICE_EXCEPTION);
    element->is_off_amount = tw_row_bool(rows, row, COL_AMOUNT_EXCEPTION);
    if (!element->is_replayed)
        count_sale(req, element, tw_row_str(rows, row, COL_PAYMENT_METHOD));
    if (element->is_short)
        take_shortages(req, element, tw_row_array(rows, row, COL_SHORTAGES));
}

static void take_rows(struct tw_req *req, const struct batch *batch, struct range range,
                      const struct tw_rows *rows)
{
    for (int row = 0; row < tw_rows_count(rows); row++) {
        int32_t index = tw_row_i32(rows, row, COL_INDEX); // from 1
        if (index >= 1 && (size_t)index <= range.n)
            take_row(req, batch->good[range.from + (size_t)index - 1], rows, row);
    }
}

// ---- the calls ----------------------------------------------------------------------------------

static struct tw_verdict batch_3_recorded(struct tw_req *req, const struct tw_db_result *result);

// What goes into the next call. False: everything was in one.
static bool put_next(struct batch *batch)
{
    struct range next = {batch->n_begun, 0};
    size_t n_lines = 0;
    while (batch->n_begun < batch->n_good) {
        n_lines += batch->records[batch->n_begun]->sale.items.n;
        if (next.n > 0 && n_lines > LINES_OF_CALL)
            break;
        next.n++;
        batch->n_begun++;
    }
    if (next.n > 0)
        batch->ranges[batch->n_ranges++] = next;
    return next.n > 0;
}

static struct tw_verdict batch_2_record(struct tw_req *req)
{
    struct batch *batch = req->state;
    char buffer[1024];
    struct tw_params params;
    if (batch->n_ranges == 0 && !put_next(batch))
        return reply_results(req, batch);
    struct range range = batch->ranges[batch->n_ranges - 1];
    batch->n_calls++;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_sale_params(req, &params, batch->records + range.from, range.n);
    return tw_await_db_judged(req, TW_STMT_RECORD_BATCH, &params, batch_3_recorded);
}

static bool is_anything_recorded(const struct batch *batch)
{
    for (size_t i = 0; i < batch->n_good; i++)
        if (batch->good[i]->is_judged && batch->good[i]->status == TW_OK)
            return true;
    return false;
}

// Nothing is known of those that were not judged: the till shall send them again.
static struct tw_verdict give_up(struct tw_req *req, struct batch *batch, enum tw_status status)
{
    if (!is_anything_recorded(batch))
        return tw_fail(req, status, NULL);
    for (size_t i = 0; i < batch->n_good; i++)
        if (!batch->good[i]->is_judged)
            batch->good[i]->status = status;
    return reply_results(req, batch);
}

static void put_halves(struct batch *batch, struct range range)
{
    size_t half = range.n / 2;
    batch->ranges[batch->n_ranges++] = (struct range){range.from + half, range.n - half};
    batch->ranges[batch->n_ranges++] = (struct range){range.from, half};
}

static struct tw_verdict batch_3_recorded(struct tw_req *req, const struct tw_db_result *result)
{
    struct batch *batch = req->state;
    struct range range = batch->ranges[--batch->n_ranges];
    bool is_somebodys_fault = result->status == TW_INTERNAL || result->status == TW_ALREADY_EXISTS;
    if (result->status == TW_OK) {
        take_rows(req, batch, range, result->rows);
    } else if (is_somebodys_fault && range.n == 1) {
        struct element *culprit = batch->good[range.from];
        culprit->is_judged = true;
        culprit->status = result->status == TW_INTERNAL ? TW_INTERNAL : TW_OVERLOADED;
    } else if (is_somebodys_fault && batch->n_calls < CALLS_MAX) {
        put_halves(batch, range);
    } else {
        return give_up(req, batch,
                       result->status == TW_ALREADY_EXISTS ? TW_OVERLOADED : result->status);
    }
    return batch_2_record(req);
}

// ---- the request --------------------------------------------------------------------------------

static void set_faults(struct element *element, const struct tw_faults *faults)
{
    element->status = faults->status;
    element->detail = faults->detail;
    element->errors = faults->errors;
    element->n_errors = faults->n_errors;
}

static void judge(struct tw_req *req, struct batch *batch, struct element *element,
                  struct tw_str text)
{
    struct tw_sale_record *record = &element->record;
    struct tw_sale *sale = &record->sale;
    struct tw_faults faults;
    memset(element, 0, sizeof(*element));
    bool is_good = tw_text_parse(req, text, &tw_batched_sale_schema, sale, &faults);
    element->has_id = sale->transaction_id.present;
    record->transaction_id = sale->transaction_id.value;
    if (is_good) {
        char *key = tw_req_alloc(req, TW_UUID_TEXT_LEN);
        tw_uuid_format(&record->transaction_id, key);
        record->key = (struct tw_str){key, TW_UUID_TEXT_LEN};
        record->is_offline = sale->offline.present ? sale->offline.value
                                                   : sale->timestamp.p != NULL;
        is_good = tw_sale_check(req, record, &faults);
    }
    if (!is_good) {
        set_faults(element, &faults);
        return;
    }
    element->status = TW_INTERNAL; // until PostgreSQL has said something else
    batch->records[batch->n_good] = record;
    batch->good[batch->n_good++] = element;
}

static struct tw_verdict fail_count(struct tw_req *req)
{
    struct tw_problem_error error = {TW_STR(""), "length", TW_STR("Must have 1 to 500 elements.")};
    return tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", &error, 1);
}

static struct batch *batch_new(struct tw_req *req, size_t n)
{
    struct batch *batch = tw_req_alloc(req, sizeof(*batch));
    memset(batch, 0, sizeof(*batch));
    batch->n = n;
    batch->elements = tw_req_alloc(req, n * sizeof(batch->elements[0]));
    batch->good = tw_req_alloc(req, n * sizeof(struct element *));
    batch->records = tw_req_alloc(req, n * sizeof(struct tw_sale_record *));
    return batch;
}

struct tw_verdict tw_sale_batch(struct tw_req *req)
{
    struct tw_str *texts = tw_req_alloc(req, SALES_MAX * sizeof(*texts));
    size_t n;
    bool is_ndjson = tw_media_type_in(tw_req_header(req, TW_STR("content-type")),
                                      TW_STR(TW_NDJSON));
    if (is_ndjson)
        tw_json_split_lines(req->body, texts, SALES_MAX, &n);
    else if (!tw_json_split_array(req->body, texts, SALES_MAX, &n))
        return tw_fail(req, TW_MALFORMED_JSON, "The body must be an array of sales.");
    if (n < 1 || n > SALES_MAX)
        return fail_count(req);
    struct batch *batch = req->state = batch_new(req, n);
    for (size_t i = 0; i < n; i++) {
        struct element *element = &batch->elements[i];
        judge(req, batch, element, texts[i]);
        // An array with such an element is no JSON at all; lines stand each for itself.
        if (!is_ndjson && element->status == TW_MALFORMED_JSON)
            return tw_fail(req, TW_MALFORMED_JSON, element->detail);
    }
    return batch_2_record(req);
}

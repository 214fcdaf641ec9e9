// SPDX-License-Identifier: Apache-2.0
#include "handlers/product_put.h"

typedef void (*put_one)(struct tw_params *params, const struct tw_product_put *put);

static void put_id(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_uuid(params, &put->product_id);
}

static void put_by_sku(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_bool(params, put->by_sku);
}

static void put_name(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_str(params, put->product->name);
}

static void put_price(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_i64(params, put->product->price.value);
}

static void put_description(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_optional(params, put->product->description);
}

static void put_category(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_optional(params, put->product->category);
}

static void put_image(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_optional(params, put->product->image);
}

static void put_sku(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_optional(params, put->product->sku);
}

static void put_barcode(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_optional(params, put->product->barcode);
}

static void put_tax_rate(struct tw_params *params, const struct tw_product_put *put)
{
    tw_param_i32(params, (int32_t)put->product->tax_rate.value);
}

static void put_array(struct tw_params *params, enum tw_array_of type, put_one put,
                      const struct tw_product_put *puts, size_t n)
{
    tw_param_array(params, type, n);
    for (size_t i = 0; i < n; i++)
        put(params, &puts[i]);
    tw_param_array_end(params);
}

static void put_fields(struct tw_params *params, const struct tw_product_put *puts, size_t n)
{
    static const struct {
        enum tw_array_of type;
        put_one put;
    } columns[] = {
        {TW_ARRAY_TEXT, put_name},        {TW_ARRAY_I64, put_price},
        {TW_ARRAY_TEXT, put_description}, {TW_ARRAY_TEXT, put_category},
        {TW_ARRAY_TEXT, put_image},       {TW_ARRAY_TEXT, put_sku},
        {TW_ARRAY_TEXT, put_barcode},     {TW_ARRAY_I32, put_tax_rate},
    };
    for (size_t column = 0; column < TW_COUNT(columns); column++)
        put_array(params, columns[column].type, columns[column].put, puts, n);
}

void tw_param_product_puts(struct tw_params *params, const struct tw_product_put *puts, size_t n)
{
    put_array(params, TW_ARRAY_UUID, put_id, puts, n);
    put_array(params, TW_ARRAY_BOOL, put_by_sku, puts, n);
    put_fields(params, puts, n);
}

void tw_param_product_fields(struct tw_params *params, const struct tw_product_body *product)
{
    put_fields(params, &(struct tw_product_put){.product = product}, 1);
}

struct tw_problem_error tw_product_taken(struct tw_str field)
{
    bool is_sku = tw_str_eq(field, TW_STR("sku"));
    return (struct tw_problem_error){.pointer = is_sku ? TW_STR("/sku") : TW_STR("/barcode"),
                                     .code = "already-exists",
                                     .detail = TW_STR("Another product has it.")};
}

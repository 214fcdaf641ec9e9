// SPDX-License-Identifier: Apache-2.0
#include "handlers/product_body.h"

#include "handlers/money.h"

#define FIELD(json_name, member, kind, least, most, ...)                                           \
    {                                                                                              \
        .name = json_name, .type = TW_FIELD_##kind,                                                \
        .offset = offsetof(struct tw_product_body, member), .min = least, .max = most, __VA_ARGS__ \
    }
#define NULL_OF(member) .null_at = offsetof(struct tw_product_body, nulls.member)
#define READ_ONLY(json_name)                          \
    {                                                 \
        .name = json_name, .type = TW_FIELD_READ_ONLY \
    }

// The last three are what a client that has read, changed and sends back leaves in.
#define FIELDS(is_whole)                                                                           \
    FIELD("productId", product_id, UUID, 0, 0, .required = false),                                 \
        FIELD("name", name, TEXT, 1, 200, .required = (is_whole), .not_null = true),               \
        FIELD("price", price, MONEY, 0, TW_DECIMAL_MAX, .required = (is_whole), .not_null = true), \
        FIELD("description", description, TEXT, 0, 4000, NULL_OF(description)),                    \
        FIELD("category", category, TEXT, 1, 64, NULL_OF(category)),                               \
        FIELD("image", image, TEXT, 1, 1000, NULL_OF(image)),                                      \
        FIELD("sku", sku, TEXT, 1, 64, NULL_OF(sku)),                                              \
        FIELD("barcode", barcode, TOKEN, 1, 64, NULL_OF(barcode)),                                 \
        FIELD("taxRate", tax_rate, RATE, 0, 1000000, NULL_OF(tax_rate)), READ_ONLY("createdAt"),   \
        READ_ONLY("updatedAt"), READ_ONLY("version")

static const struct tw_field whole_fields[] = {FIELDS(true)};
static const struct tw_field patch_fields[] = {FIELDS(false)};

const struct tw_schema tw_product_whole_schema = {whole_fields, TW_COUNT(whole_fields),
                                                  sizeof(struct tw_product_body)};
const struct tw_schema tw_product_patch_schema = {patch_fields, TW_COUNT(patch_fields),
                                                  sizeof(struct tw_product_body)};

int32_t tw_product_patch_fields(const struct tw_product_body *patch)
{
    const bool is_named[] = {
        patch->name.p != NULL,
        patch->price.present,
        patch->description.p || patch->nulls.description,
        patch->category.p || patch->nulls.category,
        patch->image.p || patch->nulls.image,
        patch->sku.p || patch->nulls.sku,
        patch->barcode.p || patch->nulls.barcode,
        patch->tax_rate.present || patch->nulls.tax_rate,
    };
    int32_t fields = 0;
    for (size_t i = 0; i < TW_COUNT(is_named); i++)
        fields |= is_named[i] ? 1 << i : 0;
    return fields;
}

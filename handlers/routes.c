// SPDX-License-Identifier: Apache-2.0
#include "handlers/routes.h"

#include "auth/policy.h"
#include "handlers/handlers.h"

// Who may: the role named and those above it (auth/policy.h). 0 would admit nobody. Then the body
// that it takes, and whether a copy of the answer may be kept (gateway/router.h).
static const struct tw_route rows[] = {
    {TW_GET, "/v1/products", TW_ROLE_CASHIER, tw_product_list, NULL, TW_CACHE_REVALIDATE},
    {TW_POST, "/v1/products", TW_ROLE_MANAGER, tw_product_create, TW_JSON, TW_CACHE_NEVER},
    {TW_POST, "/v1/products/batch", TW_ROLE_MANAGER, tw_product_batch, TW_JSON, TW_CACHE_NEVER},
    {TW_GET, "/v1/products/lookup", TW_ROLE_CASHIER, tw_product_lookup, NULL, TW_CACHE_REVALIDATE},
    {TW_GET, "/v1/products/{productId}", TW_ROLE_CASHIER, tw_product_get, NULL,
     TW_CACHE_REVALIDATE},
    {TW_PUT, "/v1/products/{productId}", TW_ROLE_MANAGER, tw_product_put, TW_JSON, TW_CACHE_NEVER},
    {TW_PATCH, "/v1/products/{productId}", TW_ROLE_MANAGER, tw_product_patch, TW_JSON_PATCH,
     TW_CACHE_NEVER},
    {TW_DELETE, "/v1/products/{productId}", TW_ROLE_MANAGER, tw_product_delete, NULL,
     TW_CACHE_NEVER},
    {TW_POST, "/v1/transactions", TW_ROLE_CASHIER, tw_sale_create, TW_JSON, TW_CACHE_NEVER},
    {TW_POST, "/v1/transactions/batch", TW_ROLE_CASHIER, tw_sale_batch, TW_JSON ", " TW_NDJSON,
     TW_CACHE_NEVER},
    {TW_GET, "/v1/transactions", TW_ROLE_CASHIER, tw_transaction_list, NULL, TW_CACHE_NEVER},
    {TW_GET, "/v1/transactions/{transactionId}", TW_ROLE_CASHIER, tw_transaction_get, NULL,
     TW_CACHE_NEVER},
    {TW_POST, "/v1/transactions/{transactionId}/refunds", TW_ROLE_MANAGER, tw_refund_create,
     TW_JSON, TW_CACHE_NEVER},
    {TW_POST, "/v1/transactions/{transactionId}/void", TW_ROLE_MANAGER, tw_void_create,
     tw_json_or_nothing, TW_CACHE_NEVER},
    {TW_GET, "/v1/inventory", TW_ROLE_CASHIER, tw_inventory_list, NULL, TW_CACHE_NEVER},
    {TW_POST, "/v1/inventory/movements", TW_ROLE_MANAGER, tw_inventory_move, TW_JSON,
     TW_CACHE_NEVER},
    {TW_GET, "/v1/inventory/{productId}", TW_ROLE_CASHIER, tw_inventory_get, NULL,
     TW_CACHE_REVALIDATE},
    {TW_PUT, "/v1/inventory/{productId}", TW_ROLE_MANAGER, tw_inventory_put, TW_JSON,
     TW_CACHE_NEVER},
    {TW_GET, "/v1/orders", TW_ROLE_CASHIER, tw_order_list, NULL, TW_CACHE_NEVER},
    {TW_POST, "/v1/orders", TW_ROLE_CASHIER, tw_order_open, TW_JSON, TW_CACHE_NEVER},
    {TW_GET, "/v1/orders/{orderId}", TW_ROLE_CASHIER, tw_order_get, NULL, TW_CACHE_NEVER},
    {TW_PATCH, "/v1/orders/{orderId}", TW_ROLE_CASHIER, tw_order_patch, TW_JSON_PATCH,
     TW_CACHE_NEVER},
    {TW_POST, "/v1/orders/{orderId}/checkout", TW_ROLE_CASHIER, tw_order_checkout, TW_JSON,
     TW_CACHE_NEVER},
    {TW_POST, "/v1/orders/{orderId}/cancel", TW_ROLE_CASHIER, tw_order_cancel, NULL,
     TW_CACHE_NEVER},
    {TW_GET, "/v1/customers", TW_ROLE_CASHIER, tw_customer_list, NULL, TW_CACHE_NEVER},
    {TW_POST, "/v1/customers", TW_ROLE_CASHIER, tw_customer_create, TW_JSON, TW_CACHE_NEVER},
    {TW_GET, "/v1/customers/{customerId}", TW_ROLE_CASHIER, tw_customer_get, NULL, TW_CACHE_NEVER},
    {TW_PATCH, "/v1/customers/{customerId}", TW_ROLE_CASHIER, tw_customer_patch, TW_JSON_PATCH,
     TW_CACHE_NEVER},
    {TW_DELETE, "/v1/customers/{customerId}", TW_ROLE_MANAGER, tw_customer_erase, NULL,
     TW_CACHE_NEVER},
    {TW_GET, "/v1/audit", TW_ROLE_MANAGER, tw_audit_list, NULL, TW_CACHE_NEVER},
    {TW_GET, "/v1/me", TW_ROLE_ANY, tw_me_get, NULL, TW_CACHE_NEVER},
};

_Static_assert(TW_COUNT(rows) < TW_STATS_ROUTES_MAX, "a row of statistics per route, and one more");

const struct tw_route_table tw_routes = {rows, TW_STR("/v1/"), TW_COUNT(rows)};

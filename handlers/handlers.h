// SPDX-License-Identifier: Apache-2.0
// handlers: the first step of every route's handler; each lives in the file of its resource.
// Runs in: worker.

#ifndef TW_HANDLERS_H
#define TW_HANDLERS_H

#include "gateway/request.h"

struct tw_verdict tw_product_list(struct tw_req *req);     // product_lists.c
struct tw_verdict tw_product_lookup(struct tw_req *req);   // products.c
struct tw_verdict tw_product_create(struct tw_req *req);   // product_changes.c
struct tw_verdict tw_product_batch(struct tw_req *req);    // product_batch.c
struct tw_verdict tw_product_put(struct tw_req *req);      // product_changes.c
struct tw_verdict tw_product_patch(struct tw_req *req);    // product_changes.c
struct tw_verdict tw_product_delete(struct tw_req *req);   // product_changes.c
struct tw_verdict tw_product_get(struct tw_req *req);      // products.c
struct tw_verdict tw_sale_create(struct tw_req *req);      // sales.c
struct tw_verdict tw_sale_batch(struct tw_req *req);       // sales_batch.c
struct tw_verdict tw_refund_create(struct tw_req *req);    // refunds.c
struct tw_verdict tw_void_create(struct tw_req *req);      // refunds.c
struct tw_verdict tw_transaction_list(struct tw_req *req); // transactions.c
struct tw_verdict tw_transaction_get(struct tw_req *req);  // transactions.c
struct tw_verdict tw_inventory_list(struct tw_req *req);   // inventory.c
struct tw_verdict tw_inventory_get(struct tw_req *req);    // inventory.c
struct tw_verdict tw_inventory_put(struct tw_req *req);    // inventory.c
struct tw_verdict tw_inventory_move(struct tw_req *req);   // inventory_movements.c
struct tw_verdict tw_order_list(struct tw_req *req);       // orders.c
struct tw_verdict tw_order_open(struct tw_req *req);       // orders.c
struct tw_verdict tw_order_get(struct tw_req *req);        // orders.c
struct tw_verdict tw_order_patch(struct tw_req *req);      // orders.c
struct tw_verdict tw_order_cancel(struct tw_req *req);     // orders.c
struct tw_verdict tw_order_checkout(struct tw_req *req);   // order_checkout.c
struct tw_verdict tw_customer_list(struct tw_req *req);    // customers.c
struct tw_verdict tw_customer_create(struct tw_req *req);  // customers.c
struct tw_verdict tw_customer_get(struct tw_req *req);     // customers.c
struct tw_verdict tw_customer_patch(struct tw_req *req);   // customers.c
struct tw_verdict tw_customer_erase(struct tw_req *req);   // customers.c
struct tw_verdict tw_audit_list(struct tw_req *req);       // audit.c
struct tw_verdict tw_me_get(struct tw_req *req);           // me.c

#endif

// SPDX-License-Identifier: Apache-2.0
// status_page: the page of the admin port, made of gateway/status_page/ by its build.sh.
//
// One HTML document with its style, its script and the chart library inside; it asks nobody but
// /status.json. Runs in: master.

#ifndef TW_STATUS_PAGE_H
#define TW_STATUS_PAGE_H

#include <stddef.h>

extern const char tw_status_page[];
extern const size_t tw_status_page_bytes;

// Its Content-Security-Policy: the hashes of its script and style, and this origin's JSON.
extern const char tw_status_page_policy[];

#endif

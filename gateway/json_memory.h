// SPDX-License-Identifier: Apache-2.0
// json_memory: where jansson's values live: on the heap, or all values of one text in one block.
//
// A value is several small allocations, and a body of a sale is dozens of them; from the block they
// are a few instructions each, and nothing has to be freed one by one. What does not fit goes to
// the heap. Runs in: both; each process has one block, of one thread.

#ifndef TW_JSON_MEMORY_H
#define TW_JSON_MEMORY_H

#include <jansson.h>

// Before any other use of jansson. Out of memory ends the process.
void tw_json_memory_install(void);

// What is allocated from here on lies in the block, until tw_json_memory_end.
void tw_json_memory_begin(void);

// Ends the life of the only value that is left of what was made since then; NULL: none is.
void tw_json_memory_end(json_t *value);

#endif

// SPDX-License-Identifier: Apache-2.0
// rights: what a worker tries that it must not, and what it must be able to.

#ifndef TW_TEST_RIGHTS_H
#define TW_TEST_RIGHTS_H

// 0, or why it was refused (errno). -1: nobody knows this word.
int tw_try(const char *word);

#endif

// SPDX-License-Identifier: Apache-2.0
// targets: what is fuzzed. Each takes any bytes, must neither crash nor read what is not its own,
// and aborts when a promise of the room is broken.
//
// tests/fuzz/run.sh lets libFuzzer search (make fuzz); tests/unit/test_fuzz_corpora.c replays what
// it found, corpus and regressions, in every run of the unit tests.

#ifndef TW_FUZZ_TARGETS_H
#define TW_FUZZ_TARGETS_H

#include <stdlib.h>

#include "gateway/base.h"

// XX(name): a function tw_fuzz_<name> and a folder corpus/<name>
#define TW_FUZZ_TARGETS(XX) \
    XX(path)                \
    XX(query)               \
    XX(jws)                 \
    XX(claims)              \
    XX(jwks)                \
    XX(discovery)           \
    XX(deny_list)           \
    XX(body)                \
    XX(json_pointer)        \
    XX(yaml)                \
    XX(proxy_header)        \
    XX(forwarded)           \
    XX(freshness)           \
    XX(head)                \
    XX(chunks)              \
    XX(negotiate)

// Ends the program: a fuzzer keeps the input, a test fails.
#define TW_FUZZ_PROMISE(condition) \
    do {                           \
        if (!(condition))          \
            abort();               \
    } while (0)

#define XX(name) void tw_fuzz_##name(struct tw_str input);
TW_FUZZ_TARGETS(XX)
#undef XX

#endif

// SPDX-License-Identifier: Apache-2.0
// entry: what libFuzzer calls, for the target that TW_FUZZ_TARGET names.
#include "tests/fuzz/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    TW_FUZZ_TARGET((struct tw_str){(const char *)data, n});
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/status.h"

static const struct tw_status_info infos[TW_STATUS_COUNT] = {
#define XX(name, code, http, title, level) [TW_##name] = {code, http, title, TW_LEVEL_##level},
    TW_STATUS_MAP(XX)
#undef XX
};

const struct tw_status_info *tw_status_info(enum tw_status status)
{
    return &infos[(unsigned)status < TW_STATUS_COUNT ? status : TW_INTERNAL];
}

enum tw_status tw_status_by_code(struct tw_str code)
{
    for (unsigned i = 0; i < TW_STATUS_COUNT; i++)
        if (tw_str_eq(tw_str_of(infos[i].code), code))
            return (enum tw_status)i;
    return TW_INTERNAL;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_shared.h"

#define SECOND_US 1000000

uint64_t tw_db_connect_wait_us(struct tw_db_shared *shared, uint32_t per_s, uint64_t now_us)
{
    uint64_t interval_us = SECOND_US / per_s;
    uint64_t at_us = atomic_load_explicit(&shared->connect_us, memory_order_relaxed), next_us;
    do {
        next_us = (at_us > now_us ? at_us : now_us) + interval_us;
        if (next_us - now_us > SECOND_US)
            return next_us - now_us - SECOND_US;
    } while (!atomic_compare_exchange_weak_explicit(&shared->connect_us, &at_us, next_us,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

void tw_db_written(struct tw_db_shared *shared, uint64_t principal, uint64_t now_us)
{
    _Atomic uint64_t *slot = &shared->written_us[principal % TW_DB_WRITTEN_SLOTS];
    uint64_t before_us = atomic_load_explicit(slot, memory_order_relaxed);
    if (principal == 0)
        return;
    // Released before the answer is sent, so that the reader's next request finds it.
    while (before_us < now_us &&
           !atomic_compare_exchange_weak_explicit(slot, &before_us, now_us, memory_order_release,
                                                  memory_order_relaxed))
        continue;
}

void tw_db_written_elsewhere(struct tw_db_shared *shared, uint64_t until_us)
{
    atomic_store_explicit(&shared->elsewhere_us, until_us, memory_order_relaxed);
}

uint64_t tw_db_written_us(const struct tw_db_shared *shared, uint64_t principal)
{
    if (principal == 0)
        return 0;
    uint64_t elsewhere_us = atomic_load_explicit(&shared->elsewhere_us, memory_order_relaxed);
    uint64_t here_us = atomic_load_explicit(&shared->written_us[principal % TW_DB_WRITTEN_SLOTS],
                                            memory_order_acquire);
    return here_us > elsewhere_us ? here_us : elsewhere_us;
}

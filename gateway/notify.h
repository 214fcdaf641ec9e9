// SPDX-License-Identifier: Apache-2.0
// notify: what the service manager is told, in the words of sd_notify(3): one datagram to the Unix
// socket that NOTIFY_SOCKET names. Nothing happens when there is none, or when it does not take it.
// Never blocks. Runs in: master.

#ifndef TW_NOTIFY_H
#define TW_NOTIFY_H

#include "gateway/base.h"

// Lines such as "READY=1\nSTATUS=...", without a final line break.
void tw_notify(const char *fmt, ...) TW_PRINTF(1, 2);

// Whenever the loop turns: says WATCHDOG=1 twice in each time of WATCHDOG_USEC, if that is asked.
void tw_notify_alive(uint64_t now_us);

#endif

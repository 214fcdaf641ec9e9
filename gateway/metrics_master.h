// SPDX-License-Identifier: Apache-2.0
// metrics_master: the lines of /metrics about what only the master knows: processes, readiness, key
// sets, certificates. Private to metrics_text.c. Runs in: master. Pure.

#ifndef TW_METRICS_MASTER_H
#define TW_METRICS_MASTER_H

#include "gateway/metrics_text.h"

void tw_metrics_master(const struct tw_metrics_view *view, struct tw_text *out);

#endif

// SPDX-License-Identifier: Apache-2.0
// reference: prints docs/errors.md and docs/metrics.md from the tables that define them, so that a
// document cannot say anything else than the program does. Runs in: command line.

#ifndef TW_REFERENCE_H
#define TW_REFERENCE_H

#include <stdio.h>

void tw_reference_errors(FILE *out);
void tw_reference_metrics(FILE *out);

#endif

// SPDX-License-Identifier: Apache-2.0
// money: JSON numbers to exact integers and back; the only place that meets a double.
//
// On the wire an amount is a JSON number with at most the currency's decimals; inside it is int64
// minor units. A JSON parser gives doubles; a decimal of up to 15 significant digits survives that
// unchanged, so it is converted exactly or refused. Pure.
//
// What was sold before pos.currency was changed keeps its currency, and so its decimals.

#ifndef TW_MONEY_H
#define TW_MONEY_H

#include "config/config.h"
#include "gateway/base.h"

// Largest absolute value of any amount, quantity or rate in its smallest unit: 15 digits.
#define TW_DECIMAL_MAX INT64_C(999999999999999)

enum tw_decimal { TW_DECIMAL_OK, TW_DECIMAL_TOO_PRECISE, TW_DECIMAL_OUT_OF_RANGE };

// value * 10^decimals, exactly. -0 is out of range: nobody means it.
TW_MUST_USE enum tw_decimal tw_decimal_from_real(double value, unsigned decimals, int64_t *out);
TW_MUST_USE enum tw_decimal tw_decimal_from_integer(int64_t value, unsigned decimals, int64_t *out);

// How many decimals an amount of this currency has; of none (NULL): of ours.
unsigned tw_money_decimals(const struct tw_config *config, struct tw_str currency);

#endif

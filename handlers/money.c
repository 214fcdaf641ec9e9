// SPDX-License-Identifier: Apache-2.0
#include "handlers/money.h"

#include <math.h>

static const int64_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000};

enum tw_decimal tw_decimal_from_integer(int64_t value, unsigned decimals, int64_t *out)
{
    if (__builtin_mul_overflow(value, powers[decimals], out) || *out > TW_DECIMAL_MAX ||
        *out < -TW_DECIMAL_MAX)
        return TW_DECIMAL_OUT_OF_RANGE;
    return TW_DECIMAL_OK;
}

enum tw_decimal tw_decimal_from_real(double value, unsigned decimals, int64_t *out)
{
    double power = (double)powers[decimals];
    if (!isfinite(value) || fabs(value) * power > (double)TW_DECIMAL_MAX ||
        (value == 0 && signbit(value)))
        return TW_DECIMAL_OUT_OF_RANGE;
    int64_t scaled = llround(value * power);
    // The nearest double of scaled / power is what a parser makes of that decimal text.
    if ((double)scaled / power != value)
        return TW_DECIMAL_TOO_PRECISE;
    *out = scaled;
    return TW_DECIMAL_OK;
}

unsigned tw_money_decimals(const struct tw_config *config, struct tw_str currency)
{
    char code[] = "XXX";
    if (currency.n != sizeof(code) - 1 || memcmp(currency.p, config->pos_currency, currency.n) == 0)
        return config->pos_currency_decimals;
    memcpy(code, currency.p, currency.n);
    return tw_currency_decimals(code);
}

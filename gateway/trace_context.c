// SPDX-License-Identifier: Apache-2.0
#include "gateway/trace_context.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; // capitals are not allowed
}

// n bytes of 2 * n digits. False when some are none.
static bool take_hex(const char *p, size_t n, unsigned char *out)
{
    for (size_t i = 0; i < n; i++) {
        int high = hex_value(p[2 * i]), low = hex_value(p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
    unsigned char any = 0;
    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return any == 0;
}

bool tw_traceparent_parse(struct tw_str header, struct tw_trace_context *out)
{
    unsigned char version;
    const char *p = header.p;
    if (header.n < TW_TRACEPARENT_TEXT_LEN || !take_hex(p, 1, &version) || version == 0xff)
        return false;
    bool has_more = header.n > TW_TRACEPARENT_TEXT_LEN;
    if (has_more && (version == 0 || p[TW_TRACEPARENT_TEXT_LEN] != '-'))
        return false;
    return p[2] == '-' && p[35] == '-' && p[52] == '-' &&
           take_hex(p + 3, TW_TRACE_ID_BYTES, out->trace_id) &&
           take_hex(p + 36, TW_SPAN_ID_BYTES, out->span_id) && take_hex(p + 53, 1, &out->flags) &&
           !is_zero(out->trace_id, TW_TRACE_ID_BYTES) && !is_zero(out->span_id, TW_SPAN_ID_BYTES);
}

void tw_hex(const unsigned char *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void tw_traceparent_format(const struct tw_trace_context *context,
                           char out[TW_TRACEPARENT_TEXT_LEN])
{
    memcpy(out, "00-", 3);
    tw_hex(context->trace_id, TW_TRACE_ID_BYTES, out + 3);
    out[35] = '-';
    tw_hex(context->span_id, TW_SPAN_ID_BYTES, out + 36);
    out[52] = '-';
    tw_hex(&context->flags, 1, out + 53);
}

uint64_t tw_trace_randomness(const unsigned char trace_id[TW_TRACE_ID_BYTES])
{
    uint64_t bits = 0;
    for (size_t i = TW_TRACE_ID_BYTES - 7; i < TW_TRACE_ID_BYTES; i++)
        bits = bits << 8 | trace_id[i];
    return bits;
}

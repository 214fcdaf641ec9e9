// SPDX-License-Identifier: Apache-2.0
// reference: the generated documents name exactly what the program says.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/metrics_text.h"
#include "gateway/reference.h"
#include "gateway/status.h"

struct text {
    char *p;
    size_t n;
};

static struct text served_metrics(void)
{
    static const struct tw_route rows[] = {{.method = TW_GET, .pattern = "/v1/things"}};
    static const struct tw_route_table routes = {rows, TW_STR(""), 1};
    struct tw_jwks_stats jwks = {.last_ok_us = 1};
    struct tw_certificate_stats certificate = {.name = "till.example.com"};
    const struct tw_process_stats process = {.is_known = true};
    const struct tw_worker_stats worker = {.heartbeat_us = 1, .process = &process};
    const struct tw_limit_policy policy = {.name = "per-client"};
    struct tw_metrics_view view = {.policies = &policy,
                                   .n_policies = 1,
                                   .workers = &worker,
                                   .n_workers = 1,
                                   .self = &process,
                                   .shared = tw_shared_new(1, 1),
                                   .limits = tw_limit_table_new(1),
                                   .n_pages = 1,
                                   .routes = &routes,
                                   .jwks = &jwks,
                                   .n_jwks = 1,
                                   .certificates = &certificate,
                                   .n_certificates = 1,
                                   .now_us = 2};
    struct tw_text served = {0};
    struct tw_lines *lines = tw_metrics_lines(view.shared, &routes);
    assert_non_null(lines);
    tw_metrics_text(&view, lines, &served);
    tw_lines_free(lines);
    assert_false(served.failed);
    struct text text = {strndup(served.p, served.n), served.n};
    free(served.p);
    tw_shared_free(view.shared);
    return text;
}

static struct text printed(void (*print)(FILE *out))
{
    struct text text = {NULL, 0};
    FILE *out = open_memstream(&text.p, &text.n);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

// Expects before + word + after in `in` for each word between `mark` and `stop`; counts them.
static unsigned each_after(const char *text, const char *mark, char stop, const char *in,
                           const char *before, const char *after)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, mark)) != NULL; n++) {
        at += strlen(mark);
        const char *end = strchr(at, stop);
        char wanted[128];
        assert_non_null(end);
        (void)snprintf(wanted, sizeof(wanted), "%s%.*s%s", before, (int)(end - at), at, after);
        if (!strstr(in, wanted))
            fail_msg("\"%s\" is missing", wanted);
    }
    return n;
}

static void every_metric_is_documented_and_no_other(void **state)
{
    (void)state;
    struct text served = served_metrics();
    struct text document = printed(tw_reference_metrics);
    assert_true(each_after(served.p, "# TYPE ", ' ', document.p, "| `", "` |") > 20);
    assert_true(each_after(document.p, "| `tillway_", '`', served.p, "# TYPE tillway_", " ") > 20);
    assert_true(each_after(document.p, "| `process_", '`', served.p, "# TYPE process_", " ") > 3);
    free(served.p);
    free(document.p);
}

static void every_error_code_is_documented(void **state)
{
    (void)state;
    struct text document = printed(tw_reference_errors);
    for (int i = TW_OK + 1; i < TW_STATUS_COUNT; i++) {
        const struct tw_status_info *info = tw_status_info((enum tw_status)i);
        char row[256];
        (void)snprintf(row, sizeof(row), "| `%s` | %u | %s |", info->code, (unsigned)info->http,
                       info->title);
        assert_non_null(strstr(document.p, row));
    }
    free(document.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_is_documented_and_no_other),
        cmocka_unit_test(every_error_code_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

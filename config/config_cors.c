// SPDX-License-Identifier: Apache-2.0
// config_cors: the list `cors.origins`: whose pages may call the gateway from a browser.
//
//   cors: {origins: ["https://till.example.com", "http://localhost:3000"]}      or ["*"]
//
// Empty: no CORS header is ever sent. Runs in: master and command line.

#include "config/internal.h"

void tw_config_cors_origins_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    struct tw_texts origins;
    load->cors_origins_place = node->place;
    if (!tw_config_texts(load, node, "cors.origins", TW_CONFIG_TEXTS_MAX, &origins))
        return;
    for (size_t i = 0; i < origins.n; i++) {
        bool any = strcmp(origins.items[i], "*") == 0;
        const char *fault = any ? NULL : tw_config_origin_fault(origins.items[i]);
        if (any && origins.n > 1)
            fault = "means every origin; name no other beside it";
        if (fault != NULL)
            tw_config_fail(load, node->place, "cors.origins", "\"%.100s\" %s", origins.items[i],
                           fault);
    }
    load->config->cors_origins = origins;
}

void tw_config_cors_origins_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->cors_origins.n, out);
    for (size_t i = 0; i < config->cors_origins.n; i++) {
        fprintf(out, "%s- ", indent);
        tw_config_print_text(config->cors_origins.items[i], out);
        putc('\n', out);
    }
}

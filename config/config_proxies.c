// SPDX-License-Identifier: Apache-2.0
// config_proxies: the list `http.trusted_proxies`: whose word about their clients' addresses
// counts.
//
//   http: {trusted_proxies: [10.0.0.0/8, "2001:db8::/32", 192.0.2.7]}
//
// Runs in: master and command line.

#include "config/internal.h"

#define KEY "http.trusted_proxies"

void tw_config_proxies_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    struct tw_texts texts;
    if (!tw_config_texts(load, node, KEY, TW_CONFIG_TEXTS_MAX, &texts))
        return;
    struct tw_network *networks = tw_config_alloc(load, (texts.n + 1) * sizeof *networks);
    for (size_t i = 0; networks != NULL && i < texts.n; i++)
        if (!tw_network_parse(tw_str_of(texts.items[i]), &networks[i]))
            tw_config_fail(load, node->place, KEY,
                           "\"%.60s\" is no network: write 10.0.0.0/8, \"2001:db8::/32\" or an "
                           "address, with zeros behind the prefix",
                           texts.items[i]);
    load->config->trusted_proxies = networks;
    load->config->n_trusted_proxies = networks != NULL ? texts.n : 0;
}

void tw_config_proxies_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_trusted_proxies, out);
    for (size_t i = 0; i < config->n_trusted_proxies; i++) {
        char text[TW_ADDRESS_TEXT_MAX];
        const struct tw_network *network = &config->trusted_proxies[i];
        (void)tw_address_format(&network->address, text);
        fprintf(out, "%s- \"%s/%u\"\n", indent, text, (unsigned)network->prefix_bits);
    }
}

// SPDX-License-Identifier: Apache-2.0
// config_listen: the list `listen`.
//
//   listen: [{address: 0.0.0.0, port: 8443, tls: {certificate: FILE, key: FILE}}]
//
// proxyProtocol: true says that each connection begins with a PROXY header, which only a trusted
// proxy (http.trusted_proxies) may send.
// With clientCa: FILE in `tls`, clients are asked for a certificate; clientCertificate: required
// (default optional) turns away those that have none.
//
// Shapes only; whether the files can be read is judged at the end (config_check.c), when it is
// known that no later file replaces the list. Runs in: master and command line.

#include "config/internal.h"

#define DEFAULT_ADDRESS "0.0.0.0"
#define DEFAULT_PORT    8080

bool tw_config_listen_default(struct tw_config_load *load)
{
    struct tw_listen *only = tw_config_alloc(load, sizeof *only);
    if (only == NULL)
        return false;
    *only = (struct tw_listen){.address = DEFAULT_ADDRESS, .port = DEFAULT_PORT};
    load->config->listens = only;
    load->config->n_listens = 1;
    return true;
}

static void read_address(struct tw_config_load *load, const struct tw_config_node *node,
                         const char *path, struct tw_listen *listen)
{
    listen->address = tw_config_text(load, node, path);
    if (listen->address != NULL && !tw_config_is_ip(listen->address))
        tw_config_fail(load, node->place, path,
                       "\"%.60s\" is not a numeric IPv4 or IPv6 address; for all addresses write "
                       "0.0.0.0 or \"::\"",
                       listen->address);
}

static void read_port(struct tw_config_load *load, const struct tw_config_node *node,
                      const char *path, struct tw_listen *listen)
{
    int64_t port = 0;
    const char *text = tw_config_text(load, node, path);
    if (text != NULL && !tw_str_to_i64(tw_str_of(text), 0, 65535, &port))
        tw_config_fail(load, node->place, path, "\"%.60s\" is not a port: allowed is 0 to 65535",
                       text);
    listen->port = (uint16_t)port;
}

static void read_client_certificate(struct tw_config_load *load,
                                    const struct tw_config_field *field, const char *path,
                                    const char *text, struct tw_listen *listen)
{
    char full[TW_CONFIG_PATH_MAX];
    snprintf(full, sizeof full, "%s.%s", path, field->key);
    listen->tls_client_cert_required = strcmp(text, "required") == 0;
    if (!listen->tls_client_cert_required && strcmp(text, "optional") != 0)
        tw_config_fail(load, field->node->place, full, "\"%.60s\" is neither optional nor required",
                       text);
    else if (listen->tls_client_ca == NULL)
        tw_config_fail(load, field->node->place, full,
                       "needs clientCa, the PEM file of the authorities to trust");
}

static void read_tls(struct tw_config_load *load, const struct tw_config_node *node,
                     const char *path, struct tw_listen *listen)
{
    struct tw_config_field fields[] = {
        {"certificate", NULL}, {"key", NULL}, {"clientCa", NULL}, {"clientCertificate", NULL}};
    const char *clients = NULL;
    const char **targets[] = {&listen->tls_certificate, &listen->tls_key, &listen->tls_client_ca,
                              &clients};
    if (!tw_config_fields(load, node, path, fields, TW_COUNT(fields)))
        return;
    for (size_t i = 0; i < TW_COUNT(fields); i++) {
        char full[TW_CONFIG_PATH_MAX];
        snprintf(full, sizeof full, "%s.%s", path, fields[i].key);
        if (fields[i].node != NULL)
            *targets[i] = tw_config_text(load, fields[i].node, full);
        else if (i < 2)
            tw_config_fail(load, node->key_place, full,
                           "is missing; TLS needs both certificate and key");
    }
    if (clients != NULL)
        read_client_certificate(load, &fields[3], path, clients, listen);
}

void tw_config_listen_print(const struct tw_config *config, const char *indent, FILE *out)
{
    tw_config_print_list_head(config->n_listens, out);
    for (size_t i = 0; i < config->n_listens; i++) {
        const struct tw_listen *listen = &config->listens[i];
        fprintf(out, "%s- {address: ", indent);
        tw_config_print_text(listen->address, out);
        fprintf(out, ", port: %u", (unsigned)listen->port);
        if (listen->proxy_protocol)
            fputs(", proxyProtocol: true", out);
        if (listen->tls_certificate != NULL) {
            fputs(", tls: {certificate: ", out);
            tw_config_print_text(listen->tls_certificate, out);
            fputs(", key: ", out);
            tw_config_print_text(listen->tls_key, out);
            if (listen->tls_client_ca != NULL) {
                fputs(", clientCa: ", out);
                tw_config_print_text(listen->tls_client_ca, out);
                fprintf(out, ", clientCertificate: %s",
                        listen->tls_client_cert_required ? "required" : "optional");
            }
            putc('}', out);
        }
        fputs("}\n", out);
    }
}

static void read_proxy_protocol(struct tw_config_load *load, const struct tw_config_node *node,
                                const char *path, struct tw_listen *listen)
{
    const char *text = tw_config_text(load, node, path);
    listen->proxy_protocol = text != NULL && strcmp(text, "true") == 0;
    if (text != NULL && !listen->proxy_protocol && strcmp(text, "false") != 0)
        tw_config_fail(load, node->place, path, "\"%.60s\" is neither true nor false", text);
}

static void read_listen(struct tw_config_load *load, const struct tw_config_node *node,
                        size_t index, struct tw_listen *listen)
{
    char path[TW_CONFIG_PATH_MAX], full[TW_CONFIG_PATH_MAX];
    struct tw_config_field fields[] = {
        {"address", NULL}, {"port", NULL}, {"tls", NULL}, {"proxyProtocol", NULL}};
    static void (*const readers[])(struct tw_config_load *, const struct tw_config_node *,
                                   const char *, struct tw_listen *) = {
        read_address, read_port, read_tls, read_proxy_protocol};
    snprintf(path, sizeof path, "listen[%zu]", index);
    listen->address = DEFAULT_ADDRESS;
    if (!tw_config_fields(load, node, path, fields, TW_COUNT(fields)))
        return;
    if (fields[1].node == NULL)
        tw_config_fail(load, node->place, path, "port is missing");
    for (size_t i = 0; i < TW_COUNT(fields); i++) {
        snprintf(full, sizeof full, "listen[%zu].%s", index, fields[i].key);
        if (fields[i].node != NULL)
            readers[i](load, fields[i].node, full, listen);
    }
}

void tw_config_listen_set(struct tw_config_load *load, const struct tw_config_node *node)
{
    size_t n = 0;
    if (!tw_config_is_sequence(load, node, "listen", TW_CONFIG_LISTEN_MAX))
        return;
    if (node->n_children == 0) {
        tw_config_fail(load, node->place, "listen",
                       "is empty; add {address: 0.0.0.0, port: 8080} or remove the key");
        return;
    }
    struct tw_listen *listens = tw_config_alloc(load, node->n_children * sizeof *listens);
    if (listens == NULL)
        return;
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next) {
        load->listen_places[n] = child->place;
        read_listen(load, child, n, &listens[n]);
        n++;
    }
    load->config->listens = listens;
    load->config->n_listens = n;
}

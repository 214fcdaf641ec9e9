// SPDX-License-Identifier: Apache-2.0
// config_listen: the list `listen`.
//
//   listen: [{address: 0.0.0.0, port: 8443, tls: {certificate: FILE, key: FILE}}]
//
// More certificates stand in tls.certificates: [{certificate: FILE, key: FILE, ocspFile: FILE}],
// with or without the one above, which then is the first: the default.
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

// ---- certificates -------------------------------------------------------------------------------

// `fields` are those of CERTIFICATE_FIELDS; `above` is where the pair is written.
static void read_certificate(struct tw_config_load *load, const struct tw_config_field *fields,
                             struct tw_config_place above, const char *path,
                             struct tw_certificate_files *files)
{
    const char **targets[] = {&files->certificate, &files->key, &files->ocsp};
    for (size_t i = 0; i < TW_COUNT(targets); i++) {
        char full[TW_CONFIG_PATH_MAX];
        snprintf(full, sizeof full, "%s.%s", path, fields[i].key);
        if (fields[i].node != NULL)
            *targets[i] = tw_config_text(load, fields[i].node, full);
        else if (i < 2)
            tw_config_fail(load, above, full, "is missing; TLS needs both certificate and key");
    }
}

#define CERTIFICATE_FIELDS                \
    {"certificate", NULL}, {"key", NULL}, \
    {                                     \
        "ocspFile", NULL                  \
    }

static void read_listed(struct tw_config_load *load, const struct tw_config_node *list,
                        const char *path, struct tw_certificate_files *files)
{
    size_t i = 0;
    for (const struct tw_config_node *node = list->first; node != NULL; node = node->next, i++) {
        struct tw_config_field fields[] = {CERTIFICATE_FIELDS};
        char full[TW_CONFIG_PATH_MAX];
        snprintf(full, sizeof full, "%s.certificates[%zu]", path, i);
        if (tw_config_fields(load, node, full, fields, TW_COUNT(fields)))
            read_certificate(load, fields, node->place, full, &files[i]);
    }
}

// The pair of `tls` itself, if there is one, goes before those of the list.
static void read_certificates(struct tw_config_load *load, const struct tw_config_node *node,
                              const char *path, const struct tw_config_field *own,
                              const struct tw_config_node *list, struct tw_listen *listen)
{
    char full[TW_CONFIG_PATH_MAX];
    snprintf(full, sizeof full, "%s.certificates", path);
    if (list != NULL && !tw_config_is_sequence(load, list, full, TW_CONFIG_CERTIFICATES_MAX - 1))
        return;
    size_t n_listed = list != NULL ? list->n_children : 0;
    bool alone = n_listed == 0 || own[0].node != NULL || own[1].node != NULL || own[2].node != NULL;
    size_t n = n_listed + (alone ? 1 : 0);
    struct tw_certificate_files *files = tw_config_alloc(load, n * sizeof *files);
    if (files == NULL)
        return;
    if (alone)
        read_certificate(load, own, node->key_place, path, &files[0]);
    if (n_listed > 0)
        read_listed(load, list, path, files + (alone ? 1 : 0));
    listen->certificates = files;
    listen->n_certificates = n;
    listen->tls_first_is_alone = alone;
}

static void read_tls(struct tw_config_load *load, const struct tw_config_node *node,
                     const char *path, struct tw_listen *listen)
{
    struct tw_config_field fields[] = {CERTIFICATE_FIELDS,
                                       {"certificates", NULL},
                                       {"clientCa", NULL},
                                       {"clientCertificate", NULL}};
    char full[TW_CONFIG_PATH_MAX];
    if (!tw_config_fields(load, node, path, fields, TW_COUNT(fields)))
        return;
    read_certificates(load, node, path, fields, fields[3].node, listen);
    snprintf(full, sizeof full, "%s.clientCa", path);
    if (fields[4].node != NULL)
        listen->tls_client_ca = tw_config_text(load, fields[4].node, full);
    snprintf(full, sizeof full, "%s.clientCertificate", path);
    const char *clients = fields[5].node ? tw_config_text(load, fields[5].node, full) : NULL;
    if (clients != NULL)
        read_client_certificate(load, &fields[5], path, clients, listen);
}

void tw_config_certificate_key(const struct tw_config *config, size_t listen, size_t certificate,
                               const char *file, char out[TW_CONFIG_PATH_MAX])
{
    bool alone = config->listens[listen].tls_first_is_alone;
    if (alone && certificate == 0)
        snprintf(out, TW_CONFIG_PATH_MAX, "listen[%zu].tls.%s", listen, file);
    else
        snprintf(out, TW_CONFIG_PATH_MAX, "listen[%zu].tls.certificates[%zu].%s", listen,
                 certificate - (alone ? 1 : 0), file);
}

static void print_certificate(const struct tw_certificate_files *files, FILE *out)
{
    fputs("certificate: ", out);
    tw_config_print_text(files->certificate, out);
    fputs(", key: ", out);
    tw_config_print_text(files->key, out);
    if (files->ocsp != NULL) {
        fputs(", ocspFile: ", out);
        tw_config_print_text(files->ocsp, out);
    }
}

static void print_tls(const struct tw_listen *listen, FILE *out)
{
    size_t first = listen->tls_first_is_alone ? 1 : 0;
    fputs(", tls: {", out);
    if (first == 1)
        print_certificate(&listen->certificates[0], out);
    for (size_t i = first; i < listen->n_certificates; i++) {
        fputs(i > first ? "}, {" : first == 1 ? ", certificates: [{" : "certificates: [{", out);
        print_certificate(&listen->certificates[i], out);
    }
    if (listen->n_certificates > first)
        fputs("}]", out);
    if (listen->tls_client_ca != NULL) {
        fputs(", clientCa: ", out);
        tw_config_print_text(listen->tls_client_ca, out);
        fprintf(out, ", clientCertificate: %s",
                listen->tls_client_cert_required ? "required" : "optional");
    }
    putc('}', out);
}

// ---- listeners ----------------------------------------------------------------------------------

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
        if (listen->n_certificates > 0)
            print_tls(listen, out);
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

// SPDX-License-Identifier: Apache-2.0
// config_dump: a snapshot as YAML for people, and the table of options as a document.
//
// What is printed can be loaded again, except secrets, which are "***". Runs in: master (admin
// port) and command line. Owns nothing; the caller judges the stream with ferror().

#include "config/internal.h"

static void indent(size_t level, FILE *out)
{
    for (size_t i = 0; i < level; i++)
        fputs("  ", out);
}

// Length of the sections that two keys have in common, final dot included.
static size_t common_sections(const char *a, const char *b)
{
    size_t n = 0;
    for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++)
        if (a[i] == '.')
            n = i + 1;
    return n;
}

// Opens the sections of `key` that `before` (the line above) did not open; returns the last word.
static const char *print_sections(const char *before, const char *key, size_t *level, FILE *out)
{
    size_t open = common_sections(before, key);
    const char *word = key;
    *level = 0;
    for (const char *dot = strchr(word, '.'); dot != NULL; dot = strchr(word, '.')) {
        if ((size_t)(dot - key) >= open) {
            indent(*level, out);
            fprintf(out, "%.*s:\n", (int)(dot - word), word);
        }
        word = dot + 1;
        ++*level;
    }
    return word;
}

// Whether `key` lies in the section that `list` lies in, or in one inside it.
static bool shares_section(const char *list, const char *key)
{
    const char *dot = strrchr(list, '.');
    return dot != NULL && strncmp(list, key, (size_t)(dot - list) + 1) == 0;
}

// The lists whose section ends behind option `i`.
static void print_lists_after(const struct tw_config *config, size_t i, FILE *out)
{
    const char *next = i + 1 < TW_OPTION_COUNT ? tw_options[i + 1].key : "";
    for (size_t n = 0; n < TW_CONFIG_LIST_COUNT; n++) {
        const struct tw_config_list *list = &tw_config_lists[n];
        if (!shares_section(list->key, tw_options[i].key) || shares_section(list->key, next))
            continue;
        size_t level = 0;
        for (const char *dot = strchr(list->key, '.'); dot != NULL; dot = strchr(dot + 1, '.'))
            level++;
        char margin[16];
        snprintf(margin, sizeof margin, "%*s", (int)(2 * level + 2), "");
        indent(level, out);
        fprintf(out, "%s:", strrchr(list->key, '.') + 1);
        list->print(config, margin, out);
    }
}

void tw_config_print(const struct tw_config *config, FILE *out)
{
    const char *before = "";
    size_t level;
    fputs("listen:", out);
    tw_config_listen_print(config, "  ", out);
    fputs("limits:", out);
    tw_config_limits_print(config, "  ", out);
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        const struct tw_option *option = &tw_options[i];
        const char *word = print_sections(before, option->key, &level, out);
        indent(level, out);
        fprintf(out, "%s: ", word);
        tw_option_print(option, config, out);
        fprintf(out, " # %s\n", config->origins[i]);
        print_lists_after(config, i, out);
        before = option->key;
    }
}

static void print_choices(const char *choices, FILE *out)
{
    for (const char *p = choices; *p != '\0';) {
        int n = (int)strcspn(p, "|");
        fprintf(out, "%s`%.*s`", p == choices ? "" : ", ", n, p);
        p += p[n] == '|' ? n + 1 : n;
    }
}

static void print_range(const struct tw_option *option, FILE *out)
{
    if (option->type == TW_OPTION_CHOICE)
        print_choices(option->min, out);
    else if (option->type == TW_OPTION_BOOL)
        fputs("`true`, `false`", out);
    else if (option->type != TW_OPTION_STRING)
        fprintf(out, "%s%s to %s", option->type == TW_OPTION_INT_AUTO ? "`auto`, " : "",
                option->min, option->max);
    else if (strcmp(option->min, option->max) == 0)
        fprintf(out, "%s bytes", option->max);
    else
        fprintf(out, "%s%s bytes at most", strcmp(option->min, "0") == 0 ? "" : "not empty, ",
                option->max);
}

static void print_option_row(const struct tw_option *option, FILE *out)
{
    char env[TW_CONFIG_ENV_MAX];
    tw_config_env_name(option->key, "", env);
    fprintf(out, "| `%s`<br>`%s` | %s | ", option->key, env, tw_option_type_name(option->type));
    if (*option->initial == '\0')
        fputs("(empty) | ", out);
    else
        fprintf(out, "`%s` | ", option->initial);
    print_range(option, out);
    fprintf(out, " | %s | %s%s |\n", option->reloadable ? "yes" : "restart", option->doc,
            option->secret ? " Secret: never printed." : "");
}

static const char preamble[] =
    "# Configuration\n"
    "\n"
    "<!-- Generated from config/options.def and config/config_dump.c: do not edit. -->\n"
    "\n"
    "`tillway -c FILE` reads one YAML file; `-c` may be repeated, and a later file overrides an\n"
    "earlier one key by key (a list as a whole). The environment overrides files. `tillway -t`\n"
    "checks without starting, and names every problem with its file and line. Unknown keys,\n"
    "duplicate keys, anchors, aliases and tags are refused. Relative file names are taken from\n"
    "the directory in which the program was started. `config/tillway.yaml` shows every option\n"
    "with its default.\n"
    "\n"
    "## Environment\n"
    "\n"
    "Every key is also a variable: `TILLWAY_` and the key in capitals, dots as underscores.\n"
    "With `_FILE` behind it, the variable names a file that holds the value (its final line\n"
    "break is dropped), which is the way for secrets: `TILLWAY_DB_URL_FILE=/run/secrets/db_url`.\n"
    "Setting both is an error. An empty variable counts as not set, and `TILLWAY_` variables\n"
    "that belong to no key are ignored. Lists are written as YAML:\n"
    "`TILLWAY_LISTEN='[{address: 0.0.0.0, port: 8080}]'`. Kubernetes sets\n"
    "`TILLWAY_ADMIN_PORT=tcp://...` for a service named `tillway-admin`; a value with `://` in\n"
    "that variable is ignored.\n"
    "\n"
    "## Values\n"
    "\n"
    "A duration is whole numbers with units: `250ms`, `5s`, `10m`, `1h`, `1h30m`. A size is a\n"
    "number of bytes or has a unit: `1024`, `16KiB`, `1MiB`, `1GiB`. A switch is `true` or\n"
    "`false`. \"Reload\" says whether SIGHUP applies a change or a restart is needed.\n"
    "\n"
    "## `listen`\n"
    "\n"
    "A list of at most 16 addresses; the default is `[{address: 0.0.0.0, port: 8080}]`.\n"
    "A reload opens the sockets of new addresses and ports, keeps those of the others, and closes\n"
    "what is gone when the old workers have left; what is still queued there is lost. One port\n"
    "cannot move between an address and all of them (`0.0.0.0`, `::`) by a reload or an upgrade:\n"
    "that needs a restart.\n"
    "\n"
    "| key | meaning |\n"
    "|---|---|\n"
    "| `address` | Numeric IPv4 or IPv6 address, without brackets; default `0.0.0.0`. |\n"
    "| `port` | 0 to 65535, required; 0 lets the kernel choose. |\n"
    "| `proxyProtocol` | `true`: each connection begins with a PROXY header (version 1 or 2), "
    "which "
    "only `http.trusted_proxies` may send. |\n"
    "| `tls.certificate`, `tls.key` | PEM files, both or none. Without `tls` the port is plain "
    "HTTP. |\n"
    "| `tls.ocspFile` | DER file with an OCSP response for the certificate, to be stapled. |\n"
    "| `tls.certificates` | More of them, chosen by the name a client asks for: "
    "`[{certificate: FILE, key: FILE, ocspFile: FILE}]`. A client that asks for none or for an "
    "unknown one gets the first. Certificates of the same names and different kinds of key "
    "belong together. |\n"
    "| `tls.clientCa` | PEM file of authorities: clients are asked for a certificate. |\n"
    "| `tls.clientCertificate` | `optional` (the default) or `required`, with `clientCa`. |\n"
    "\n"
    "The files of `tls` are read again when they change: new handshakes use them within three\n"
    "seconds. Files that cannot be used together change nothing and are one line in the log.\n"
    "docs/tls.md says the rest.\n"
    "\n"
    "## `auth.issuers`\n"
    "\n"
    "A list of 1 to 16 issuers whose tokens are accepted. An Amazon Cognito user pool:\n"
    "\n"
    "```yaml\n"
    "auth:\n"
    "  issuers:\n"
    "    - cognito: {region: eu-west-1, userPoolId: eu-west-1_AbCdEfGhI, clientIds: [web, till]}\n"
    "```\n"
    "\n"
    "| key in `cognito` | meaning |\n"
    "|---|---|\n"
    "| `region`, `userPoolId` | Give the issuer "
    "`https://cognito-idp.{region}.amazonaws.com/{userPoolId}` and its key set. |\n"
    "| `clientIds` | App clients whose tokens are accepted: at least one. |\n"
    "| `tokenUse` | `[access]`, `[id]` or both; default both. |\n"
    "| `scopes`, `groups` | A token must have at least one of each; absent: not checked. |\n"
    "\n"
    "Any other issuer:\n"
    "\n"
    "| key | meaning |\n"
    "|---|---|\n"
    "| `issuer` | Must equal the token's `iss` exactly. |\n"
    "| `jwksUri` | Where the keys are fetched: https, or http on a loopback address. Default: "
    "found by the discovery document, at the issuer and `/.well-known/openid-configuration`. |\n"
    "| `jwksFile` | A file with the key set, instead; read again when it changes. |\n"
    "| `audience` | Accepted audiences, at least one; `clientIds` is another name for it. |\n"
    "| `tokenUse` | As above, for issuers shaped like Cognito; by default it is not checked. |\n"
    "| `algorithms` | Any of `RS256`, `ES256`, `PS256`, `EdDSA`; default `[RS256, ES256]`. A key "
    "is "
    "used with one of them only, whatever a token says. |\n"
    "| `scopes`, `groups` | As above. |\n"
    "\n"
    "## `auth.roles.groups`\n"
    "\n"
    "Which roles the groups of a token grant: `[{group: till-staff, roles: [cashier]}]`. Without\n"
    "it a group grants the role of its own name. Roles are `cashier`, `manager` (has the rights "
    "of\n"
    "a cashier) and `admin` (has all rights, in every store).\n"
    "\n"
    "## `auth.routes`\n"
    "\n"
    "Who may use a route, instead of what the route asks for by itself:\n"
    "\n"
    "```yaml\n"
    "auth:\n"
    "  routes:\n"
    "    - {route: POST /v1/products, roles: [admin], scopes: [pos/catalogue]}\n"
    "```\n"
    "\n"
    "| key | meaning |\n"
    "|---|---|\n"
    "| `route` | Method and path as `tillway routes` lists them. |\n"
    "| `roles` | One of these is needed; `[any]`: every valid token; `[public]`: no token at all, "
    "only for GET. |\n"
    "| `scopes` | One of these is needed as well; absent: not checked. |\n"
    "\n"
    "## `auth.certificates`\n"
    "\n"
    "What the holder of a client certificate may do who sends no token (`listen[].tls.clientCa`):\n"
    "`[{subject: \"CN=till-7,O=Shop\", roles: [cashier], store: north}]`. The subject is written "
    "as\n"
    "RFC 2253 does, the most specific part first. A certificate without a line has no role.\n"
    "\n"
    "## `limits`\n"
    "\n"
    "How often something may be asked for. Every policy that holds for a request is counted, and "
    "a\n"
    "request passes when all of them allow it; otherwise it is answered 429 `quota-exceeded` with "
    "the\n"
    "policies' names and `Retry-After`. Counts are exact over all workers.\n"
    "\n"
    "```yaml\n"
    "limits:\n"
    "  - {name: per-client, key: principal, rate: 100/s, burst: 200}\n"
    "  - {name: sales, key: principal, rate: 20/s, methods: writes, quota: 50000}\n"
    "```\n"
    "\n"
    "| key | meaning |\n"
    "|---|---|\n"
    "| `name` | Stands in headers, metrics and problems. |\n"
    "| `key` | What is counted apart: `principal`, `client` (the app), `address` (IPv6: the /64), "
    "`route`, `claim:NAME`, or several with `+` between, a claim last. Without a token the address "
    "takes the place of principal, client and claim. |\n"
    "| `rate` | `100/s`, `60/m`, `1000/h` or `5000/d`: what comes back as time passes. |\n"
    "| `burst` | What may be used at once after a rest; default the number of `rate`. |\n"
    "| `quota` | So many a day besides, or instead of `rate`; counted as a policy `NAME-day`. |\n"
    "| `cost` | Of one request, default 1. |\n"
    "| `methods` | `all` (the default), `reads` (GET, HEAD, OPTIONS) or `writes`. |\n"
    "| `routes` | Only these, as `tillway routes` lists them; default all. |\n"
    "| `fleet` | Whether it is counted over all nodes where `fleet.redis` is set "
    "(`docs/fleet.md`); default true. |\n"
    "\n"
    "## `http.trusted_proxies`\n"
    "\n"
    "Whose word about a client's address counts: `[10.0.0.0/8, \"2001:db8::/32\"]`. Requests "
    "from\n"
    "these have their client named by `http.forwarded_header`, read from the right up to the "
    "first\n"
    "address that is no trusted proxy. It is what limits count by and what the log shows as "
    "`client`.\n"
    "\n"
    "## `cors.origins`\n"
    "\n"
    "Whose pages may call the gateway from a browser: `[\"https://till.example.com\"]`, or "
    "`[\"*\"]`.\n"
    "Empty, the default: no CORS header is ever sent.\n";

static const char section_head[] = "| key and variable | type | default | allowed | reload | "
                                   "meaning |\n|---|---|---|---|---|---|\n";

void tw_config_options_markdown(FILE *out)
{
    const char *section = "";
    size_t n = 0;
    fputs(preamble, out);
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        const struct tw_option *option = &tw_options[i];
        if (strncmp(section, option->key, n) != 0 || n == 0 || strcspn(option->key, ".") != n) {
            section = option->key;
            n = strcspn(section, ".");
            fprintf(out, "\n## `%.*s`\n\n%s", (int)n, section, section_head);
        }
        print_option_row(option, out);
    }
}

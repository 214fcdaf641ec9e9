// SPDX-License-Identifier: Apache-2.0
// test_config: the table of options, typed values, YAML that is refused, and the snapshot as a
// whole: checks, printing, comparing. Every error is compared with its line and remedy.

#include "test_config_kit.h"

// --- the table -----------------------------------------------------------------------------

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    struct tw_config *config = load_ok("");
    assert_string_equal(config->admin_address, "127.0.0.1");
    assert_int_equal(config->admin_port, 9464);
    assert_int_equal(config->workers, 0);
    assert_int_equal(config->auth_leeway_ms, 30000);
    assert_int_equal(config->auth_jwks_max_stale_ms, 24 * 3600 * 1000);
    assert_string_equal(config->auth_jwks_ca_file, "");
    assert_int_equal(config->http_body_max_bytes, 1048576);
    assert_true(config->pos_prices_include_tax);
    assert_int_equal(config->pos_currency_decimals, 2);
    assert_string_equal(config->log_level, "info");
    assert_int_equal(config->n_listens, 1);
    assert_string_equal(config->listens[0].address, "0.0.0.0");
    assert_int_equal(config->listens[0].port, 8080);
    assert_int_equal(config->listens[0].n_certificates, 0);
    assert_string_equal(config->origins[TW_OPTION_AT_admin_port], "default");
    tw_config_free(config);
}

// Rows are well-formed: limits are values of their own type, and no two keys share a variable.
static void table_is_consistent(void **state)
{
    (void)state;
    char a[TW_CONFIG_ENV_MAX], b[TW_CONFIG_ENV_MAX], b_file[TW_CONFIG_ENV_MAX];
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        const struct tw_option *option = &tw_options[i];
        tw_config_env_name(option->key, "", a);
        bool numeric = option->type != TW_OPTION_STRING && option->type != TW_OPTION_CHOICE &&
                       option->type != TW_OPTION_BOOL;
        if (numeric) {
            tw_config_free(load_env(a, option->min)); // may break an order, but must be in range
            assert_null(strstr(err, "out of range"));
            tw_config_free(load_env(a, option->max));
            assert_null(strstr(err, "out of range"));
        }
        assert_null(strpbrk(option->doc, "|\""));
        assert_int_equal(option->doc[strlen(option->doc) - 1], '.');
        for (size_t j = 0; j < TW_OPTION_COUNT; j++) {
            tw_config_env_name(tw_options[j].key, "", b);
            tw_config_env_name(tw_options[j].key, "_FILE", b_file);
            assert_true(i == j || strcmp(a, b) != 0);
            assert_string_not_equal(a, b_file);
        }
        setenv("TILLWAY_DB_URL", "postgresql:///pos", 1);
    }
}

static void sample_holds_every_default(void **state)
{
    (void)state;
    const char *paths[] = {sample_path};
    struct tw_config *defaults = load_ok("");
    unsetenv("TILLWAY_AUTH_ISSUERS");
    struct tw_config *sample = tw_config_load(paths, 1, err, sizeof err);
    assert_string_equal(err, "");
    assert_non_null(sample);
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        bool own = i == TW_OPTION_AT_db_url; // comes from the environment here
        if (!own && strncmp(sample->origins[i], sample_path, strlen(sample_path)) != 0)
            fail_msg("%s is not in the sample", tw_options[i].key);
        if (!tw_option_equal(&tw_options[i], defaults, sample))
            fail_msg("%s differs from its default in the sample", tw_options[i].key);
    }
    assert_int_equal(sample->n_listens, 1);
    assert_string_equal(sample->issuers[0].issuer,
                        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE00");
    tw_config_free(sample);
    unsetenv("TILLWAY_DB_URL"); // the sample names the key, and alone it is refused for it
    assert_null(tw_config_load(paths, 1, err, sizeof err));
    assert_non_null(strstr(err, "db.url is not set"));
    tw_config_free(defaults);
}

// --- values --------------------------------------------------------------------------------

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; // -1: not a duration; -2: out of range
    } cases[] = {
        {"10ms", 10},
        {"250ms", 250},
        {"5s", 5000},
        {"10m", 600000},
        {"1m30s", 90000},
        {"1s1ms", 1001},
        {"005s", 5000},
        {"5", -1},
        {"s", -1},
        {"5 s", -1},
        {"1.5s", -1},
        {"-1s", -1},
        {"5S", -1},
        {"5sec", -1},
        {"1s1m", -1},
        {"1s1s", -1},
        {"5s ", -1},
        {"1m5", -1},
        {"9ms", -2},
        {"601s", -2},
        {"11m", -2},
        {"1h", -2},
        {"18446744073709551616ms", -2},
        {"18446744073709551615h", -2},
        {"99999999999999999999s1ms", -2},
        {"0s", -2},
        {"\xc2\xb5s", -1},
        {"5\xc2\xb5s", -1},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_config *config = load_env("TILLWAY_DB_SLOW_TIMEOUT", cases[i].text);
        if (cases[i].ms >= 0 && config == NULL)
            fail_msg("%s: %s", cases[i].text, err);
        if (cases[i].ms >= 0)
            assert_int_equal(config->db_slow_timeout_ms, cases[i].ms);
        else if (strstr(err, cases[i].ms == -1 ? "is not a duration" : "out of range") == NULL)
            fail_msg("%s: %s", cases[i].text, err);
        tw_config_free(config);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes; // -1: not a size; -2: out of range
    } cases[] = {
        {"1024", 1024}, {"16KiB", 16384}, {"64MiB", 67108864},
        {"65MiB", -2},  {"1023", -2},     {"1GiB", -2},
        {"1KB", -1},    {"1kib", -1},     {"1 KiB", -1},
        {"KiB", -1},    {"1.5MiB", -1},   {"1MiB1KiB", -1},
        {"-1", -1},     {"0x400", -1},    {"17179869184GiB", -2},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_config *config = load_env("TILLWAY_HTTP_BODY_MAX", cases[i].text);
        if (cases[i].bytes >= 0 && config == NULL)
            fail_msg("%s: %s", cases[i].text, err);
        if (cases[i].bytes >= 0)
            assert_int_equal(config->http_body_max_bytes, cases[i].bytes);
        else if (strstr(err, cases[i].bytes == -1 ? "is not a size" : "out of range") == NULL)
            fail_msg("%s: %s", cases[i].text, err);
        tw_config_free(config);
    }
}

static void other_values(void **state)
{
    (void)state;
    struct tw_config *config = load_ok("workers: 3\nlog: {level: warn, access: false}\n"
                                       "auth: {roles: {claim: 123}}\nadmin: {port: \"0\"}\n");
    assert_int_equal(config->workers, 3);
    assert_string_equal(config->log_level, "warn");
    assert_false(config->log_access);
    assert_string_equal(config->auth_roles_claim, "123");
    assert_int_equal(config->admin_port, 0);
    tw_config_free(config);
    refused("workers: 257\n", "a.yaml:1: workers: \"257\" is out of range: allowed is 0 to 256");
    refused("workers: many\n", "a.yaml:1: workers: \"many\" is not a whole number or auto");
    refused("log:\n  level: loud\n",
            "a.yaml:2: log.level: \"loud\" is not one of debug|info|warn|error");
    refused("log:\n  access: yes\n",
            "a.yaml:2: log.access: \"yes\" is not a switch: write true or false");
    refused_with("admin: {port: 4294967296}", "out of range: allowed is 0 to 65535");
    refused_with("admin: {port: 99999999999999999999999}", "out of range");
    refused_with("admin: {port: -1}", "is not a whole number");
    refused_with("admin: {port: 0x50}", "is not a whole number");
    refused_with("auth: {roles: {claim: \"\"}}", "allowed is 1 to 128 bytes");
    refused_with("auth: {roles: {claim: \"a\\nb\"}}", "control character or a line break");
    refused("log: {level: }\n", "a.yaml:1: log.level: has no value; write one (\"\" is the empty "
                                "text) or remove the line");
    refused("log: {level: [info]}\n", "a.yaml:1: log.level: must be a single value, not a list");
}

static void shares(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ppm; // -1: no share, -2: out of range
    } cases[] = {{"0", 0},         {"1", 1000000},
                 {"1.0", 1000000}, {"0.1", 100000},
                 {"0.25", 250000}, {"0.000001", 1},
                 {"00.5", 500000}, {"1.000001", -2},
                 {"2", -2},        {"99999999999999999999999", -2},
                 {"-0.1", -1},     {".5", -1},
                 {"1.", -1},       {"0.0000001", -1},
                 {"0.5x", -1},     {"1e-3", -1},
                 {"10%", -1},      {"0.1.1", -1}};
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_config *config = load_env("TILLWAY_LOG_SAMPLE_2XX", cases[i].text);
        if ((cases[i].ppm >= 0) != (config != NULL))
            fail_msg("%s: %s", cases[i].text, err);
        if (config)
            assert_int_equal(config->log_sample_2xx_ppm, cases[i].ppm);
        else if (!strstr(err, cases[i].ppm == -1 ? "is not a share" : "out of range"))
            fail_msg("%s: %s", cases[i].text, err);
        tw_config_free(config);
    }
}

static void collectors(void **state)
{
    (void)state;
    struct tw_config *config = load_ok("tracing: {endpoint: \"http://collector:4318/v1/traces\", "
                                       "header: \"api-key: x\", sample: 0.5}\n");
    assert_int_equal(config->tracing_sample_ppm, 500000);
    tw_config_free(config);
    refused_with("tracing: {endpoint: \"collector:4318\"}", "must begin with http:// or https://");
    refused_with("tracing: {endpoint: \"http:///v1/traces\"}", "has no valid host and port");
    refused_with("tracing: {endpoint: \"https://a:b@c/\"}", "must not contain a user name");
    refused_with("tracing: {header: \"no colon\"}", "is not a header: write Name: value");
    refused_with("tracing: {header: \"Name:\"}", "is not a header");
    refused_with("tracing: {header: \"bad name: x\"}", "is not a header");
    refused_with("tracing: {ca_file: /nowhere/ca.pem}", "cannot read /nowhere/ca.pem");
    refused_with("tracing: {sample: 1.5}", "out of range: allowed is 0 to 1");
}

static void currencies(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        unsigned decimals;
    } cases[] = {{"EUR", 2}, {"USD", 2}, {"JPY", 0}, {"BIF", 0},
                 {"XPF", 0}, {"KWD", 3}, {"TND", 3}};
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_config *config = load_env("TILLWAY_POS_CURRENCY", cases[i].code);
        assert_non_null(config);
        assert_int_equal(config->pos_currency_decimals, cases[i].decimals);
        tw_config_free(config);
    }
    refused_with("pos: {currency: eur}", "a.yaml:1: pos.currency: \"eur\" is not an ISO 4217 code");
    refused_with("pos: {currency: \"Y K\"}", "is not an ISO 4217 code");
    refused_with("pos: {currency: EURO}", "has the wrong length: allowed is 3 bytes");
    refused_with("pos: {time_zone: \"Europe/Ber lin\"}", "is not a time zone");
    refused_with("pos: {business_day_start: 24h}", "allowed is 0s to 23h59m");
}

// --- YAML ----------------------------------------------------------------------------------

static void keys_nobody_knows(void **state)
{
    (void)state;
    refused("# head\ndb:\n  max_connections: 4\n  queue_timout: 1s\n",
            "a.yaml:4: db.queue_timout: unknown key; did you mean \"db.queue_timeout\"?");
    refused("databse: {}\n", "a.yaml:1: databse: unknown key; remove it or see "
                             "docs/configuration.md");
    refused("db: {ulr: x}\n", "a.yaml:1: db.ulr: unknown key; did you mean \"db.url\"?");
    refused("loog: {level: info}\n", "a.yaml:1: loog: unknown key; did you mean \"log\"?");
    refused("db: {maxConnections: 4}\n",
            "a.yaml:1: db.maxConnections: unknown key; did you mean \"db.max_connections\"?");
    refused("queue_max: 4\n", "a.yaml:1: queue_max: unknown key; did you mean \"db.queue_max\"?");
    refused("auth: {jwks: {refersh: 1h}}\n",
            "a.yaml:1: auth.jwks.refersh: unknown key; did you mean \"auth.jwks.refresh\"?");
    refused("webhooks: []\n",
            "a.yaml:1: webhooks: unknown key; remove it or see docs/configuration.md");
    refused("db.queue_max: 4\n",
            "a.yaml:1: db.queue_max: write the key nested, one level for each dot");
    refused("listen: [{port: 80, adress: \"::\"}]\n",
            "a.yaml:1: listen[0].adress: unknown key; did you mean \"address\"?");
    refused("listen:\n  - port: 80\n    tls:\n      cert: x\n",
            "a.yaml:4: listen[0].tls.cert: unknown key; remove it or see docs/configuration.md");
    refused("log: info\n", "a.yaml:1: log: must be a mapping of keys to values");
    char long_key[400] = "";
    memset(long_key, 'k', 300);
    strncpy(long_key + 300, ": 1\n", 5);
    refused_with(long_key, "unknown key");
    refused("\"a\\nb\": 1\n", "a.yaml:1: a?b: unknown key; remove it or see docs/configuration.md");
}

static void yaml_that_is_refused(void **state)
{
    (void)state;
    refused("log:\n  level: info\n  access: true\n  level: warn\n",
            "a.yaml:4: level: this key is already there in line 2; keep one of them");
    refused("log: {level: info}\nlog: {access: true}\n",
            "a.yaml:2: log: this key is already there in line 1; keep one of them");
    refused_with("pos: {currency: &c EUR}\n", "a.yaml:1: anchors, aliases and tags");
    refused_with("log: {}\npos: {currency: !!str EUR}\n", "a.yaml:2: anchors, aliases and tags");
    refused_with("listen: &l [{port: 80}, *l]\n", "anchors, aliases and tags");
    refused_with("log: *nowhere\n", "a.yaml:1: ");
    refused("log: {}\n---\ndb: {}\n",
            "a.yaml:2: a second YAML document begins here; give it a file of its own");
    refused("- log\n", "a.yaml:1: the file must be a mapping of keys to values");
    refused("{[a]: b}\n", "a.yaml:1: a key must be one word");
    refused_with("pos: {currency: \"E\\0R\"}\n", "a.yaml:1: a text must not contain a zero byte");
    refused_with("log:\n\tlevel: info\n", "a.yaml:2: not valid YAML: ");
    refused_with("log:\n\tlevel: info\n", "indent with spaces, not tabs");
    refused_with("log:\n  level: [info\n", "a.yaml:3: not valid YAML: did not find expected");
    refused_with("log:\n\n  level: \"\xff\"\n", "a.yaml:3: not valid YAML: ");
    refused_with("[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]", "nested more than 16 levels");
}

static void yaml_that_is_fine(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n# nothing\n",
                                        "---\n",
                                        "{}",
                                        "log:\n",
                                        "log: {}\n",
                                        "~",
                                        "---\nlog: {level: info}\n...\n",
                                        "\xef\xbb\xbflog: {level: info}\n",
                                        "log:\r\n  level: info"};
    for (size_t i = 0; i < TW_COUNT(texts); i++)
        tw_config_free(load_ok(texts[i]));
}

static void too_much_text(void **state)
{
    (void)state;
    FILE *file = fopen("a.yaml", "w");
    for (int i = 0; i < 1025; i++)
        fprintf(file, "k%d: 1\n", i);
    fclose(file);
    assert_null(load_files(1));
    assert_string_equal(err, "a.yaml:1: more than 1024 entries");
    file = fopen("a.yaml", "w");
    for (int i = 0; i <= 1024; i++)
        fprintf(file, "#%1023s", "\n");
    fclose(file);
    assert_null(load_files(1));
    assert_string_equal(err, "a.yaml is larger than 1024 KiB");
}

// --- the whole -----------------------------------------------------------------------------

static void nothing_is_not_enough(void **state)
{
    (void)state;
    clear_environment();
    refused("", "db.url is not set; set db.url in a file, TILLWAY_DB_URL, or TILLWAY_DB_URL_FILE\n"
                "auth.issuers is empty, so every request would be refused; add one, such as "
                "{cognito: {region: .., userPoolId: .., clientIds: [..]}}");
    refused_with("auth: {issuers: []}\ndb: {url: x}\n", "auth.issuers is empty");
}

static void contradictions(void **state)
{
    (void)state;
    refused("db:\n  backoff_min: 6s\n",
            "a.yaml:2: db.backoff_min must not be larger than db.backoff_max");
    refused("db:\n  backoff_max: 50ms\n",
            "a.yaml:2: db.backoff_min must not be larger than db.backoff_max");
    refused_with("auth: {jwks: {refresh: 10s, min_refetch: 11s}}", "must not be larger than");
    refused_with("auth: {jwks: {max_stale: 10m}}", "auth.jwks.refresh must not be larger than");
    refused("auth:\n  jwks:\n    ca_file: gone\n",
            "a.yaml:3: auth.jwks.ca_file: cannot read gone: No such file or directory");
    refused_with("admin: {address: localhost}", "is not a numeric IPv4 or IPv6 address");
}

static void every_problem_is_told_once(void **state)
{
    (void)state;
    char small[200];
    const char *paths[] = {"a.yaml"};
    refused("log: {level: x}\nworkers: y\nz: 1\n",
            "a.yaml:1: log.level: \"x\" is not one of debug|info|warn|error\n"
            "a.yaml:2: workers: \"y\" is not a whole number or auto\n"
            "a.yaml:3: z: unknown key; remove it or see docs/configuration.md");
    assert_null(tw_config_load(paths, 1, small, sizeof small));
    assert_string_equal(small, "a.yaml:1: log.level: \"x\" is not one of debug|info|warn|error\n"
                               "a.yaml:2: workers: \"y\" is not a whole number or auto\n"
                               "(and 1 more)");
    for (size_t size = 0; size < sizeof small; size++) {
        memset(small, 'Z', sizeof small);
        assert_null(tw_config_load(paths, 1, small, size));
        if (size > 0)
            assert_true(memchr(small, '\0', size) != NULL);
        assert_int_equal(small[size], 'Z');
    }
    assert_null(tw_config_load(paths, 1, NULL, 0));
}

static void secrets_stay_secret(void **state)
{
    (void)state;
    struct tw_config *config = load_env("TILLWAY_DB_URL", "postgresql://u:hunter2@h/d");
    char *text = printed(config);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "url: \"***\""));
    free(text);
    tw_config_free(config);
    refused_with("db: {url: \"hunter2\\n\"}", "the value (hidden) contains");
    assert_null(strstr(err, "hunter2"));
}

static void what_is_printed_loads_again(void **state)
{
    (void)state;
    write_file("cert", "");
    struct tw_config *first = load_ok(
        "listen: [{port: 1, tls: {certificate: cert, key: cert}}]\n"
        "pos: {business_day_start: 4h30m}\nhttp: {body_max: 1536KiB, url_max: 1000}\n"
        "auth: {leeway: 1s5ms, roles: {claim: 'a\"b\\c'}}\nworkers: 2\n");
    char *text = printed(first);
    assert_non_null(strstr(text, "business_day_start: 4h30m # a.yaml:2\n"));
    assert_non_null(strstr(text, "body_max: 1536KiB # a.yaml:3\n"));
    unsetenv("TILLWAY_AUTH_ISSUERS");
    struct tw_config *second = load_ok(text);
    for (size_t i = 0; i < TW_OPTION_COUNT; i++)
        assert_true(tw_options[i].secret || tw_option_equal(&tw_options[i], first, second));
    assert_string_equal(second->listens[0].certificates[0].key, "cert");
    assert_string_equal(second->issuers[0].issuer, "https://id.example.com");
    free(text);
    tw_config_free(first);
    tw_config_free(second);
}

static void restart_keys(void **state)
{
    (void)state;
    char keys[64];
    struct tw_config *a = load_ok("");
    struct tw_config *b = load_ok("log: {level: warn}\n");
    struct tw_config *c = load_ok("workers: 2\nadmin: {address: 127.0.0.2, port: 1}\n"
                                  "listen: [{port: 1}]\nrate_limits: {entries: 2048}\n");
    assert_int_equal(tw_config_restart_keys(a, b, keys, sizeof keys), 0);
    assert_string_equal(keys, "");
    assert_int_equal(tw_config_restart_keys(a, c, keys, sizeof keys), 3);
    assert_string_equal(keys, "admin.address, admin.port, rate_limits.entries");
    assert_int_equal(tw_config_restart_keys(a, c, keys, 16), 3);
    assert_string_equal(keys, "admin.address, ");
    assert_true(tw_config_keep_restart_values(c, a));
    assert_int_equal(tw_config_restart_keys(a, c, keys, sizeof keys), 0);
    assert_string_equal(c->admin_address, a->admin_address);
    assert_ptr_not_equal(c->admin_address, a->admin_address); // which may be freed
    assert_int_equal(c->admin_port, a->admin_port);
    assert_int_equal(c->workers, 2);
    tw_config_free(a);
    tw_config_free(b);
    tw_config_free(c);
    tw_config_free(NULL);
}

static void markdown_names_every_option(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    tw_config_options_markdown(out);
    fclose(out);
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        char row[256], name[TW_CONFIG_ENV_MAX];
        tw_config_env_name(tw_options[i].key, "", name);
        snprintf(row, sizeof row, "| `%s`<br>`%s` | ", tw_options[i].key, name);
        assert_non_null(strstr(text, row));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(defaults_are_those_of_the_table),
        CONFIG_TEST(table_is_consistent),
        CONFIG_TEST(sample_holds_every_default),
        CONFIG_TEST(durations),
        CONFIG_TEST(sizes),
        CONFIG_TEST(other_values),
        CONFIG_TEST(shares),
        CONFIG_TEST(collectors),
        CONFIG_TEST(currencies),
        CONFIG_TEST(keys_nobody_knows),
        CONFIG_TEST(yaml_that_is_refused),
        CONFIG_TEST(yaml_that_is_fine),
        CONFIG_TEST(too_much_text),
        CONFIG_TEST(nothing_is_not_enough),
        CONFIG_TEST(contradictions),
        CONFIG_TEST(every_problem_is_told_once),
        CONFIG_TEST(secrets_stay_secret),
        CONFIG_TEST(what_is_printed_loads_again),
        CONFIG_TEST(restart_keys),
        CONFIG_TEST(markdown_names_every_option),
    };
    return cmocka_run_group_tests(tests, enter_work_directory, leave_work_directory);
}

// SPDX-License-Identifier: Apache-2.0
// config_env: every option by environment variable, or by a file that a variable names.
//
// db.url is TILLWAY_DB_URL, or the content of the file named by TILLWAY_DB_URL_FILE without its
// final line break; both at once are an error. Lists are YAML text: TILLWAY_LISTEN='[{port: 80}]'.
// A variable that is set but empty counts as not set (compose files write ${NAME:-}). Variables
// nobody knows are ignored, because Kubernetes sets some for every service of our namespace; for a
// service "tillway-admin" it even sets TILLWAY_ADMIN_PORT=tcp://10.0.0.1:9464, which is therefore
// not taken for a port. Runs in: master and command line.

#include "config/internal.h"

#include <stdlib.h>

// A variable's value, and the place to name in errors.
struct variable {
    struct tw_config_place place;
    struct tw_str text;
};

void tw_config_env_name(const char *key, const char *suffix, char out[TW_CONFIG_ENV_MAX])
{
    snprintf(out, TW_CONFIG_ENV_MAX, "TILLWAY_%s", key);
    for (char *p = out; *p != '\0'; p++)
        *p = *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - ('a' - 'A')) : *p;
    size_t used = strlen(out);
    snprintf(out + used, TW_CONFIG_ENV_MAX - used, "%s", suffix);
}

// NULL when not set or empty.
static const char *get_nonempty(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

static bool is_service_link(const char *key, const char *value)
{
    return strcmp(key, "admin.port") == 0 && strstr(value, "://") != NULL;
}

static struct tw_str without_line_break(struct tw_str text)
{
    if (text.n > 0 && text.p[text.n - 1] == '\n')
        text.n--;
    if (text.n > 0 && text.p[text.n - 1] == '\r')
        text.n--;
    return text;
}

static bool read_secret(struct tw_config_load *load, const char *key, const char *path,
                        struct variable *variable)
{
    if (!tw_config_read_file(load, variable->place, key, path, TW_CONFIG_SECRET_MAX,
                             &variable->text))
        return false;
    variable->text = without_line_break(variable->text);
    if (variable->text.n == 0)
        tw_config_fail(load, variable->place, key, "%s is empty", path);
    return variable->text.n > 0;
}

// Whether `key` is set by environment; if so, fills in `variable`.
static bool look_up(struct tw_config_load *load, const char *key, struct variable *variable)
{
    char name[TW_CONFIG_ENV_MAX], file_name[TW_CONFIG_ENV_MAX];
    tw_config_env_name(key, "", name);
    tw_config_env_name(key, "_FILE", file_name);
    const char *value = get_nonempty(name), *path = get_nonempty(file_name);
    if (value != NULL && is_service_link(key, value))
        value = NULL;
    if (value == NULL && path == NULL)
        return false;
    variable->place = (struct tw_config_place){
        tw_config_copy(load, tw_str_of(value != NULL ? name : file_name)), 0};
    variable->text = tw_str_of(value);
    if (value == NULL)
        return read_secret(load, key, path, variable);
    if (path != NULL)
        tw_config_fail(load, variable->place, key, "%s is set too; unset one of them", file_name);
    return path == NULL;
}

static void set_list(struct tw_config_load *load, const struct tw_config_list *list,
                     const struct variable *variable)
{
    const struct tw_config_node *node = tw_config_yaml_parse(load, variable->place.name,
                                                             variable->text);
    if (node != NULL)
        list->set(load, node);
}

void tw_config_env_apply(struct tw_config_load *load)
{
    struct variable variable;
    for (size_t i = 0; i < TW_OPTION_COUNT; i++)
        if (look_up(load, tw_options[i].key, &variable))
            tw_option_set(load, variable.place, &tw_options[i], variable.text);
    for (size_t i = 0; i < TW_COUNT(tw_config_lists); i++)
        if (look_up(load, tw_config_lists[i].key, &variable))
            set_list(load, &tw_config_lists[i], &variable);
}

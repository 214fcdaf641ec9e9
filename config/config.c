// SPDX-License-Identifier: Apache-2.0
// config: makes a snapshot: defaults, files, environment, checks; and compares two of them.
//
// The snapshot, its strings and whatever the loader needed on the way live in one memory that
// tw_config_free() gives back. Runs in: master and command line.

#include "config/config.h"
#include "config/internal.h"

static struct tw_config *new_snapshot(struct tw_config_load *load)
{
    struct tw_config_memory *memory = tw_config_memory_new();
    if (memory == NULL)
        return NULL;
    struct tw_config *config = tw_config_memory_take(memory, sizeof *config);
    load->origins = tw_config_memory_take(memory, TW_OPTION_COUNT * sizeof *load->origins);
    if (config == NULL || load->origins == NULL) {
        tw_config_memory_free(memory);
        return NULL;
    }
    config->memory = memory;
    config->origins = load->origins;
    return config;
}

static void set_defaults(struct tw_config_load *load)
{
    for (size_t i = 0; i < TW_OPTION_COUNT; i++)
        tw_option_set(load, (struct tw_config_place){"default", 0}, &tw_options[i],
                      tw_str_of(tw_options[i].initial));
}

static void load_file(struct tw_config_load *load, const char *path)
{
    struct tw_str text;
    if (!tw_config_read_file(load, (struct tw_config_place){0}, NULL, path, TW_CONFIG_FILE_MAX,
                             &text))
        return;
    const struct tw_config_node *top = tw_config_yaml_parse(load, path, text);
    if (top != NULL)
        tw_config_apply(load, top);
}

struct tw_config *tw_config_load(const char *const *paths, size_t n_paths, char *err,
                                 size_t err_size)
{
    struct tw_config_load load = {.err = err, .err_size = err_size};
    if (err_size > 0)
        err[0] = '\0';
    load.config = new_snapshot(&load);
    if (load.config == NULL) {
        tw_config_fail(&load, (struct tw_config_place){0}, NULL, "out of memory");
        return NULL;
    }
    set_defaults(&load);
    for (size_t i = 0; i < n_paths; i++)
        load_file(&load, paths[i]);
    tw_config_env_apply(&load);
    if (load.config->n_listens == 0 && !tw_config_listen_default(&load))
        load.config->n_listens = 0; // reported; the load fails below
    if (load.n_errors == 0)
        tw_config_check(&load);
    if (load.n_errors == 0)
        return load.config;
    tw_config_fail_finish(&load);
    tw_config_free(load.config);
    return NULL;
}

void tw_config_free(struct tw_config *config)
{
    if (config != NULL)
        tw_config_memory_free(config->memory);
}

static void append_key(char *out, size_t size, const char *key)
{
    size_t used = size > 0 ? strlen(out) : 0;
    if (used < size)
        snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", key);
}

size_t tw_config_restart_keys(const struct tw_config *before, const struct tw_config *after,
                              char *out, size_t size)
{
    size_t n = 0;
    if (size > 0)
        out[0] = '\0';
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        if (tw_options[i].reloadable || tw_option_equal(&tw_options[i], before, after))
            continue;
        append_key(out, size, tw_options[i].key);
        n++;
    }
    return n;
}

bool tw_config_keep_restart_values(struct tw_config *after, const struct tw_config *before)
{
    for (size_t i = 0; i < TW_OPTION_COUNT; i++) {
        if (tw_options[i].reloadable || tw_option_equal(&tw_options[i], before, after))
            continue;
        const char *origin = tw_config_memory_text(after->memory, before->origins[i]);
        if (!origin || !tw_option_copy(&tw_options[i], after, before))
            return false;
        after->origins[i] = origin;
    }
    return true;
}

const char *tw_config_origin(const struct tw_config *config, const char *key)
{
    for (size_t i = 0; i < TW_OPTION_COUNT; i++)
        if (strcmp(tw_options[i].key, key) == 0)
            return config->origins[i];
    return "";
}

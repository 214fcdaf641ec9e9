// SPDX-License-Identifier: Apache-2.0
// config_memory: one list of blocks that holds a snapshot, and the reading of files into it.
//
// Everything a load makes (nodes included) is taken from here and freed together, so no path of
// the loader frees by hand. A configuration is small and read rarely: one block per request for
// memory is simple and lets the sanitizers see each bound. Runs in: master and command line.

#include "config/internal.h"

#include <errno.h>
#include <stdlib.h>

struct block {
    struct block *next;
    max_align_t bytes[];
};

struct tw_config_memory {
    struct block *blocks;
};

struct tw_config_memory *tw_config_memory_new(void)
{
    return calloc(1, sizeof(struct tw_config_memory));
}

void tw_config_memory_free(struct tw_config_memory *memory)
{
    if (memory == NULL)
        return;
    while (memory->blocks != NULL) {
        struct block *block = memory->blocks;
        memory->blocks = block->next;
        free(block);
    }
    free(memory);
}

void *tw_config_memory_take(struct tw_config_memory *memory, size_t n)
{
    struct block *block = NULL;
    if (n <= SIZE_MAX - sizeof *block)
        block = calloc(1, sizeof *block + n);
    if (block == NULL)
        return NULL;
    block->next = memory->blocks;
    memory->blocks = block;
    return block->bytes;
}

void *tw_config_alloc(struct tw_config_load *load, size_t n)
{
    void *taken = tw_config_memory_take(load->config->memory, n);
    if (taken == NULL)
        tw_config_fail(load, (struct tw_config_place){0}, NULL, "out of memory");
    return taken;
}

const char *tw_config_copy(struct tw_config_load *load, struct tw_str text)
{
    char *copy = tw_config_alloc(load, text.n + 1);
    if (copy != NULL && text.n > 0)
        memcpy(copy, text.p, text.n);
    return copy;
}

// Reads until the end or until `max` + 1 bytes are there. Pipes are fine (-c /dev/stdin).
static bool read_all(FILE *file, char *buffer, size_t max, size_t *n)
{
    *n = fread(buffer, 1, max + 1, file);
    return !ferror(file);
}

bool tw_config_read_file(struct tw_config_load *load, struct tw_config_place place, const char *key,
                         const char *path, size_t max, struct tw_str *out)
{
    bool ok = false;
    size_t n = 0;
    char *buffer = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        tw_config_fail(load, place, key, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    buffer = malloc(max + 1);
    if (buffer == NULL || !read_all(file, buffer, max, &n)) {
        tw_config_fail(load, place, key, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    if (n > max) {
        tw_config_fail(load, place, key, "%s is larger than %zu KiB", path, max / 1024);
        goto out;
    }
    const char *copy = tw_config_copy(load, (struct tw_str){buffer, n});
    *out = (struct tw_str){copy, n};
    ok = copy != NULL;
out:
    free(buffer);
    fclose(file);
    return ok;
}

// SPDX-License-Identifier: Apache-2.0
// config_memory: one list of blocks that holds a snapshot, and the reading of files into it.
//
// Everything a load makes (nodes included) is taken from here and freed together, so no path of
// the loader frees by hand. A configuration is small and read rarely: one block per request for
// memory is simple and lets the sanitizers see each bound. Runs in: master and command line.

#include "config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

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

const char *tw_config_memory_text(struct tw_config_memory *memory, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = tw_config_memory_take(memory, n);
    if (copy != NULL)
        memcpy(copy, text, n);
    return copy;
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

// Reads until the end or until `max` + 1 bytes are there; pipes are fine (-c /dev/stdin).
static bool read_all(int fd, char *buffer, size_t max, size_t *n)
{
    ssize_t got = 1;
    for (*n = 0; got != 0 && *n <= max;) {
        got = read(fd, buffer + *n, max + 1 - *n);
        if (got < 0 && errno != EINTR)
            return false;
        *n += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool read_open_file(struct tw_config_load *load, struct tw_config_place place,
                           const char *key, const char *path, int fd, size_t max,
                           struct tw_str *out)
{
    size_t n = 0;
    bool ok = false;
    char *buffer = malloc(max + 1);
    if (buffer == NULL || !read_all(fd, buffer, max, &n)) {
        tw_config_fail(load, place, key, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    if (n > max) {
        tw_config_fail(load, place, key, "%s is larger than %zu KiB", path, max / 1024);
        goto out;
    }
    out->p = tw_config_copy(load, (struct tw_str){buffer, n});
    out->n = n;
    ok = out->p != NULL;
out:
    free(buffer);
    return ok;
}

bool tw_config_read_file(struct tw_config_load *load, struct tw_config_place place, const char *key,
                         const char *path, size_t max, struct tw_str *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        tw_config_fail(load, place, key, "cannot read %s: %s", path, strerror(errno));
        return false;
    }
    bool ok = read_open_file(load, place, key, path, fd, max, out);
    close(fd);
    return ok;
}

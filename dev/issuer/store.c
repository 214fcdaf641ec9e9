// SPDX-License-Identifier: Apache-2.0
// store: see store.h. A file is replaced by rename: a reader needs no lock and never sees half.

#include "dev/issuer/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/issuer/key.h"

static MUST_USE bool path_of(char out[PATH_MAX], const char *dir, const char *file)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", dir, file);
    return n > 0 && n < PATH_MAX;
}

// Replaces DIR/file as a whole; only its owner may read it.
static MUST_USE bool file_write(const char *dir, const char *file, const char *text)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    if (!path_of(path, dir, file) || !path_of(temporary, dir, ".new-XXXXXX"))
        return false;
    int fd = mkstemp(temporary); // mode 0600
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out)
        return false;
    bool ok = fputs(text, out) >= 0;
    ok = fclose(out) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    if (!ok)
        unlink(temporary);
    return ok;
}

json_t *store_read(const char *dir)
{
    char path[PATH_MAX];
    json_error_t error;
    if (!path_of(path, dir, "keys.json"))
        return NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return json_pack("{s:s, s:[]}", "current", "", "keys");
    json_t *keys = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!keys)
        fprintf(stderr, "tillway-issuer: %s: %s\n", path, error.text);
    return keys;
}

static MUST_USE bool store_write(const char *dir, json_t *keys)
{
    char *text = json_dumps(keys, JSON_INDENT(1));
    bool ok = text && file_write(dir, "keys.json", text);
    free(text);
    return ok;
}

int store_lock(const char *dir)
{
    char path[PATH_MAX];
    if (!path_of(path, dir, "lock"))
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

json_t *store_find(json_t *keys, const char *kid, const char *alg)
{
    json_t *list = json_object_get(keys, "keys");
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *key = json_array_get(list, i);
        if ((!kid || strcmp(text_of(key, "kid"), kid) == 0) &&
            (!alg || strcmp(text_of(key, "alg"), alg) == 0))
            return key;
    }
    return NULL;
}

json_t *store_jwks(json_t *keys)
{
    json_t *list = json_array(), *key;
    size_t i;
    json_array_foreach (json_object_get(keys, "keys"), i, key) {
        json_t *jwk = key_public(key);
        if (!jwk) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, jwk);
    }
    return json_pack("{s:o}", "keys", list);
}

bool store_add(const char *dir, const char *alg, bool drop, bool make_current)
{
    bool ok = false;
    json_t *keys = store_read(dir), *key = NULL;
    if (!keys)
        goto out;
    if (!alg)
        alg = text_of(store_find(keys, text_of(keys, "current"), NULL), "alg");
    key = key_make(*alg ? alg : "RS256");
    if (!key)
        goto out;
    if (drop)
        json_array_clear(json_object_get(keys, "keys"));
    json_array_append(json_object_get(keys, "keys"), key);
    if (make_current)
        json_object_set(keys, "current", json_object_get(key, "kid"));
    ok = store_write(dir, keys);
out:
    json_decref(key);
    json_decref(keys);
    return ok;
}

void store_init(const char *dir, const char *alg)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        die("%s: %s", dir, strerror(errno));
    int lock = store_lock(dir);
    if (lock < 0)
        die("%s: cannot lock: %s", dir, strerror(errno));
    const char *needed[] = {"RS256", alg};
    for (size_t i = 0; i < 2; i++) {
        json_t *keys = store_read(dir);
        bool first = keys && json_array_size(json_object_get(keys, "keys")) == 0;
        bool ok = keys && (!needed[i] || store_find(keys, NULL, needed[i]) ||
                           store_add(dir, needed[i], false, first));
        json_decref(keys);
        if (!ok)
            die("cannot make keys in %s", dir);
    }
    close(lock);
}

json_t *store_read_or_die(const char *dir)
{
    json_t *keys = store_read(dir);
    if (!keys || json_array_size(json_object_get(keys, "keys")) == 0)
        die("no keys in %s: tillway-issuer init %s", dir, dir);
    return keys;
}

const char *store_issuer(const char *dir, char out[STORE_ISSUER_BYTES])
{
    char path[PATH_MAX];
    FILE *in = path_of(path, dir, "issuer") ? fopen(path, "re") : NULL;
    if (!in || !fgets(out, STORE_ISSUER_BYTES, in))
        die("--issuer URL is missing, and nothing was served from %s yet", dir);
    fclose(in);
    out[strcspn(out, "\n")] = '\0';
    return out;
}

bool store_set_issuer(const char *dir, const char *url)
{
    return file_write(dir, "issuer", url);
}

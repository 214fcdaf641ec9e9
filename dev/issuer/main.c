// SPDX-License-Identifier: Apache-2.0
// tillway-issuer: a Cognito-shaped token issuer for development and tests. Here: its command line.
//
//   main -> serve -> store -> key -> base, mint/      (each .h says what it is for)
//
// Not for production: private keys lie unencrypted on disk and anybody who reaches the port may
// rotate them. It shares mint/ with `tillway token`, and no code with what judges tokens (auth/) on
// purpose, so that a mistake in one of the two does not hide in the other. Token shapes: Amazon
// Cognito user pools; key ids: RFC 7638.

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dev/issuer/key.h"
#include "dev/issuer/serve.h"
#include "dev/issuer/store.h"
#include "mint/token.h"

static const char usage_text[] =
    "usage: tillway-issuer init DIR [--alg RS256|ES256]\n"
    "       tillway-issuer serve --dir DIR [--port N] [--address 127.0.0.1] [--pool ID]\n"
    "       tillway-issuer jwks --dir DIR\n"
    "       tillway-issuer token --dir DIR [--issuer URL] [--role cashier|manager|admin|none]...\n"
    "           [--store main] [--use access|id] [--client tillway-pos] [--sub UUID]\n"
    "           [--username ana] [--ttl SECONDS] [--kid KID | --alg RS256|ES256]\n"
    "           [--claim NAME=VALUE]...\n"
    "A role list may be separated by commas. --store '' leaves the claim out. A claim's VALUE is\n"
    "JSON if it parses, else text; null removes the claim. A negative ttl makes an expired "
    "token.\n";

// Every option with its default; all take an argument. --role and --claim may be repeated.
#define OPTIONS(XX)                                                                      \
    XX(dir, NULL)                                                                        \
    XX(alg, NULL) /* init: also make such a key; token: sign with the newest such key */ \
    XX(address, "127.0.0.1")                                                             \
    XX(port, "0")                                                                        \
    XX(pool, "local_Tillway1")                                                           \
    XX(issuer, NULL) /* as served last from dir */                                       \
    XX(store, "main")                                                                    \
    XX(use, "access")                                                                    \
    XX(client, "tillway-pos")                                                            \
    XX(sub, NULL) /* derived from the user name */                                       \
    XX(username, "ana")                                                                  \
    XX(ttl, "3600")                                                                      \
    XX(kid, NULL) /* the current key */                                                  \
    XX(role, NULL)                                                                       \
    XX(claim, NULL)

struct options {
#define XX(name, def) const char *name;
    OPTIONS(XX)
#undef XX
    json_t *roles;  // owned
    json_t *claims; // owned: what --claim adds, or removes by null
};

static void roles_add(json_t *roles, const char *list)
{
    for (size_t n; *list; list += n + (list[n] == ',')) {
        n = strcspn(list, ",");
        if (n > 0 && !(n == 4 && strncmp(list, "none", 4) == 0))
            json_array_append_new(roles, json_stringn(list, n));
    }
}

static void claim_add(json_t *claims, const char *text)
{
    size_t n = strcspn(text, "=");
    if (n == 0 || !text[n])
        die("--claim wants NAME=VALUE");
    char *name = strndup(text, n);
    json_t *value = json_loads(text + n + 1, JSON_DECODE_ANY, NULL);
    if (!value)
        value = json_string(text + n + 1);
    if (!name || json_object_set_new(claims, name, value) != 0)
        die("--claim wants NAME=VALUE in UTF-8");
    free(name);
}

static long number(const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        die("'%s' is not a number from %ld to %ld", text, min, max);
    return value;
}

static bool one_of(const char *text, const char *a, const char *b)
{
    return !text || strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

static void check(const struct options *o)
{
    static const char pool_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (!one_of(o->alg, "RS256", "ES256"))
        die("--alg is RS256 or ES256");
    if (!one_of(o->use, "access", "id"))
        die("--use is access or id");
    if (!*o->pool || o->pool[strspn(o->pool, pool_chars)] || strlen(o->pool) > 64)
        die("'%s' is not a pool id", o->pool);
}

// Reads all options into `o` and leaves optind at the first word that is none.
static void parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
#define XX(name, def) {#name, required_argument, NULL, 0},
        OPTIONS(XX)
#undef XX
            {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char **const values[] = {
#define XX(name, def) &o->name,
        OPTIONS(XX)
#undef XX
    };
    int index, letter;
    while ((letter = getopt_long(argc, argv, "h", longs, &index)) != -1) {
        if (letter != 0) {
            fputs(usage_text, letter == 'h' ? stdout : stderr);
            exit(letter == 'h' ? 0 : 2);
        }
        *values[index] = optarg;
        if (values[index] == &o->role)
            roles_add(o->roles, optarg);
        if (values[index] == &o->claim)
            claim_add(o->claims, optarg);
    }
    if (!o->role)
        roles_add(o->roles, "cashier");
    check(o);
}

static void print_token(const struct options *o, long ttl_s)
{
    char url[STORE_ISSUER_BYTES];
    json_t *keys = store_read_or_die(o->dir);
    const char *kid = o->kid || o->alg ? o->kid : text_of(keys, "current");
    const json_t *key = store_find(keys, kid, o->alg);
    if (!key)
        die("no such key in %s", o->dir);
    const struct tw_mint_wish wish = {
        .issuer = o->issuer ? o->issuer : store_issuer(o->dir, url),
        .use = o->use,
        .client = o->client,
        .username = o->username,
        .sub = o->sub,
        .store = o->store,
        .roles = o->roles,
        .claims = o->claims,
        .ttl_s = ttl_s,
    };
    char err[256] = "cannot sign";
    struct tw_mint_key *opened = key_open(key);
    char *token = opened ? tw_mint_token(opened, &wish, err, sizeof(err)) : NULL;
    if (!token)
        die("%s", err);
    if (puts(token) < 0)
        die("cannot print the token");
    free(token);
    tw_mint_key_free(opened);
    json_decref(keys);
}

static void print_jwks(const char *dir)
{
    json_t *keys = store_read_or_die(dir), *jwks = store_jwks(keys);
    if (!jwks || json_dumpf(jwks, stdout, JSON_INDENT(1)) != 0 || putchar('\n') < 0)
        die("cannot print the keys of %s", dir);
    json_decref(jwks);
    json_decref(keys);
}

static void serve_keys(const struct options *o, uint16_t port)
{
    const struct serve_place place = {
        .dir = o->dir, .address = o->address, .pool = o->pool, .port = port};
    serve(&place);
}

int main(int argc, char **argv)
{
    struct options o = {
#define XX(name, def) .name = def,
        OPTIONS(XX)
#undef XX
            .roles = json_array(),
        .claims = json_object(),
    };
    int status = 0;
    parse(&o, argc, argv);
    const char *verb = optind < argc ? argv[optind++] : "";
    if (!o.dir && optind < argc)
        o.dir = argv[optind++];
    bool complete = o.dir && optind == argc;
    if (complete && strcmp(verb, "init") == 0) {
        store_init(o.dir, o.alg);
    } else if (complete && strcmp(verb, "serve") == 0) {
        serve_keys(&o, (uint16_t)number(o.port, 0, 65535));
    } else if (complete && strcmp(verb, "token") == 0) {
        print_token(&o, number(o.ttl, -1000000000, 1000000000));
    } else if (complete && strcmp(verb, "jwks") == 0) {
        print_jwks(o.dir);
    } else {
        fputs(usage_text, stderr);
        status = 2;
    }
    json_decref(o.roles);
    json_decref(o.claims);
    return status;
}

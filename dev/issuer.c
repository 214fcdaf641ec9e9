// SPDX-License-Identifier: Apache-2.0
// tillway-issuer: a Cognito-shaped token issuer for development and tests.
//
// One file of keys, read anew for every request and token, so that `serve` and `token` always
// agree:  DIR/keys.json  {"current": kid, "keys": [{"kid", "alg", "private": PEM}, ...]}, oldest
// first, mode 0600, replaced as a whole. DIR/issuer holds the URL that `serve` last served.
//
// Not for production: private keys lie unencrypted on disk and anybody who reaches the port may
// rotate them. It shares no code with the gateway on purpose, so that a mistake in one of the two
// does not hide in the other. Token shapes: Amazon Cognito user pools; key ids: RFC 7638.

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <jwt.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MUST_USE __attribute__((warn_unused_result))
#define UUID_LEN 36

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

struct server {
    const char *dir;
    const char *pool;
    struct event_base *base;
    char issuer[256];
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("tillway-issuer: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

// ------------------------------------------------------------------------------ bytes and texts

// A new base64url text without padding; the caller frees it.
static char *base64url(const unsigned char *bytes, size_t n)
{
    char *text = malloc(4 * (n / 3 + 1) + 1);
    if (!text)
        die("out of memory");
    int len = EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
    while (len > 0 && text[len - 1] == '=')
        text[--len] = '\0';
    for (char *c = text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return text;
}

// Writes `bytes` as a UUID of that version (RFC 9562).
static void uuid_text(unsigned char bytes[16], unsigned version, char out[UUID_LEN + 1])
{
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | version << 4);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = out;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = "0123456789abcdef"[bytes[i] >> 4];
        *at++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *at = '\0';
}

static json_t *uuid_random(void)
{
    unsigned char bytes[16];
    char text[UUID_LEN + 1];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        die("no random bytes");
    uuid_text(bytes, 4, text);
    return json_string(text);
}

// The same user name always gets the same subject.
static json_t *uuid_of_name(const char *name)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char salted[320], text[UUID_LEN + 1];
    int n = snprintf(salted, sizeof(salted), "tillway-issuer/sub/%s", name);
    if (n < 0 || (size_t)n >= sizeof(salted))
        die("the user name is too long");
    if (EVP_Digest(salted, (size_t)n, digest, NULL, EVP_sha256(), NULL) != 1)
        die("cannot hash");
    uuid_text(digest, 8, text);
    return json_string(text);
}

// ----------------------------------------------------------------------------------------- keys

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

// The parsed key file or, when there is none yet, an empty one. NULL if it cannot be read.
static json_t *keys_read(const char *dir)
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

static MUST_USE bool keys_write(const char *dir, json_t *keys)
{
    char *text = json_dumps(keys, JSON_INDENT(1));
    bool ok = text && file_write(dir, "keys.json", text);
    free(text);
    return ok;
}

// One writer at a time, over all processes. The lock ends when the file is closed; -1 on failure.
static int keys_lock(const char *dir)
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

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

// The newest key that has this key id and algorithm; either may be NULL for "any". Borrowed.
static json_t *key_find(json_t *keys, const char *kid, const char *alg)
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

static json_t *bignum_json(const EVP_PKEY *pkey, const char *name, int min_bytes)
{
    BIGNUM *number = NULL;
    unsigned char bytes[512];
    if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1)
        return NULL;
    int n = BN_num_bytes(number) > min_bytes ? BN_num_bytes(number) : min_bytes;
    bool ok = n <= (int)sizeof(bytes) && BN_bn2binpad(number, bytes, n) == n;
    BN_free(number);
    char *text = ok ? base64url(bytes, (size_t)n) : NULL;
    json_t *json = text ? json_string(text) : NULL;
    free(text);
    return json;
}

// The public members that RFC 7638 hashes, in its order (jansson keeps the order of insertion,
// JSON_SORT_KEYS makes it certain). A new object, or NULL.
static json_t *public_members(const EVP_PKEY *pkey)
{
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
        return json_pack("{s:o, s:s, s:o}", "e", bignum_json(pkey, OSSL_PKEY_PARAM_RSA_E, 1), "kty",
                         "RSA", "n", bignum_json(pkey, OSSL_PKEY_PARAM_RSA_N, 1));
    return json_pack("{s:s, s:s, s:o, s:o}", "crv", "P-256", "kty", "EC", "x",
                     bignum_json(pkey, OSSL_PKEY_PARAM_EC_PUB_X, 32), "y",
                     bignum_json(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, 32));
}

static EVP_PKEY *pkey_of_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return pkey;
}

// {kid, alg, private} of a new key, or NULL.
static json_t *key_make(const char *alg)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    json_t *key = NULL, *members = NULL;
    char *canonical = NULL, *kid = NULL, *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *pkey = strcmp(alg, "ES256") == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
    if (!bio || !pkey || PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        goto out;
    long pem_n = BIO_get_mem_data(bio, &pem);
    members = public_members(pkey);
    canonical = members ? json_dumps(members, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!canonical ||
        EVP_Digest(canonical, strlen(canonical), digest, NULL, EVP_sha256(), NULL) != 1)
        goto out;
    kid = base64url(digest, 32);
    key = json_pack("{s:s, s:s, s:s%}", "kid", kid, "alg", alg, "private", pem, (size_t)pem_n);
out:
    free(kid);
    free(canonical);
    json_decref(members);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return key;
}

// The public document of all keys; a new object, or NULL.
static json_t *jwks_of(json_t *keys)
{
    json_t *list = json_array(), *key;
    size_t i;
    json_array_foreach(json_object_get(keys, "keys"), i, key)
    {
        EVP_PKEY *pkey = pkey_of_pem(text_of(key, "private"));
        json_t *jwk = pkey ? public_members(pkey) : NULL;
        EVP_PKEY_free(pkey);
        if (!jwk) {
            json_decref(list);
            return NULL;
        }
        json_object_set(jwk, "kid", json_object_get(key, "kid"));
        json_object_set(jwk, "alg", json_object_get(key, "alg"));
        json_object_set_new(jwk, "use", json_string("sig"));
        json_array_append_new(list, jwk);
    }
    return json_pack("{s:o}", "keys", list);
}

// Adds a key of `alg` (NULL: the current one's); `drop` forgets all others. Under the lock.
static MUST_USE bool keys_add(const char *dir, const char *alg, bool drop, bool make_current)
{
    bool ok = false;
    json_t *keys = keys_read(dir), *key = NULL;
    if (!keys)
        goto out;
    if (!alg)
        alg = text_of(key_find(keys, text_of(keys, "current"), NULL), "alg");
    key = key_make(*alg ? alg : "RS256");
    if (!key)
        goto out;
    if (drop)
        json_array_clear(json_object_get(keys, "keys"));
    json_array_append(json_object_get(keys, "keys"), key);
    if (make_current)
        json_object_set(keys, "current", json_object_get(key, "kid"));
    ok = keys_write(dir, keys);
out:
    json_decref(key);
    json_decref(keys);
    return ok;
}

static void init(const char *dir, const char *alg)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        die("%s: %s", dir, strerror(errno));
    int lock = keys_lock(dir);
    if (lock < 0)
        die("%s: cannot lock: %s", dir, strerror(errno));
    const char *needed[] = {"RS256", alg};
    for (size_t i = 0; i < 2; i++) {
        json_t *keys = keys_read(dir);
        bool first = keys && json_array_size(json_object_get(keys, "keys")) == 0;
        bool ok = keys && (!needed[i] || key_find(keys, NULL, needed[i]) ||
                           keys_add(dir, needed[i], false, first));
        json_decref(keys);
        if (!ok)
            die("cannot make keys in %s", dir);
    }
    close(lock);
}

static json_t *keys_or_die(const char *dir)
{
    json_t *keys = keys_read(dir);
    if (!keys || json_array_size(json_object_get(keys, "keys")) == 0)
        die("no keys in %s: tillway-issuer init %s", dir, dir);
    return keys;
}

// --------------------------------------------------------------------------------------- tokens

// The claims both kinds of token have. Times: now, or wholly in the past for a negative ttl.
static json_t *claims_common(const struct options *o, long ttl_s, const char *issuer)
{
    json_int_t expires = (json_int_t)time(NULL) + ttl_s;
    json_int_t issued = ttl_s > 0 ? expires - ttl_s : expires - 3600;
    json_t *sub = o->sub ? json_string(o->sub) : uuid_of_name(o->username);
    json_t *claims = json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "sub", sub, "iss",
                               issuer, "token_use", o->use, "origin_jti", uuid_random(), "event_id",
                               uuid_random(), "jti", uuid_random(), "auth_time", issued, "iat",
                               issued, "exp", expires);
    if (claims && json_array_size(o->roles) > 0)
        json_object_set(claims, "cognito:groups", o->roles);
    if (claims && *o->store)
        json_object_set_new(claims, "custom:storeId", json_string(o->store));
    return claims;
}

static json_t *claims_make(const struct options *o, long ttl_s, const char *issuer)
{
    json_t *claims = claims_common(o, ttl_s, issuer), *more;
    if (strcmp(o->use, "id") == 0) {
        char email[320];
        snprintf(email, sizeof(email), "%s@example.com", o->username);
        more = json_pack("{s:s, s:s, s:s, s:b}", "aud", o->client, "cognito:username", o->username,
                         "email", email, "email_verified", 1);
    } else {
        more = json_pack("{s:s, s:s, s:s, s:i}", "client_id", o->client, "username", o->username,
                         "scope", "openid", "version", 2);
    }
    if (!claims || !more || json_object_update(claims, more) != 0)
        die("cannot make claims (is every text UTF-8?)");
    json_decref(more);
    const char *name;
    json_t *value;
    json_object_foreach(o->claims, name, value)
    {
        if (json_is_null(value))
            json_object_del(claims, name);
        else
            json_object_set(claims, name, value);
    }
    return claims;
}

// Signs with libjwt; the caller frees the result with free().
static char *token_sign(const json_t *key, const json_t *claims)
{
    char *text = json_dumps(claims, JSON_COMPACT), *token = NULL;
    const char *pem = text_of(key, "private");
    jwt_alg_t alg = strcmp(text_of(key, "alg"), "ES256") == 0 ? JWT_ALG_ES256 : JWT_ALG_RS256;
    jwt_t *jwt = NULL;
    if (text && jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, text) == 0 &&
        jwt_add_header(jwt, "kid", text_of(key, "kid")) == 0 &&
        jwt_set_alg(jwt, alg, (const unsigned char *)pem, (int)strlen(pem)) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    free(text);
    return token;
}

// The URL that `serve` left in DIR.
static const char *issuer_default(const char *dir, char out[256])
{
    char path[PATH_MAX];
    FILE *in = path_of(path, dir, "issuer") ? fopen(path, "re") : NULL;
    if (!in || !fgets(out, 256, in))
        die("--issuer URL is missing, and nothing was served from %s yet", dir);
    fclose(in);
    out[strcspn(out, "\n")] = '\0';
    return out;
}

static void print_token(const struct options *o, long ttl_s)
{
    char url[256];
    json_t *keys = keys_or_die(o->dir);
    const char *kid = o->kid || o->alg ? o->kid : text_of(keys, "current");
    const json_t *key = key_find(keys, kid, o->alg);
    if (!key)
        die("no such key in %s", o->dir);
    json_t *claims = claims_make(o, ttl_s, o->issuer ? o->issuer : issuer_default(o->dir, url));
    char *token = token_sign(key, claims);
    if (!token || puts(token) < 0)
        die("cannot sign");
    free(token);
    json_decref(claims);
    json_decref(keys);
}

static void print_jwks(const char *dir)
{
    json_t *keys = keys_or_die(dir), *jwks = jwks_of(keys);
    if (!jwks || json_dumpf(jwks, stdout, JSON_INDENT(1)) != 0 || putchar('\n') < 0)
        die("cannot print the keys of %s", dir);
    json_decref(jwks);
    json_decref(keys);
}

// --------------------------------------------------------------------------------------- server

// Sends `body` (taken over; NULL means 500) and writes one log line.
static void answer(struct evhttp_request *req, int status, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct evbuffer *out = evbuffer_new();
    if (!text)
        status = HTTP_INTERNAL;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
    if (out && text)
        evbuffer_add(out, text, strlen(text));
    fprintf(stderr, "%lld %s %d\n", (long long)time(NULL), evhttp_request_get_uri(req), status);
    evhttp_send_reply(req, status, NULL, out);
    if (out)
        evbuffer_free(out);
    free(text);
    json_decref(body);
}

static void serve_jwks(struct server *server, struct evhttp_request *req)
{
    json_t *keys = keys_read(server->dir);
    answer(req, HTTP_OK, keys ? jwks_of(keys) : NULL);
    json_decref(keys);
}

static void serve_discovery(struct server *server, struct evhttp_request *req)
{
    char jwks_uri[320];
    snprintf(jwks_uri, sizeof(jwks_uri), "%s/.well-known/jwks.json", server->issuer);
    answer(req, HTTP_OK,
           json_pack("{s:s, s:s, s:[s], s:[s, s], s:[s]}", "issuer", server->issuer, "jwks_uri",
                     jwks_uri, "subject_types_supported", "public",
                     "id_token_signing_alg_values_supported", "RS256", "ES256",
                     "response_types_supported", "code"));
}

static void serve_rotate(struct server *server, struct evhttp_request *req)
{
    struct evkeyvalq query;
    const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
    if (evhttp_parse_query_str(text ? text : "", &query) != 0) {
        answer(req, HTTP_BADREQUEST, json_pack("{s:s}", "message", "bad query"));
        return;
    }
    const char *drop = evhttp_find_header(&query, "drop"), *alg = evhttp_find_header(&query, "alg");
    if (alg && strcmp(alg, "RS256") != 0 && strcmp(alg, "ES256") != 0) {
        answer(req, HTTP_BADREQUEST, json_pack("{s:s}", "message", "alg is RS256 or ES256"));
    } else {
        int lock = keys_lock(server->dir);
        bool ok = lock >= 0 && keys_add(server->dir, alg, drop && strcmp(drop, "1") == 0, true);
        json_t *keys = ok ? keys_read(server->dir) : NULL;
        answer(req, HTTP_OK, keys ? json_pack("{s:s}", "kid", text_of(keys, "current")) : NULL);
        json_decref(keys);
        if (lock >= 0)
            close(lock);
    }
    evhttp_clear_headers(&query);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    static const struct {
        enum evhttp_cmd_type method;
        const char *path;
        void (*serve)(struct server *, struct evhttp_request *);
    } routes[] = {
        {EVHTTP_REQ_GET, "/.well-known/jwks.json", serve_jwks},
        {EVHTTP_REQ_GET, "/.well-known/openid-configuration", serve_discovery},
        {EVHTTP_REQ_POST, "/rotate", serve_rotate},
    };
    struct server *server = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    size_t pool_n = strlen(server->pool);
    int status = HTTP_NOTFOUND;
    if (path && path[0] == '/' && strncmp(path + 1, server->pool, pool_n) == 0) {
        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
            if (strcmp(path + 1 + pool_n, routes[i].path) != 0)
                continue;
            if (evhttp_request_get_command(req) == routes[i].method) {
                routes[i].serve(server, req);
                return;
            }
            status = HTTP_BADMETHOD;
        }
    }
    answer(req, status, json_pack("{s:s}", "message", "no such thing here"));
}

static void on_signal(evutil_socket_t number, short events, void *base)
{
    (void)number;
    (void)events;
    event_base_loopbreak(base);
}

// The port the kernel gave, for --port 0.
static uint16_t bound_port(evutil_socket_t fd)
{
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        die("getsockname: %s", strerror(errno));
    return address.ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port)
               : ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

// Says where it serves: one line of JSON on stdout, and the URL in DIR/issuer for `token`.
static void announce(struct server *server, const char *address, uint16_t port)
{
    const char *format = strchr(address, ':') ? "http://[%s]:%u/%s" : "http://%s:%u/%s";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(server->issuer, sizeof(server->issuer), format, address, (unsigned)port, server->pool);
#pragma GCC diagnostic pop
    if (!file_write(server->dir, "issuer", server->issuer))
        die("cannot write into %s", server->dir);
    printf("{\"listening\":%u,\"issuer\":\"%s\"}\n", (unsigned)port, server->issuer);
    fflush(stdout);
}

static void serve(const struct options *o, uint16_t port)
{
    struct server server = {.dir = o->dir, .pool = o->pool};
    json_decref(keys_or_die(o->dir));
    server.base = event_base_new();
    struct evhttp *http = server.base ? evhttp_new(server.base) : NULL;
    struct event *stop[2] = {NULL};
    for (int i = 0; http && i < 2; i++) {
        stop[i] = evsignal_new(server.base, i ? SIGINT : SIGTERM, on_signal, server.base);
        if (!stop[i] || evsignal_add(stop[i], NULL) != 0)
            die("cannot watch signals");
    }
    if (!http)
        die("no event loop");
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_max_headers_size(http, 16384);
    evhttp_set_max_body_size(http, 4096);
    evhttp_set_timeout(http, 10);
    evhttp_set_gencb(http, on_request, &server);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, o->address, port);
    if (!bound)
        die("cannot listen on %s port %u: %s", o->address, (unsigned)port, strerror(errno));
    announce(&server, o->address, bound_port(evhttp_bound_socket_get_fd(bound)));
    event_base_dispatch(server.base);
    evhttp_free(http);
    event_free(stop[0]);
    event_free(stop[1]);
    event_base_free(server.base);
}

// ----------------------------------------------------------------------------------- command line

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

int main(int argc, char **argv)
{
    struct options o = {
#define XX(name, def) .name = def,
        OPTIONS(XX)
#undef XX
            .roles = json_array(),
        .claims = json_object(),
    };
    parse(&o, argc, argv);
    const char *verb = optind < argc ? argv[optind++] : "";
    if (!o.dir && optind < argc)
        o.dir = argv[optind++];
    bool complete = o.dir && optind == argc;
    if (complete && strcmp(verb, "init") == 0) {
        init(o.dir, o.alg);
    } else if (complete && strcmp(verb, "serve") == 0) {
        serve(&o, (uint16_t)number(o.port, 0, 65535));
    } else if (complete && strcmp(verb, "token") == 0) {
        print_token(&o, number(o.ttl, -1000000000, 1000000000));
    } else if (complete && strcmp(verb, "jwks") == 0) {
        print_jwks(o.dir);
    } else {
        fputs(usage_text, stderr);
        return 2;
    }
    json_decref(o.roles);
    json_decref(o.claims);
    return 0;
}

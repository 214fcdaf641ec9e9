// SPDX-License-Identifier: Apache-2.0
#include "gateway/token_command.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/jws.h"
#include "config/config.h"
#include "gateway/base.h"
#include "mint/key.h"
#include "mint/token.h"

#define KEY_FILE_MAX_BYTES 65536
#define TTL_MIN_MS         UINT64_C(1000)
#define TTL_MAX_MS         (UINT64_C(8760) * 3600 * 1000)

enum { EXIT_FAILED = 1, EXIT_MISUSED = 2 };

static const char usage[] =
    "usage: tillway token --key PRIVATE.pem --issuer URL --client ID [OPTION]...   print a token\n"
    "       tillway token --key PRIVATE.pem [--kid KID] --jwks      print the key set to serve,\n"
    "                                                or to name as jwksFile of the issuer\n"
    "  --key FILE         RSA (2048 to 8192 bits, RS256) or EC on P-256 (ES256), PEM, not "
    "encrypted\n"
    "  --kid KID          default: the key's thumbprint (RFC 7638); the same for both commands\n"
    "  --issuer URL       iss, as auth.issuers names it\n"
    "  --client ID        client_id of an access token, aud of an ID token\n"
    "  --use access|id    default: access\n"
    "  --username NAME    default: smoke-test\n"
    "  --sub SUB          default: derived from the user name, always the same\n"
    "  --role ROLE        cognito:groups; may be repeated; default: cashier; none: leave it out\n"
    "  --store STORE      custom:storeId; default: main; '': leave it out\n"
    "  --scope WORDS      default: openid in an access token, none in an ID token\n"
    "  --claim NAME=JSON  replaces a claim, or removes it by null; may be repeated, applied last\n"
    "  --ttl DURATION     whole seconds from 1s to 8760h, such as 90s or 1h30m; default: 1h\n"
    "Make a key:  (umask 077; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "
    "FILE)\n";

// Every option that takes a value, with its default. --jwks goes with the first two only.
#define OPTIONS(XX)            \
    XX(key, NULL)              \
    XX(kid, NULL)              \
    XX(issuer, NULL)           \
    XX(client, NULL)           \
    XX(use, "access")          \
    XX(username, "smoke-test") \
    XX(sub, NULL)              \
    XX(store, "main")          \
    XX(scope, NULL)            \
    XX(ttl, "1h")              \
    XX(role, NULL)             \
    XX(claim, NULL)
#define N_KEY_OPTIONS 2

struct options {
#define XX(name, initial) const char *name; // the last one, of those that may be repeated
    OPTIONS(XX)
#undef XX
    const char *only_token; // the name of an option given that does not go with --jwks, or NULL
    json_t *roles, *claims; // owned
    long ttl_s;
    bool jwks, help;
};

// ---- the command line ---------------------------------------------------------------------------

// Always false, for whoever judges options.
TW_PRINTF(1, 2) static bool misused(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("tillway token: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (see tillway token --help)\n", stderr);
    va_end(args);
    return false;
}

static bool add_role(json_t *roles, const char *role)
{
    if (strcmp(role, "none") == 0)
        return true;
    if (!*role || json_array_append_new(roles, json_string(role)) != 0)
        return misused("--role wants a name in UTF-8, or none");
    return true;
}

static bool add_claim(json_t *claims, const char *text)
{
    size_t n = strcspn(text, "=");
    char *name = n > 0 && text[n] ? strndup(text, n) : NULL;
    json_t *value = name ? json_loads(text + n + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL)
                         : NULL;
    bool added = value && json_object_set(claims, name, value) == 0;
    json_decref(value);
    free(name);
    return added ||
           misused("--claim %s: wants NAME=JSON in UTF-8; a text is quoted: 'name=\"text\"'", text);
}

static bool take_option(struct options *o, size_t i, const char *name, const char *value)
{
    const char **const values[] = {
#define XX(option, initial) &o->option,
        OPTIONS(XX)
#undef XX
    };
    *values[i] = value;
    if (i >= N_KEY_OPTIONS)
        o->only_token = name;
    if (values[i] == &o->role)
        return add_role(o->roles, value);
    return values[i] != &o->claim || add_claim(o->claims, value);
}

static bool take_options(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
#define XX(name, initial) {#name, required_argument, NULL, 0},
        OPTIONS(XX)
#undef XX
            {"jwks", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int letter, i = 0;
    opterr = 0;
    for (optind = 2; (letter = getopt_long(argc, argv, ":h", longs, &i)) != -1;) {
        if (letter == 'j')
            o->jwks = true;
        else if (letter == 'h')
            o->help = true;
        else if (letter == '?' && optopt > 0)
            return misused("-%c: no such option", optopt);
        else if (letter != 0)
            return misused("%s: %s", argv[optind - 1],
                           letter == ':' ? "wants a value" : "no such option");
        else if (!take_option(o, (size_t)i, longs[i].name, optarg))
            return false;
    }
    return optind == argc || misused("%s: no such option", argv[optind]);
}

static bool judge_kid(const char *kid)
{
    size_t n = strlen(kid);
    return (n > 0 && n <= TW_JWS_KID_MAX_BYTES && tw_utf8_valid(tw_str_of(kid))) ||
           misused("--kid wants 1 to %d bytes of UTF-8", TW_JWS_KID_MAX_BYTES);
}

static bool judge_ttl(struct options *o)
{
    uint64_t ms = 0;
    if (!tw_config_duration_ms(tw_str_of(o->ttl), &ms) || ms < TTL_MIN_MS || ms > TTL_MAX_MS ||
        ms % 1000 != 0)
        return misused("--ttl %s: wants whole seconds from 1s to 8760h, such as 90s or 1h30m",
                       o->ttl);
    o->ttl_s = (long)(ms / 1000);
    return true;
}

static bool judge_options(struct options *o)
{
    if (!o->key)
        return misused("--key is missing");
    if (o->kid && !judge_kid(o->kid))
        return false;
    if (o->jwks)
        return !o->only_token || misused("--%s does not go with --jwks", o->only_token);
    if (!o->issuer || !*o->issuer)
        return misused("--issuer is missing");
    if (!o->client || !*o->client)
        return misused("--client is missing");
    if (strcmp(o->use, "access") != 0 && strcmp(o->use, "id") != 0)
        return misused("--use %s: is access or id", o->use);
    if (!o->role && !add_role(o->roles, "cashier"))
        return false;
    return judge_ttl(o);
}

// ---- the key ------------------------------------------------------------------------------------

static void warn_if_shared(const char *path, FILE *in)
{
    struct stat st;
    if (fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH)))
        (void)fprintf(stderr,
                      "tillway token: warning: others can read %s (mode %04o): chmod 600 %s\n",
                      path, (unsigned)st.st_mode & 07777, path);
}

// The file's bytes in `text` and their number; negative when it cannot be read, which errno tells.
static ssize_t read_all(const char *path, char *text, size_t size)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return -1;
    (void)setvbuf(in, NULL, _IONBF, 0); // no second copy of a key
    warn_if_shared(path, in);
    errno = EIO;
    ssize_t n = (ssize_t)fread(text, 1, size, in);
    if (ferror(in))
        n = -1;
    int fault = errno;
    (void)fclose(in);
    errno = fault;
    return n;
}

// The key that --key names; NULL when it cannot be used, said on stderr.
static struct tw_mint_key *read_key(const struct options *o)
{
    char text[KEY_FILE_MAX_BYTES + 1], err[256];
    struct tw_mint_key *key = NULL;
    ssize_t n = read_all(o->key, text, sizeof(text));
    if (n < 0)
        (void)fprintf(stderr, "tillway token: cannot read %s: %s: name a file that you may read\n",
                      o->key, strerror(errno));
    else if (n > KEY_FILE_MAX_BYTES)
        (void)fprintf(stderr, "tillway token: %s is longer than 64 KiB: it is no private key\n",
                      o->key);
    else if (!(key = tw_mint_key_read((struct tw_str){text, (size_t)n}, o->kid, err, sizeof(err))))
        (void)fprintf(stderr, "tillway token: %s %s\n", o->key, err);
    OPENSSL_cleanse(text, sizeof(text));
    return key;
}

// ---- what it prints -----------------------------------------------------------------------------

static int print(const char *text)
{
    if (puts(text) >= 0 && fflush(stdout) == 0)
        return 0;
    (void)fprintf(stderr, "tillway token: cannot print: %s\n", strerror(errno));
    return EXIT_FAILED;
}

static int print_jwks(const struct tw_mint_key *key)
{
    json_t *set = json_pack("{s:[o]}", "keys", tw_mint_key_jwk(key));
    char *text = set ? json_dumps(set, JSON_INDENT(1)) : NULL;
    int code = text ? print(text) : EXIT_FAILED;
    free(text);
    json_decref(set);
    return code;
}

static char *make_token(const struct options *o, const struct tw_mint_key *key)
{
    char err[256];
    const struct tw_mint_wish wish = {
        .issuer = o->issuer,
        .use = o->use,
        .client = o->client,
        .username = o->username,
        .sub = o->sub,
        .store = o->store,
        .scope = o->scope,
        .roles = o->roles,
        .claims = o->claims,
        .ttl_s = o->ttl_s,
    };
    char *token = tw_mint_token(key, &wish, err, sizeof(err));
    if (!token)
        (void)fprintf(stderr, "tillway token: %s\n", err);
    return token;
}

static int print_token(const struct options *o, const struct tw_mint_key *key)
{
    char *token = make_token(o, key);
    int code = EXIT_FAILED;
    if (token && strlen(token) > TW_JWS_MAX_BYTES)
        (void)fprintf(
            stderr,
            "tillway token: the token has %zu bytes and a gateway takes %d: ask for fewer "
            "or shorter claims\n",
            strlen(token), TW_JWS_MAX_BYTES);
    else if (token)
        code = print(token);
    free(token);
    return code;
}

static int run(const struct options *o)
{
    struct tw_mint_key *key = read_key(o);
    if (!key)
        return EXIT_FAILED;
    int code = o->jwks ? print_jwks(key) : print_token(o, key);
    tw_mint_key_free(key);
    return code;
}

int tw_token_command(int argc, char **argv)
{
    struct options o = {
#define XX(name, initial) .name = initial,
        OPTIONS(XX)
#undef XX
            .roles = json_array(),
        .claims = json_object(),
    };
    int code = EXIT_MISUSED;
    if (take_options(&o, argc, argv)) {
        if (o.help)
            code = fputs(usage, stdout) < 0;
        else if (judge_options(&o))
            code = run(&o);
    }
    json_decref(o.roles);
    json_decref(o.claims);
    return code;
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD_MAX  1024
#define PASSWORD_FILE "db.password_file "

// Without its final line break. A local file: reading it does not keep the loop waiting.
static const char *read_password(const char *path, char out[PASSWORD_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, out, PASSWORD_MAX) : -1;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return error == ENOENT ? PASSWORD_FILE "does not exist" : PASSWORD_FILE "cannot be read";
    if (n == PASSWORD_MAX)
        return PASSWORD_FILE "is too long for a password";
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
        n--;
    out[n] = '\0';
    return n > 0 ? NULL : PASSWORD_FILE "is empty";
}

const char *tw_db_password_fault(const char *path)
{
    char password[PASSWORD_MAX];
    const char *why = read_password(path, password);
    OPENSSL_cleanse(password, sizeof(password));
    return why ? why + sizeof(PASSWORD_FILE) - 1 : NULL;
}

static PGconn *begin(const struct tw_db_login *login, const char **why,
                     PGconn *(*how)(const char *const *, const char *const *, int))
{
    char password[PASSWORD_MAX];
    bool has_file = login->password_file[0] != '\0';
    *why = has_file ? read_password(login->password_file, password) : NULL;
    if (*why)
        return NULL;
    // What stands before dbname gives way to the URL's own values; what stands behind it wins.
    const struct {
        const char *key, *value;
    } words[] = {
        {"fallback_application_name", login->application},
        {"tcp_user_timeout", "10000"},
        {"keepalives_idle", "30"},
        {"client_encoding", "UTF8"},
        {"target_session_attrs", login->server_kind ? login->server_kind : "any"},
        {"dbname", login->url},
        {"host", login->host},
        {"hostaddr", login->hostaddr},
        {"port", login->port},
        {"connect_timeout", login->timeout_s},
        {"password", has_file ? password : NULL},
    };
    const char *keys[TW_COUNT(words) + 1] = {0}, *values[TW_COUNT(words) + 1] = {0};
    for (size_t i = 0; i < TW_COUNT(words); i++) {
        keys[i] = words[i].key;
        values[i] = words[i].value;
    }
    PGconn *pg = how(keys, values, 1);
    OPENSSL_cleanse(password, sizeof(password));
    if (!pg)
        *why = "no memory";
    return pg;
}

PGconn *tw_db_connect_start(const struct tw_db_login *login, const char **why)
{
    return begin(login, why, PQconnectStartParams);
}

PGconn *tw_db_connect_wait(const struct tw_db_login *login, const char **why)
{
    return begin(login, why, PQconnectdbParams);
}

uint64_t tw_db_socket_id(const PGconn *pg)
{
    struct stat st;
    int fd = PQsocket(pg);
    return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

void tw_db_connect_fault(const PGconn *pg, char *out, size_t size)
{
    const char *text = pg ? PQerrorMessage(pg) : "";
    size_t n = 0;
    out[0] = '\0';
    while (*text && n + 1 < size) {
        int line = (int)strcspn(text, "\n");
        // Indented lines are hints that belong to the line before.
        if (line > 0 && text[0] != '\t' && text[0] != ' ') {
            int put = snprintf(out + n, size - n, "%s%.*s", n > 0 ? "; " : "", line, text);
            n = put < 0 ? size : n + (size_t)put;
        }
        text += line + (text[line] == '\n');
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "gateway/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT_MAX_BYTES 512

// A name that begins with '@' is abstract: its first byte is 0 (unix(7)).
static bool address_of(const char *name, struct sockaddr_un *address, socklen_t *length)
{
    size_t n = name ? strlen(name) : 0;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n < 2 || n >= sizeof(address->sun_path) || (name[0] != '/' && name[0] != '@'))
        return false;
    memcpy(address->sun_path, name, n);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return true;
}

void tw_notify(const char *fmt, ...)
{
    struct sockaddr_un address;
    socklen_t length;
    char text[TEXT_MAX_BYTES];
    va_list args;
    if (!address_of(getenv("NOTIFY_SOCKET"), &address, &length))
        return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (n > 0 && (size_t)n < sizeof(text))
        (void)sendto(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&address, length);
    close(fd);
}

// WATCHDOG_PID is not looked at: after a binary upgrade it names the process that has left.
void tw_notify_alive(uint64_t now_us)
{
    static uint64_t told_us;
    const char *text = getenv("WATCHDOG_USEC");
    uint64_t every_us = text ? strtoull(text, NULL, 10) / 2 : 0;
    if (every_us == 0 || now_us - told_us < every_us)
        return;
    told_us = now_us;
    tw_notify("WATCHDOG=1");
}

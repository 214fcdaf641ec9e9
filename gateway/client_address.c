// SPDX-License-Identifier: Apache-2.0
#include "gateway/client_address.h"

bool tw_is_trusted(const struct tw_network *trusted, size_t n, const struct tw_address *address)
{
    for (size_t i = 0; i < n; i++)
        if (tw_network_has(&trusted[i], address))
            return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct tw_str trimmed(struct tw_str s)
{
    while (s.n > 0 && is_space(s.p[0]))
        s = (struct tw_str){s.p + 1, s.n - 1};
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

// Takes the last element off `*list`, elements being separated by `separator`. Quotes do not hide
// one: an address has none in it, and what is no address ends the walk.
static struct tw_str last_element(struct tw_str *list, char separator)
{
    size_t at = list->n;
    while (at > 0 && list->p[at - 1] != separator)
        at--;
    struct tw_str element = {list->p + at, list->n - at};
    list->n = at > 0 ? at - 1 : 0;
    return trimmed(element);
}

// An address as proxies write it: "192.0.2.1", "192.0.2.1:1234", "2001:db8::1", "[2001:db8::1]:80".
static bool read_node(struct tw_str node, struct tw_address *out)
{
    if (node.n > 2 && node.p[0] == '[') {
        const char *end = memchr(node.p, ']', node.n);
        size_t n = end ? (size_t)(end - node.p) - 1 : 0;
        bool bare = end && (n + 2 == node.n || end[1] == ':');
        return bare && tw_address_parse((struct tw_str){node.p + 1, n}, out);
    }
    const char *colon = node.n > 0 ? memchr(node.p, ':', node.n) : NULL;
    bool has_port = colon && !memchr(colon + 1, ':', node.n - (size_t)(colon - node.p) - 1);
    if (has_port)
        node.n = (size_t)(colon - node.p);
    return tw_address_parse(node, out);
}

// One step to the left; false when the walk ends here.
static bool step(struct tw_str node, const struct tw_network *trusted, size_t n,
                 struct tw_address *client)
{
    struct tw_address address;
    if (!read_node(node, &address))
        return false;
    *client = address;
    return tw_is_trusted(trusted, n, &address);
}

bool tw_forwarded_for(struct tw_str value, const struct tw_network *trusted, size_t n,
                      struct tw_address *client)
{
    while (value.n > 0)
        if (!step(last_element(&value, ','), trusted, n, client))
            return false;
    return true;
}

static struct tw_str unquoted(struct tw_str s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return (struct tw_str){s.p + 1, s.n - 2};
    return s;
}

// The `for` of one element ("for=192.0.2.1;proto=https"); empty when it has none.
static struct tw_str node_of(struct tw_str element)
{
    while (element.n > 0) {
        struct tw_str pair = last_element(&element, ';');
        if (pair.n > 4 && tw_str_ieq((struct tw_str){pair.p, 4}, TW_STR("for=")))
            return unquoted((struct tw_str){pair.p + 4, pair.n - 4});
    }
    return (struct tw_str){NULL, 0};
}

bool tw_forwarded(struct tw_str value, const struct tw_network *trusted, size_t n,
                  struct tw_address *client)
{
    while (value.n > 0)
        if (!step(node_of(last_element(&value, ',')), trusted, n, client))
            return false;
    return true;
}

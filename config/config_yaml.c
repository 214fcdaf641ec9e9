// SPDX-License-Identifier: Apache-2.0
// config_yaml: YAML text to nodes that know their line.
//
// Built on libyaml's events rather than on its documents: an event still shows anchors, aliases and
// tags, which we refuse (no text can grow by expansion, and every value means what it shows). Also
// refused: duplicate keys, a second document, more than DEPTH_MAX levels, more than CHILDREN_MAX
// entries in one place. Not for: knowing any key. Runs in: master and command line. Nodes belong to
// the snapshot's memory; libyaml's own memory is gone when tw_config_yaml_parse() returns.

#include "config/internal.h"

#include <yaml.h>

#define DEPTH_MAX    16
#define CHILDREN_MAX 1024

struct reader {
    struct tw_config_load *load;
    const char *name;
    struct tw_str text;
    yaml_parser_t parser;
    unsigned depth;
};

static struct tw_config_node *read_node(struct reader *reader, yaml_event_t *event);

static struct tw_config_place place_at(const struct reader *reader, yaml_mark_t mark)
{
    return (struct tw_config_place){reader->name, (unsigned)mark.line + 1};
}

// Whether a tab stands among the blanks that begin this line.
static bool indented_by_tab(struct tw_str text, unsigned line)
{
    size_t i = 0;
    for (unsigned at = 1; at < line && i < text.n; i++)
        at += text.p[i] == '\n';
    for (; i < text.n && (text.p[i] == ' ' || text.p[i] == '\t'); i++)
        if (text.p[i] == '\t')
            return true;
    return false;
}

static unsigned line_of_offset(struct tw_str text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && i < text.n; i++)
        line += text.p[i] == '\n';
    return line;
}

static void fail_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct tw_config_place place = place_at(reader, parser->problem_mark);
    if (parser->error == YAML_MEMORY_ERROR) {
        tw_config_fail(reader->load, (struct tw_config_place){reader->name, 0}, NULL,
                       "out of memory");
        return;
    }
    if (parser->error == YAML_READER_ERROR) // has no mark: the text is not UTF-8 or not printable
        place.line = line_of_offset(reader->text, parser->problem_offset);
    tw_config_fail(reader->load, place, NULL, "not valid YAML: %s%s%s%s",
                   parser->problem ? parser->problem : "unknown problem",
                   parser->context ? ", " : "", parser->context ? parser->context : "",
                   indented_by_tab(reader->text, place.line) ? "; indent with spaces, not tabs"
                                                             : "");
}

// On success the caller owns the event until yaml_event_delete().
static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    fail_syntax(reader);
    return false;
}

static bool has_anchor_or_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    default:
        return false;
    }
}

static bool read_scalar(struct reader *reader, const yaml_event_t *event,
                        struct tw_config_node *node)
{
    struct tw_str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
        tw_config_fail(reader->load, node->place, NULL, "a text must not contain a zero byte");
        return false;
    }
    node->kind = TW_CONFIG_SCALAR;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = (struct tw_str){tw_config_copy(reader->load, text), text.n};
    return node->text.p != NULL;
}

static bool read_sequence(struct reader *reader, struct tw_config_node *node)
{
    struct tw_config_node **tail = &node->first;
    yaml_event_t event;
    node->kind = TW_CONFIG_SEQUENCE;
    while (next_event(reader, &event)) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        *tail = read_node(reader, &event);
        if (*tail == NULL)
            return false;
        tail = &(*tail)->next;
        if (++node->n_children > CHILDREN_MAX) {
            tw_config_fail(reader->load, node->place, NULL, "more than %d entries", CHILDREN_MAX);
            return false;
        }
    }
    return false;
}

static const struct tw_config_node *child_named(const struct tw_config_node *node, const char *key)
{
    for (const struct tw_config_node *child = node->first; child != NULL; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

// `event` is the key's; it is consumed. The child is not linked yet.
static struct tw_config_node *read_pair(struct reader *reader, struct tw_config_node *mapping,
                                        yaml_event_t *event)
{
    struct tw_config_node *key = read_node(reader, event);
    if (key == NULL)
        return NULL;
    if (key->kind != TW_CONFIG_SCALAR) {
        tw_config_fail(reader->load, key->place, NULL, "a key must be one word");
        return NULL;
    }
    const struct tw_config_node *earlier = child_named(mapping, key->text.p);
    if (earlier != NULL) {
        tw_config_fail(reader->load, key->place, key->text.p,
                       "this key is already there in line %u; keep one of them",
                       earlier->key_place.line);
        return NULL;
    }
    if (!next_event(reader, event))
        return NULL;
    struct tw_config_node *child = read_node(reader, event);
    if (child != NULL) {
        child->key = key->text.p;
        child->key_place = key->place;
    }
    return child;
}

static bool read_mapping(struct reader *reader, struct tw_config_node *node)
{
    struct tw_config_node **tail = &node->first;
    yaml_event_t event;
    node->kind = TW_CONFIG_MAPPING;
    while (next_event(reader, &event)) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        *tail = read_pair(reader, node, &event);
        if (*tail == NULL)
            return false;
        tail = &(*tail)->next;
        if (++node->n_children > CHILDREN_MAX) {
            tw_config_fail(reader->load, node->place, NULL, "more than %d entries", CHILDREN_MAX);
            return false;
        }
    }
    return false;
}

static bool read_content(struct reader *reader, const yaml_event_t *event,
                         struct tw_config_node *node)
{
    bool ok = false;
    if (has_anchor_or_tag(event)) {
        tw_config_fail(reader->load, node->place, NULL,
                       "anchors, aliases and tags (& * !) are not allowed; write the value itself, "
                       "in quotes if it begins with such a sign");
        return false;
    }
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, event, node);
    if (reader->depth == DEPTH_MAX) {
        tw_config_fail(reader->load, node->place, NULL, "nested more than %d levels deep",
                       DEPTH_MAX);
        return false;
    }
    reader->depth++;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        ok = read_sequence(reader, node);
    else if (event->type == YAML_MAPPING_START_EVENT)
        ok = read_mapping(reader, node);
    reader->depth--;
    return ok;
}

// Consumes `event` and all that belongs to the node it begins. NULL after a reported error.
static struct tw_config_node *read_node(struct reader *reader, yaml_event_t *event)
{
    struct tw_config_node *node = tw_config_alloc(reader->load, sizeof *node);
    bool ok = false;
    if (node != NULL) {
        node->place = place_at(reader, event->start_mark);
        ok = read_content(reader, event, node);
    }
    yaml_event_delete(event);
    return ok ? node : NULL;
}

// The next event that is neither `a` nor `b`; false after a reported error.
static bool next_but(struct reader *reader, yaml_event_t *event, yaml_event_type_t a,
                     yaml_event_type_t b)
{
    while (next_event(reader, event)) {
        if (event->type != a && event->type != b)
            return true;
        yaml_event_delete(event);
    }
    return false;
}

static struct tw_config_node *read_document(struct reader *reader)
{
    yaml_event_t event;
    if (!next_but(reader, &event, YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT))
        return NULL;
    if (event.type == YAML_STREAM_END_EVENT) {
        yaml_event_delete(&event);
        struct tw_config_node *nothing = tw_config_alloc(reader->load, sizeof *nothing);
        if (nothing != NULL)
            *nothing = (struct tw_config_node){.kind = TW_CONFIG_MAPPING,
                                               .place = {reader->name, 1}};
        return nothing;
    }
    struct tw_config_node *top = read_node(reader, &event);
    if (top == NULL || !next_but(reader, &event, YAML_DOCUMENT_END_EVENT, YAML_DOCUMENT_END_EVENT))
        return NULL;
    bool at_end = event.type == YAML_STREAM_END_EVENT;
    struct tw_config_place place = place_at(reader, event.start_mark);
    yaml_event_delete(&event);
    if (!at_end)
        tw_config_fail(reader->load, place, NULL,
                       "a second YAML document begins here; give it a file of its own");
    return at_end ? top : NULL;
}

struct tw_config_node *tw_config_yaml_parse(struct tw_config_load *load, const char *name,
                                            struct tw_str text)
{
    struct reader reader = {.load = load, .name = name, .text = text};
    if (!yaml_parser_initialize(&reader.parser)) {
        tw_config_fail(load, (struct tw_config_place){name, 0}, NULL, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.p, text.n);
    struct tw_config_node *top = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    return top;
}

bool tw_config_node_is_null(const struct tw_config_node *node)
{
    return node->kind == TW_CONFIG_SCALAR && node->plain &&
           (node->text.n == 0 || tw_str_eq(node->text, TW_STR("~")) ||
            tw_str_eq(node->text, TW_STR("null")));
}

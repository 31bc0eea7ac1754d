/* yamltext.c - is a text YAML, and harmless to whoever reads it? */
#include "common/document/yamltext.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/invariant.h"

struct anchor {
    char *name;
    uint64_t nodes; /* written out */
    bool is_complete;
};

/* A key of a map that is being read. */
struct key {
    char *text;
    size_t size, line;
};

struct open_node {
    uint64_t nodes;
    struct anchor *anchor; /* NULL: none */
    bool is_map, is_value_next;
    struct key *keys; /* of a map, as far as they are scalars */
    size_t key_count, key_capacity;
};

struct walk {
    struct open_node open[YAMLTEXT_DEPTH_MAX];
    unsigned depth;
    struct anchor anchors[YAMLTEXT_ANCHORS_MAX];
    unsigned anchor_count;
    uint64_t aliased;
    size_t line;
    struct err *e;
};

static void forget_anchors(struct walk *w)
{
    for (unsigned i = 0; i < w->anchor_count; i++)
        free(w->anchors[i].name);
    w->anchor_count = 0;
}

static struct anchor *find_anchor(struct walk *w, const yaml_char_t *name)
{
    /* An anchor may be set again: the newest counts. */
    for (unsigned i = w->anchor_count; i > 0; i--)
        if (!strcmp(w->anchors[i - 1].name, (const char *)name))
            return &w->anchors[i - 1];
    return NULL;
}

static int add_anchor(struct walk *w, const yaml_char_t *name, struct anchor **out)
{
    struct anchor *a = &w->anchors[w->anchor_count];

    *out = NULL;
    if (!name)
        return 0;
    if (w->anchor_count == YAMLTEXT_ANCHORS_MAX)
        return err_set(w->e, ERR_INVALID, "YAML line %zu: more than %d anchors", w->line,
                       YAMLTEXT_ANCHORS_MAX);
    *a = (struct anchor){ .name = strdup((const char *)name) };
    MUST(a->name);
    w->anchor_count++;
    *out = a;
    return 0;
}

static void count(struct walk *w, uint64_t nodes)
{
    if (w->depth > 0)
        w->open[w->depth - 1].nodes += nodes;
}

static void forget_keys(struct open_node *node)
{
    for (size_t i = 0; i < node->key_count; i++)
        free(node->keys[i].text);
    free(node->keys);
    node->keys = NULL;
    node->key_count = node->key_capacity = 0;
}

/* Merges may be several. */
static void add_key(struct walk *w, const char *text, size_t size)
{
    struct open_node *map = w->depth > 0 ? &w->open[w->depth - 1] : NULL;
    struct key *key;

    if (!map || !map->is_map || map->is_value_next || (size == 2 && !memcmp(text, "<<", 2)))
        return;
    if (map->key_count == map->key_capacity) {
        map->key_capacity = map->key_capacity ? 2 * map->key_capacity : 16;
        map->keys = realloc(map->keys, map->key_capacity * sizeof(*map->keys));
        MUST(map->keys);
    }
    key = &map->keys[map->key_count++];
    *key = (struct key){ .text = malloc(size + 1), .size = size, .line = w->line };
    MUST(key->text);
    memcpy(key->text, text, size);
}

static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);

    if (order == 0)
        order = (a->size > b->size) - (a->size < b->size);
    return order ? order : (a->line > b->line) - (a->line < b->line);
}

/* One reader takes the first of two, another one the last: neither is what was meant. Sorted, as
 * no choice of keys makes that slow. */
static int check_keys(struct walk *w, struct open_node *map)
{
    if (map->key_count > 1)
        qsort(map->keys, map->key_count, sizeof(*map->keys), compare_keys);
    for (size_t i = 1; i < map->key_count; i++)
        if (map->keys[i].size == map->keys[i - 1].size &&
            !memcmp(map->keys[i].text, map->keys[i - 1].text, map->keys[i].size))
            return err_set(w->e, ERR_INVALID,
                           "YAML line %zu: the key comes twice, it stands in line %zu already",
                           map->keys[i].line, map->keys[i - 1].line);
    return 0;
}

/* A node is complete: in a map a value follows a key, and a key a value. */
static void turn(struct walk *w)
{
    if (w->depth > 0)
        w->open[w->depth - 1].is_value_next = !w->open[w->depth - 1].is_value_next;
}

static int scalar(struct walk *w, const yaml_event_t *ev)
{
    struct anchor *a;

    if (add_anchor(w, ev->data.scalar.anchor, &a))
        return -1;
    add_key(w, (const char *)ev->data.scalar.value, ev->data.scalar.length);
    turn(w);
    if (a) {
        a->nodes = 1;
        a->is_complete = true;
    }
    count(w, 1);
    return 0;
}

static int alias(struct walk *w, const yaml_char_t *name)
{
    struct anchor *a = find_anchor(w, name);

    if (!a)
        return err_set(w->e, ERR_MALFORMED, "YAML line %zu: alias *%.60s has no anchor before it",
                       w->line, (const char *)name);
    if (!a->is_complete)
        return err_set(w->e, ERR_INVALID, "YAML line %zu: alias *%.60s contains itself", w->line,
                       (const char *)name);
    w->aliased += a->nodes;
    if (w->aliased > YAMLTEXT_ALIASED_MAX)
        return err_set(w->e, ERR_INVALID,
                       "YAML line %zu: aliases stand for more than %d nodes: write them out",
                       w->line, YAMLTEXT_ALIASED_MAX);
    count(w, a->nodes);
    turn(w);
    return 0;
}

static int enter(struct walk *w, const yaml_char_t *name, bool is_map)
{
    struct anchor *a;

    if (w->depth == YAMLTEXT_DEPTH_MAX)
        return err_set(w->e, ERR_INVALID, "YAML line %zu: nested deeper than %d levels", w->line,
                       YAMLTEXT_DEPTH_MAX);
    if (add_anchor(w, name, &a))
        return -1;
    w->open[w->depth++] = (struct open_node){ .nodes = 1, .anchor = a, .is_map = is_map };
    return 0;
}

static int leave(struct walk *w)
{
    struct open_node *node = &w->open[w->depth - 1];

    if (check_keys(w, node))
        return -1;
    forget_keys(node);
    w->depth--;
    turn(w);
    if (node->anchor) {
        node->anchor->nodes = node->nodes;
        node->anchor->is_complete = true;
    }
    count(w, node->nodes);
    return 0;
}

static int event(struct walk *w, const yaml_event_t *ev)
{
    w->line = ev->start_mark.line + 1;
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        forget_anchors(w);
        return 0;
    case YAML_SCALAR_EVENT:
        return scalar(w, ev);
    case YAML_ALIAS_EVENT:
        return alias(w, ev->data.alias.anchor);
    case YAML_SEQUENCE_START_EVENT:
        return enter(w, ev->data.sequence_start.anchor, false);
    case YAML_MAPPING_START_EVENT:
        return enter(w, ev->data.mapping_start.anchor, true);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return leave(w);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

static int walk(struct walk *w, yaml_parser_t *parser)
{
    for (bool is_over = false; !is_over;) {
        yaml_event_t ev;
        int result;

        if (!yaml_parser_parse(parser, &ev)) {
            MUST(parser->error != YAML_MEMORY_ERROR);
            return err_set(w->e, ERR_MALFORMED, "YAML is broken in line %zu: %s",
                           parser->problem_mark.line + 1,
                           parser->problem ? parser->problem : "it cannot be read");
        }
        is_over = ev.type == YAML_STREAM_END_EVENT;
        result = event(w, &ev);
        yaml_event_delete(&ev);
        if (result)
            return -1;
    }
    return 0;
}

/* libyaml compares each %TAG line with all before it: a megabyte of them takes seconds. */
static int check_tags(const char *text, size_t size, struct err *e)
{
    const char *at = text, *end = text + size;
    unsigned tags = 0;

    while (at && at < end) {
        tags += end - at >= 4 && !memcmp(at, "%TAG", 4);
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    return tags <= YAMLTEXT_TAGS_MAX ? 0
                                     : err_set(e, ERR_INVALID, "YAML: more than %d %%TAG lines",
                                               YAMLTEXT_TAGS_MAX);
}

int yamltext_check(const char *text, size_t size, struct err *e)
{
    struct walk w = { .e = e };
    yaml_parser_t parser;
    int result;

    if (check_tags(text, size, e))
        return -1;
    MUST(yaml_parser_initialize(&parser));
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    result = walk(&w, &parser);
    while (w.depth > 0)
        forget_keys(&w.open[--w.depth]);
    forget_anchors(&w);
    yaml_parser_delete(&parser);
    return result;
}

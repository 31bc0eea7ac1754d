/* import.c - flattens the documents of a file and lays them over each other. */
#include "coordinator/cli/import.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/yaml_scalar.h"
#include "common/document/yaml_tree.h"
#include "common/invariant.h"

struct walk {
    struct import *im;
    json_t *index; /* key -> position in items */
    const char *name;
    unsigned document;
    size_t visited;
};

static int refuse(const struct walk *w, const struct yaml_node *at, struct err *e)
{
    return err_wrap(e, "%s:%zu:%zu", w->name, at->line, at->column);
}

/* Aliases multiply: what is counted is what they expand to. */
static int count_node(struct walk *w, const struct yaml_node *at, struct err *e)
{
    if (++w->visited <= IMPORT_NODES_MAX)
        return 0;
    err_set(e, ERR_INVALID, "more than %d values; anchors that multiply each other are refused",
            IMPORT_NODES_MAX);
    return refuse(w, at, e);
}

/* ---------------------------------------------------------------- maps */

static bool is_merge_key(const struct yaml_node *key)
{
    return key->kind == YAML_KIND_SCALAR && key->is_plain && !key->tag &&
           strcmp(key->text, "<<") == 0;
}

/* Does the map itself have the key (what it merges left aside)? */
static bool has_key(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i + 1 < map->count; i += 2)
        if (!is_merge_key(map->items[i]) && map->items[i]->kind == YAML_KIND_SCALAR &&
            strcmp(map->items[i]->text, key) == 0)
            return true;
    return false;
}

/* The maps whose pairs count at one level: the map, then what it merges, first come first served.
 */
#define SOURCES_MAX 64
struct sources {
    const struct yaml_node *maps[SOURCES_MAX];
    size_t count;
};

static int add_source(struct walk *w, struct sources *s, const struct yaml_node *map,
                      const struct yaml_node *at, struct err *e)
{
    if (map->kind != YAML_KIND_MAP) {
        err_set(e, ERR_INVALID, "<<: merges a map or a list of maps, nothing else");
        return refuse(w, at, e);
    }
    if (yaml_collection_check(map, e) != 0)
        return refuse(w, map, e);
    if (s->count == SOURCES_MAX) {
        err_set(e, ERR_INVALID, "<<: more than %d maps merged at one level", SOURCES_MAX);
        return refuse(w, at, e);
    }
    s->maps[s->count++] = map;
    for (size_t i = 0; i + 1 < map->count; i += 2) {
        const struct yaml_node *value = map->items[i + 1];

        if (!is_merge_key(map->items[i]))
            continue;
        if (count_node(w, value, e) != 0)
            return -1;
        if (value->kind != YAML_KIND_LIST) {
            if (add_source(w, s, value, map->items[i], e) != 0)
                return -1;
            continue;
        }
        for (size_t j = 0; j < value->count; j++)
            if (add_source(w, s, value->items[j], map->items[i], e) != 0)
                return -1;
    }
    return 0;
}

static bool is_shadowed(const struct sources *s, size_t source, const char *key)
{
    for (size_t i = 0; i < source; i++)
        if (has_key(s->maps[i], key))
            return true;
    return false;
}

/* A key is a word, and stands once in its map. */
static int check_key(const struct walk *w, const struct yaml_node *map, size_t at, struct err *e)
{
    const struct yaml_node *key = map->items[at];

    if (key->kind != YAML_KIND_SCALAR) {
        err_set(e, ERR_INVALID, "a key must be a word, not a list or a map");
        return refuse(w, key, e);
    }
    for (size_t i = 0; i < at; i += 2) {
        if (map->items[i]->kind != YAML_KIND_SCALAR || strcmp(map->items[i]->text, key->text) != 0)
            continue;
        err_set(e, ERR_INVALID, "key \"%.100s\" is there already, in line %zu", key->text,
                map->items[i]->line);
        return refuse(w, key, e);
    }
    return 0;
}

/* ---------------------------------------------------------------- json values */

static void add_json_string(struct buffer *out, const char *text)
{
    json_t *s = json_string(text);
    char *dump = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;

    MUST(dump);
    buffer_add_text(out, dump);
    free(dump);
    json_decref(s);
}

static void warn_of_doubt(struct walk *w, const struct yaml_node *at, enum yaml_scalar kind,
                          const char *doubt)
{
    if (doubt)
        buffer_printf(&w->im->warnings,
                      "%s:%zu: %s is taken as a %s; YAML 1.1 would read %s: quote it%s\n", w->name,
                      at->line, at->text, kind == YAML_SCALAR_NUMBER ? "number" : "string", doubt,
                      kind == YAML_SCALAR_NUMBER ? " if it is a word" : "");
}

static int add_json(struct walk *w, const struct yaml_node *n, struct buffer *out, struct err *e);

static int add_json_scalar(struct walk *w, const struct yaml_node *n, struct buffer *out,
                           struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    enum yaml_scalar kind;
    const char *doubt;

    if (yaml_scalar_read(n, &kind, &text, &doubt, e) != 0)
        return refuse(w, n, e);
    warn_of_doubt(w, n, kind, doubt);
    if (kind == YAML_SCALAR_SECRET) {
        err_set(e, ERR_INVALID, "!secret stands for a whole value, not for a part of a list");
        return refuse(w, n, e);
    }
    if (kind == YAML_SCALAR_STRING)
        add_json_string(out, text.data);
    else
        buffer_add_text(out, text.data);
    return 0;
}

/* One level of a map that stands inside a list: a key is there once, whoever brings it. */
static int add_json_pair(struct walk *w, const struct yaml_node *map, size_t at, bool is_first,
                         struct buffer *out, struct err *e)
{
    const struct yaml_node *key = map->items[at];

    if (check_key(w, map, at, e) != 0)
        return -1;
    buffer_add_text(out, is_first ? "" : ",");
    add_json_string(out, key->text);
    buffer_add_text(out, ":");
    return add_json(w, map->items[at + 1], out, e);
}

static int add_json_map(struct walk *w, const struct yaml_node *n, struct buffer *out,
                        struct err *e)
{
    struct sources s = { .count = 0 };
    bool is_first = true;

    if (add_source(w, &s, n, n, e) != 0)
        return -1;
    for (size_t m = 0; m < s.count; m++) {
        const struct yaml_node *from = s.maps[m];

        for (size_t i = 0; i + 1 < from->count; i += 2) {
            if (is_merge_key(from->items[i]) ||
                (m > 0 && from->items[i]->kind == YAML_KIND_SCALAR &&
                 is_shadowed(&s, m, from->items[i]->text)))
                continue;
            if (add_json_pair(w, from, i, is_first, out, e) != 0)
                return -1;
            is_first = false;
        }
    }
    return 0;
}

static int add_json_list(struct walk *w, const struct yaml_node *n, struct buffer *out,
                         struct err *e)
{
    for (size_t i = 0; i < n->count; i++) {
        buffer_add_text(out, i > 0 ? "," : "");
        if (add_json(w, n->items[i], out, e) != 0)
            return -1;
    }
    return 0;
}

static int add_json(struct walk *w, const struct yaml_node *n, struct buffer *out, struct err *e)
{
    bool is_map = n->kind == YAML_KIND_MAP;
    int rc;

    if (count_node(w, n, e) != 0)
        return -1;
    if (out->size > DOCUMENT_VALUE_MAX) {
        err_set(e, ERR_TOO_LARGE, "a value has more than %u bytes", DOCUMENT_VALUE_MAX);
        return refuse(w, n, e);
    }
    if (n->kind == YAML_KIND_SCALAR)
        return add_json_scalar(w, n, out, e);
    if (!is_map && yaml_collection_check(n, e) != 0)
        return refuse(w, n, e);
    buffer_add_text(out, is_map ? "{" : "[");
    rc = is_map ? add_json_map(w, n, out, e) : add_json_list(w, n, out, e);
    buffer_add_text(out, is_map ? "}" : "]");
    return rc;
}

/* ---------------------------------------------------------------- items */

const struct import_item *import_find(const struct import *im, const char *key)
{
    for (size_t i = 0; i < im->count; i++)
        if (strcmp(im->items[i].key, key) == 0)
            return &im->items[i];
    return NULL;
}

static struct import_item *known_item(const struct walk *w, const char *key)
{
    const json_t *at = json_object_get(w->index, key);

    return at ? &w->im->items[json_integer_value(at)] : NULL;
}

static struct import_item *new_item(struct walk *w, const char *key)
{
    struct import *im = w->im;

    if (im->count == im->capacity) {
        im->capacity = im->capacity ? 2 * im->capacity : 64;
        im->items = realloc(im->items, im->capacity * sizeof(*im->items));
        MUST(im->items);
    }
    json_object_set_new(w->index, key, json_integer((json_int_t)im->count));
    im->items[im->count] = (struct import_item){ .key = strdup(key) };
    MUST(im->items[im->count].key);
    return &im->items[im->count++];
}

/* In one document a key comes once; a later document overrides an earlier one. */
static int claim(struct walk *w, const char *key, const struct yaml_node *at,
                 struct import_item **out, struct err *e)
{
    struct import_item *item = known_item(w, key);

    if (item && item->document == w->document) {
        err_set(e, ERR_INVALID, "key \"%.200s\" is there already, in line %zu", key, item->line);
        return refuse(w, at, e);
    }
    if (!item) {
        item = new_item(w, key);
    } else if (!item->first_line) {
        item->first_line = item->line;
        item->first_document = item->document;
    }
    free(item->text);
    item->text = NULL;
    item->is_secret = false;
    item->line = at->line;
    item->document = w->document;
    *out = item;
    return 0;
}

static int put_value(struct walk *w, const char *key, const struct yaml_node *n, struct err *e)
{
    static const enum value_type types[] = {
        [YAML_SCALAR_NULL] = VALUE_JSON,     [YAML_SCALAR_BOOLEAN] = VALUE_BOOLEAN,
        [YAML_SCALAR_NUMBER] = VALUE_NUMBER, [YAML_SCALAR_STRING] = VALUE_STRING,
        [YAML_SCALAR_SECRET] = VALUE_STRING,
    };
    SCOPED_BUFFER struct buffer text = { 0 };
    enum yaml_scalar kind = YAML_SCALAR_STRING;
    struct import_item *item = NULL;
    const char *doubt = NULL;
    bool is_typed = n->kind == YAML_KIND_SCALAR && n->tag &&
                    (strcmp(n->tag, "!json") == 0 || strcmp(n->tag, "!yaml") == 0);

    if (document_check_key(key, strlen(key), e) != 0)
        return refuse(w, n, e);
    if (n->kind != YAML_KIND_SCALAR) {
        if (add_json(w, n, &text, e) != 0)
            return -1;
    } else if (is_typed) {
        buffer_add_text(&text, n->text);
    } else if (yaml_scalar_read(n, &kind, &text, &doubt, e) != 0) {
        return refuse(w, n, e);
    }
    warn_of_doubt(w, n, kind, doubt);
    if (claim(w, key, n, &item, e) != 0)
        return -1;
    if (!is_typed)
        item->type = n->kind == YAML_KIND_SCALAR ? types[kind] : VALUE_JSON;
    else
        item->type = strcmp(n->tag, "!json") == 0 ? VALUE_JSON : VALUE_YAML;
    item->is_secret = kind == YAML_SCALAR_SECRET;
    if (value_normalize(item->type, text.data, text.size, &item->text, e) != 0)
        return refuse(w, n, e);
    return 0;
}

/* ---------------------------------------------------------------- flattening */

static int flatten(struct walk *w, const struct yaml_node *map, struct buffer *path, struct err *e);

static int flatten_pair(struct walk *w, const struct yaml_node *key, const struct yaml_node *value,
                        struct buffer *path, struct err *e)
{
    size_t mark = path->size;
    int rc;

    if (count_node(w, value, e) != 0)
        return -1;
    if (*key->text == 0) {
        err_set(e, ERR_INVALID, "a key is empty");
        return refuse(w, key, e);
    }
    buffer_printf(path, "%s%s", mark ? "." : "", key->text);
    if (path->size > DOCUMENT_KEY_MAX) {
        err_set(e, ERR_INVALID, "key \"%.80s...\" is longer than %d bytes", path->data,
                DOCUMENT_KEY_MAX);
        return refuse(w, key, e);
    }
    if (value->kind == YAML_KIND_MAP && value->count > 0)
        rc = flatten(w, value, path, e);
    else
        rc = put_value(w, path->data, value, e);
    path->size = mark;
    path->data[mark] = 0;
    return rc;
}

/* Two equal keys in one map are a mistake even when both hold maps that could be joined; of values
 * claim() finds it. */
static int check_twice(struct walk *w, const struct yaml_node *map, size_t at, struct err *e)
{
    if (map->items[at]->kind == YAML_KIND_SCALAR && map->items[at + 1]->kind != YAML_KIND_MAP)
        return 0;
    return check_key(w, map, at, e);
}

static int flatten(struct walk *w, const struct yaml_node *map, struct buffer *path, struct err *e)
{
    struct sources s = { .count = 0 };

    if (add_source(w, &s, map, map, e) != 0)
        return -1;
    for (size_t m = 0; m < s.count; m++) {
        const struct yaml_node *from = s.maps[m];

        for (size_t i = 0; i + 1 < from->count; i += 2) {
            if (is_merge_key(from->items[i]))
                continue;
            if (check_twice(w, from, i, e) != 0)
                return -1;
            if (m > 0 && is_shadowed(&s, m, from->items[i]->text))
                continue;
            if (flatten_pair(w, from->items[i], from->items[i + 1], path, e) != 0)
                return -1;
        }
    }
    return 0;
}

static int flatten_document(struct walk *w, const struct yaml_node *root, struct err *e)
{
    SCOPED_BUFFER struct buffer path = { 0 };

    if (!root || (root->kind == YAML_KIND_SCALAR && root->is_plain && !*root->text))
        return 0;
    if (root->kind != YAML_KIND_MAP) {
        err_set(e, ERR_INVALID, "a document must be a map of keys at its top");
        return refuse(w, root, e);
    }
    buffer_add_text(&path, "");
    return flatten(w, root, &path, e);
}

static void warn_of_overrides(struct import *im, const char *name)
{
    for (size_t i = 0; i < im->count; i++) {
        const struct import_item *item = &im->items[i];

        if (item->first_line)
            buffer_printf(
                &im->warnings, "%s:%zu: %s: document %u overrides document %u (line %zu)\n", name,
                item->line, item->key, item->document, item->first_document, item->first_line);
    }
}

static int walk_documents(struct walk *w, const struct yaml_stream *s, uint64_t chosen,
                          struct err *e)
{
    if (chosen && s->count < 64 && chosen >> s->count)
        return err_set(e, ERR_INVALID, "%s has %zu document%s; --document asks for one beyond",
                       w->name, s->count, s->count == 1 ? "" : "s");
    for (size_t i = 0; i < s->count; i++) {
        w->document = (unsigned)i + 1;
        if (chosen && (i >= 64 || !(chosen >> i & 1)))
            continue;
        if (flatten_document(w, s->documents[i], e) != 0)
            return -1;
    }
    return 0;
}

int import_read(const char *bytes, size_t size, const char *name, uint64_t documents,
                struct import *out, struct err *e)
{
    struct yaml_stream stream;
    struct walk w = { .im = out, .name = name, .index = json_object() };
    int rc;

    MUST(w.index);
    *out = (struct import){ .count = 0 };
    rc = yaml_stream_read(bytes, size, name, &stream, e);
    if (rc == 0) {
        out->document_count = stream.count;
        rc = walk_documents(&w, &stream, documents, e);
        yaml_stream_fini(&stream);
    }
    json_decref(w.index);
    if (rc != 0)
        import_fini(out);
    else
        warn_of_overrides(out, name);
    return rc;
}

int import_json(const char *bytes, size_t size, const char *name, struct buffer *out,
                struct buffer *warnings, struct err *e)
{
    struct import im = { .count = 0 };
    struct walk w = { .im = &im, .name = name, .document = 1 };
    struct yaml_stream stream;
    int rc;

    if (yaml_stream_read(bytes, size, name, &stream, e) != 0)
        return -1;
    if (stream.count == 1 && stream.documents[0])
        rc = add_json(&w, stream.documents[0], out, e);
    else
        rc = err_set(e, ERR_INVALID, "%s has %zu documents; one is wanted", name, stream.count);
    yaml_stream_fini(&stream);
    buffer_add(warnings, im.warnings.size ? im.warnings.data : "", im.warnings.size);
    import_fini(&im);
    return rc;
}

void import_fini(struct import *im)
{
    for (size_t i = 0; i < im->count; i++) {
        free(im->items[i].key);
        free(im->items[i].text);
    }
    free(im->items);
    buffer_fini(&im->warnings);
    *im = (struct import){ .count = 0 };
}

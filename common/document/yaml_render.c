/* yaml_render.c - writes a document as nested YAML through libyaml. */
#include "common/document/yaml_render.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "common/document/canon.h"
#include "common/invariant.h"

/* Together less than what readers allow (YAML_TREE_DEPTH_MAX): deeper keys stay in one piece,
 * deeper JSON becomes its text. */
#define KEY_LEVELS_MAX 32
#define JSON_LEVELS_MAX 60

static int sink(void *ctx, unsigned char *data, size_t size)
{
    buffer_add(ctx, data, size);
    return 1;
}

static void emit(yaml_emitter_t *to, yaml_event_t *event)
{
    MUST(yaml_emitter_emit(to, event));
}

/* A plain scalar (numbers, true) or one that must stay a string: quoted, or a block of lines. */
static void emit_scalar(yaml_emitter_t *to, const char *text, bool is_string)
{
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    yaml_event_t event;

    if (is_string)
        style = strchr(text, '\n') ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    MUST(yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                      (int)strlen(text), !is_string, is_string, style));
    emit(to, &event);
}

/* YAML 1.1 reads 1e3 as a text, and 1.0e+3 as the number that YAML 1.2 reads. */
static void emit_number(yaml_emitter_t *to, const char *text)
{
    size_t size = strcspn(text, "eE");
    SCOPED_BUFFER struct buffer spelled = { 0 };

    if (!text[size]) {
        emit_scalar(to, text, false);
        return;
    }
    buffer_printf(&spelled, "%.*s%s%c%s%s", (int)size, text, memchr(text, '.', size) ? "" : ".0",
                  text[size], strchr("+-", text[size + 1]) ? "" : "+", text + size + 1);
    emit_scalar(to, spelled.data, false);
}

/* Keys are texts: one that a reader could take for a number, a truth or an operator is quoted. */
static void emit_key(yaml_emitter_t *to, const char *key)
{
    static const char *const words[] = { "true", "false", "yes", "no",   "on",
                                         "off",  "y",     "n",   "null", NULL };
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./-";
    bool is_plain = strspn(key, plain) == strlen(key) && !strchr("0123456789.-/", *key);

    for (unsigned i = 0; words[i]; i++)
        is_plain &= strcasecmp(key, words[i]) != 0;
    emit_scalar(to, key, !is_plain);
}

static void emit_map(yaml_emitter_t *to, bool is_start, yaml_mapping_style_t style)
{
    yaml_event_t event;

    if (is_start)
        MUST(yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style));
    else
        MUST(yaml_mapping_end_event_initialize(&event));
    emit(to, &event);
}

static void emit_list(yaml_emitter_t *to, bool is_start)
{
    yaml_event_t event;

    if (is_start)
        MUST(yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE));
    else
        MUST(yaml_sequence_end_event_initialize(&event));
    emit(to, &event);
}

/* A tree of canon_parse: names and scalars are texts behind a mark, "s" for strings. */
static void emit_json(yaml_emitter_t *to, const json_t *node)
{
    const char *name, *text;
    json_t *child;
    size_t i;

    switch (json_typeof(node)) {
    case JSON_OBJECT:
        emit_map(to, true, YAML_FLOW_MAPPING_STYLE);
        json_object_foreach((json_t *)(uintptr_t)node, name, child) {
            emit_key(to, name + 1);
            emit_json(to, child);
        }
        emit_map(to, false, YAML_ANY_MAPPING_STYLE);
        break;
    case JSON_ARRAY:
        emit_list(to, true);
        json_array_foreach(node, i, child)
            emit_json(to, child);
        emit_list(to, false);
        break;
    case JSON_STRING:
        text = canon_string(node);
        if (text)
            emit_scalar(to, text, true);
        else
            emit_number(to, json_string_value(node) + 1);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        emit_scalar(to, json_is_true(node) ? "true" : "false", false);
        break;
    case JSON_INTEGER: /* the parser makes texts of numbers */
    case JSON_REAL:
    case JSON_NULL:
        emit_scalar(to, "null", false);
        break;
    }
}

/* The depth of nesting of canonical JSON. */
static unsigned depth_of(const char *json)
{
    unsigned depth = 0, deepest = 0;
    bool is_quoted = false;

    for (; *json; json++) {
        if (is_quoted && *json == '\\' && json[1])
            json++;
        else if (*json == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (*json == '[' || *json == '{'))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!is_quoted && (*json == ']' || *json == '}'))
            depth--;
    }
    return deepest;
}

static void emit_tagged(yaml_emitter_t *to, const char *tag, const char *text,
                        yaml_scalar_style_t style)
{
    yaml_event_t event;

    MUST(yaml_scalar_event_initialize(&event, NULL, (const yaml_char_t *)tag,
                                      (const yaml_char_t *)text, (int)strlen(text), 0, 0, style));
    emit(to, &event);
}

static void emit_value(yaml_emitter_t *to, const struct document_item *item)
{
    struct err e;
    json_t *node;

    switch (item->type) {
    case VALUE_STRING:
    case VALUE_YAML:
        emit_scalar(to, item->text, true);
        break;
    case VALUE_NUMBER:
        emit_number(to, item->text);
        break;
    case VALUE_BOOLEAN:
        emit_scalar(to, item->text, false);
        break;
    case VALUE_JSON:
        /* What somebody wrote into a row by hand may be no JSON at all: it goes out as it is. */
        if (depth_of(item->text) > JSON_LEVELS_MAX ||
            canon_parse("a stored value", item->text, strlen(item->text), &node, &e) < 0) {
            emit_tagged(to, "!json", item->text, YAML_SINGLE_QUOTED_SCALAR_STYLE);
            break;
        }
        emit_json(to, node);
        json_decref(node);
        break;
    }
}

/* One level: items first … end-1, whose keys share their first `depth` bytes. Keys are in byte
 * order, so those with one beginning stand together. */
struct level {
    const struct document *d;
    size_t first, end;
    size_t depth;
    unsigned levels; /* above this one */
    yaml_version_fn *version_of; /* NULL: secrets are references */
    void *ctx;
};

static void emit_secret(yaml_emitter_t *to, uint64_t version)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, version);
    emit_tagged(to, "!secret", text, YAML_PLAIN_SCALAR_STYLE);
}

static const char *key_at(const struct level *l, size_t i)
{
    struct document_item item;

    document_at(l->d, i, &item);
    return item.key + l->depth;
}

/* The range of keys that begin with the same word and a dot as the one at i. */
static size_t same_word_end(const struct level *l, size_t i, size_t word)
{
    const char *key = key_at(l, i);
    size_t end = i + 1;

    while (end < l->end && strncmp(key_at(l, end), key, word + 1) == 0)
        end++;
    return end;
}

/* A word that is a key of its own cannot also be a map; empty words ("a..b", ".a") stay flat. */
static bool is_nested(const struct level *l, size_t i, size_t word)
{
    struct document_item item, alone;
    char *name;
    bool is_key;

    if (l->levels == KEY_LEVELS_MAX || word == 0 || key_at(l, i)[word + 1] == '\0' ||
        key_at(l, i)[word + 1] == '.')
        return false;
    document_at(l->d, i, &item);
    name = strndup(item.key, l->depth + word);
    MUST(name);
    is_key = document_get(l->d, name, &alone);
    free(name);
    return !is_key;
}

static void emit_level(yaml_emitter_t *to, const struct level *l)
{
    for (size_t i = l->first; i < l->end;) {
        const char *key = key_at(l, i), *dot = strchr(key, '.');
        size_t word = dot ? (size_t)(dot - key) : 0;
        struct document_item item;

        if (dot && is_nested(l, i, word)) {
            struct level inner = { l->d, i, same_word_end(l, i, word), l->depth + word + 1,
                                   l->levels + 1, l->version_of, l->ctx };
            char *name = strndup(key, word);

            MUST(name);
            emit_key(to, name);
            free(name);
            emit_map(to, true, YAML_BLOCK_MAPPING_STYLE);
            emit_level(to, &inner);
            emit_map(to, false, YAML_ANY_MAPPING_STYLE);
            i = inner.end;
            continue;
        }
        document_at(l->d, i, &item);
        emit_key(to, key);
        if (item.is_secret && l->version_of)
            emit_secret(to, l->version_of(l->ctx, item.key));
        else
            emit_value(to, &item);
        i++;
    }
}

static void emit_frame(yaml_emitter_t *to, bool is_start)
{
    yaml_event_t event;

    if (is_start) {
        MUST(yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
        emit(to, &event);
        MUST(yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
        emit(to, &event);
        return;
    }
    MUST(yaml_document_end_event_initialize(&event, 1));
    emit(to, &event);
    MUST(yaml_stream_end_event_initialize(&event));
    emit(to, &event);
}

void yaml_render(const struct document *d, struct buffer *out)
{
    yaml_render_with(d, NULL, NULL, out);
}

void yaml_render_with(const struct document *d, yaml_version_fn *version_of, void *ctx,
                      struct buffer *out)
{
    struct level top = { d, 0, document_count(d), 0, 0, version_of, ctx };
    yaml_emitter_t to;

    MUST(yaml_emitter_initialize(&to));
    yaml_emitter_set_output(&to, sink, out);
    yaml_emitter_set_unicode(&to, 1);
    yaml_emitter_set_width(&to, -1);
    emit_frame(&to, true);
    emit_map(&to, true, YAML_BLOCK_MAPPING_STYLE);
    emit_level(&to, &top);
    emit_map(&to, false, YAML_ANY_MAPPING_STYLE);
    emit_frame(&to, false);
    yaml_emitter_delete(&to);
}

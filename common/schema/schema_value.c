/* schema_value.c - what documents hold, as the JSON values that schemas speak of. */
#include "common/schema/schema_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/document/yaml_scalar.h"
#include "common/document/yaml_tree.h"
#include "common/document/yamltext.h"
#include "common/invariant.h"
#include "common/name.h"

enum schema_type schema_type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    case JSON_STRING:
        return json_string_value(value)[0] == 'n' ? SCHEMA_NUMBER : SCHEMA_STRING;
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_BOOLEAN;
    case JSON_NULL:
        return SCHEMA_NULL;
    case JSON_REAL: /* a secret (below): no keyword says anything about it */
        return (enum schema_type)0;
    case JSON_INTEGER:
        break;
    }
    invariant_broken("numbers are marked", __FILE__, __LINE__);
}

const char *schema_text(const json_t *string)
{
    return json_string_value(string) + 1;
}

struct decimal schema_decimal(const json_t *number)
{
    return decimal_read(json_string_value(number) + 1);
}

/* A tree takes a hundred times the memory of a "[]", so they are counted before there is one. */
static int check_count(const char *text, size_t size, struct err *e)
{
    size_t count = 0;

    for (size_t at = 0; at < size;) {
        count += text[at] == ',' || text[at] == '[' || text[at] == '{';
        at += text[at] == '"' ? canon_string_size(text + at, size - at) : 1;
    }
    return count <= SCHEMA_VALUES_MAX
               ? 0
               : err_set(e, ERR_TOO_LARGE, "more than %d values cannot be checked by a schema",
                         SCHEMA_VALUES_MAX);
}

int schema_tree_of_json(const char *text, size_t size, json_t **out, struct err *e)
{
    if (check_count(text, size, e))
        return -1;
    return canon_parse("the value", text, size, out, e);
}

static json_t *marked(char mark, const char *text)
{
    SCOPED_BUFFER struct buffer whole = { 0 };
    json_t *string;

    buffer_add(&whole, &mark, 1);
    buffer_add_text(&whole, text);
    string = json_stringn(whole.data, whole.size);
    MUST(string);
    return string;
}

/* ---------------------------------------------------------------- YAML */

struct yaml_walk {
    size_t count;
    unsigned depth;
    struct err *e;
};

static int convert(struct yaml_walk *w, const struct yaml_node *n, json_t **out);

static int refuse(const struct yaml_walk *w, const struct yaml_node *n, const char *reason)
{
    return err_set(w->e, ERR_INVALID, "YAML line %zu: %s", n->line, reason);
}

static int convert_scalar(struct yaml_walk *w, const struct yaml_node *n, json_t **out)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    enum yaml_scalar kind;
    const char *doubt;
    struct err inner;

    /* Tags of applications are theirs: what has one is a string here. */
    if (yaml_scalar_read(n, &kind, &text, &doubt, &inner) || kind == YAML_SCALAR_SECRET)
        *out = marked('s', n->text);
    else if (kind == YAML_SCALAR_NULL)
        *out = json_null();
    else if (kind == YAML_SCALAR_BOOLEAN)
        *out = json_boolean(!strcmp(text.data, "true"));
    else
        *out = marked(kind == YAML_SCALAR_NUMBER ? 'n' : 's', text.data);
    return name_is_utf8(n->text, strlen(n->text)) ? 0 : refuse(w, n, "a text is not UTF-8");
}

static int convert_list(struct yaml_walk *w, const struct yaml_node *n, json_t *list)
{
    json_t *item = NULL;

    for (size_t i = 0; i < n->count; i++) {
        int result = convert(w, n->items[i], &item);

        MUST(result || json_array_append(list, item) == 0);
        json_decref(item);
        if (result)
            return -1;
    }
    return 0;
}

static bool is_merge_key(const struct yaml_node *key)
{
    return key->kind == YAML_KIND_SCALAR && key->is_plain && !key->tag && !strcmp(key->text, "<<");
}

/* What a map has itself wins over what it merges. */
static int merge(struct yaml_walk *w, const struct yaml_node *from, json_t *map)
{
    json_t *other = NULL;
    int result = 0;

    if (from->kind == YAML_KIND_LIST) {
        for (size_t i = 0; i < from->count && result == 0; i++)
            result = from->items[i]->kind == YAML_KIND_MAP
                         ? merge(w, from->items[i], map)
                         : refuse(w, from, "<<: merges a map or a list of maps, nothing else");
        return result;
    }
    if (from->kind != YAML_KIND_MAP)
        return refuse(w, from, "<<: merges a map or a list of maps, nothing else");
    result = convert(w, from, &other);
    MUST(result || json_object_update_missing(map, other) == 0);
    json_decref(other);
    return result;
}

static int convert_pair(struct yaml_walk *w, const struct yaml_node *key,
                        const struct yaml_node *value, json_t *map)
{
    SCOPED_BUFFER struct buffer name = { 0 };
    json_t *member = NULL;
    int result;

    if (key->kind != YAML_KIND_SCALAR)
        return refuse(w, key, "a schema knows no keys that are lists or maps");
    buffer_printf(&name, "s%s", key->text);
    if (!name_is_utf8(name.data, name.size))
        return refuse(w, key, "a key is not UTF-8");
    if (json_object_get(map, name.data))
        return refuse(w, key, "a key comes twice in one map");
    result = convert(w, value, &member);
    MUST(result || json_object_set(map, name.data, member) == 0);
    json_decref(member);
    return result;
}

static int convert_map(struct yaml_walk *w, const struct yaml_node *n, json_t *map)
{
    for (size_t i = 0; i + 1 < n->count; i += 2)
        if (!is_merge_key(n->items[i]) && convert_pair(w, n->items[i], n->items[i + 1], map))
            return -1;
    for (size_t i = 0; i + 1 < n->count; i += 2)
        if (is_merge_key(n->items[i]) && merge(w, n->items[i + 1], map))
            return -1;
    return 0;
}

static int convert(struct yaml_walk *w, const struct yaml_node *n, json_t **out)
{
    int result;

    *out = NULL;
    if (++w->count > SCHEMA_VALUES_MAX)
        return err_set(w->e, ERR_TOO_LARGE, "more than %d values cannot be checked by a schema",
                       SCHEMA_VALUES_MAX);
    if (n->kind == YAML_KIND_SCALAR)
        return convert_scalar(w, n, out);
    /* Aliases may nest deeper than the text does. */
    if (++w->depth > CANON_DEPTH_MAX)
        return refuse(w, n, "nested too deeply for a schema");
    *out = n->kind == YAML_KIND_MAP ? json_object() : json_array();
    MUST(*out);
    result = n->kind == YAML_KIND_MAP ? convert_map(w, n, *out) : convert_list(w, n, *out);
    w->depth--;
    return result;
}

static int convert_documents(struct yaml_walk *w, const struct yaml_stream *s, json_t **out)
{
    struct yaml_node null = { .kind = YAML_KIND_SCALAR, .is_plain = true, .text = (char[]){ "" } };

    if (s->count == 0)
        return convert(w, &null, out);
    if (s->count == 1)
        return convert(w, s->documents[0] ? s->documents[0] : &null, out);
    *out = json_array();
    MUST(*out);
    for (size_t i = 0; i < s->count; i++) {
        json_t *item = NULL;
        int result = convert(w, s->documents[i] ? s->documents[i] : &null, &item);

        MUST(result || json_array_append(*out, item) == 0);
        json_decref(item);
        if (result)
            return -1;
    }
    return 0;
}

static int tree_of_yaml(const char *text, json_t **out, struct err *e)
{
    struct yaml_walk w = { .e = e };
    struct yaml_stream s;
    int result;

    *out = NULL;
    if (yamltext_check(text, strlen(text), e) ||
        yaml_stream_read(text, strlen(text), "YAML", &s, e))
        return -1;
    result = convert_documents(&w, &s, out);
    yaml_stream_fini(&s);
    if (result) {
        json_decref(*out);
        *out = NULL;
    }
    return result;
}

/* ---------------------------------------------------------------- values and documents */

int schema_tree_of_value(enum value_type type, const char *text, json_t **out, struct err *e)
{
    switch (type) {
    case VALUE_STRING:
        *out = marked('s', text);
        return 0;
    case VALUE_NUMBER:
        MUST(*text && canon_number(text, strlen(text)) == strlen(text));
        *out = marked('n', text);
        return 0;
    case VALUE_BOOLEAN:
        *out = json_boolean(!strcmp(text, "true"));
        return 0;
    case VALUE_JSON:
        return schema_tree_of_json(text, strlen(text), out, e);
    case VALUE_YAML:
        return tree_of_yaml(text, out, e);
    }
    invariant_broken("a value type", __FILE__, __LINE__);
}

int schema_emit_value(enum value_type type, const char *text, struct buffer *out, struct err *e)
{
    json_t *tree;

    if (schema_tree_of_value(type, text, &tree, e) < 0)
        return -1;
    canon_emit(tree, out);
    json_decref(tree);
    return 0;
}

static size_t values_in(const json_t *tree)
{
    size_t count = 1;
    const char *key;
    json_t *child;
    size_t i;

    json_object_foreach((json_t *)tree, key, child) {
        count += values_in(child);
    }
    json_array_foreach(tree, i, child) {
        count += values_in(child);
    }
    return count;
}

int schema_tree_of_document(const struct document *d, json_t **out, struct err *e)
{
    json_t *map = json_object(), *value = NULL;
    size_t count = 0;

    MUST(map);
    for (size_t i = 0; i < document_count(d); i++) {
        SCOPED_BUFFER struct buffer key = { 0 };
        struct document_item item;
        int result;

        document_at(d, i, &item);
        /* Of a secret a schema may know that it is there: a placeholder stands for its value. */
        if (item.is_secret)
            value = json_real(0);
        result = item.is_secret ? 0 : schema_tree_of_value(item.type, item.text, &value, e);
        if (result)
            err_wrap(e, "key %.200s", item.key);
        else if ((count += values_in(value)) > SCHEMA_VALUES_MAX)
            result = err_set(e, ERR_TOO_LARGE,
                             "a document of more than %d values cannot be checked by a schema",
                             SCHEMA_VALUES_MAX);
        if (result) {
            json_decref(map);
            return -1;
        }
        buffer_printf(&key, "s%s", item.key);
        MUST(json_object_set_new(map, key.data, value) == 0);
        value = NULL;
    }
    *out = map;
    return 0;
}

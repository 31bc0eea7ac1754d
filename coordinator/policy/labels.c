/* labels.c - labels in memory, on the wire and as JSON. */
#include "coordinator/policy/labels.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

static void put(struct labels *l, char *name, char *value)
{
    unsigned at = 0;

    MUST(name && value);
    while (at < l->count && strcmp(l->items[at].name, name) < 0)
        at++;
    if (at < l->count && strcmp(l->items[at].name, name) == 0) {
        free(l->items[at].value);
        free(name);
        l->items[at].value = value;
        return;
    }
    l->items = reallocarray(l->items, l->count + 1, sizeof(l->items[0]));
    MUST(l->items);
    memmove(&l->items[at + 1], &l->items[at], (l->count - at) * sizeof(l->items[0]));
    l->items[at].name = name;
    l->items[at].value = value;
    l->count++;
}

void labels_parse(const char *json, struct labels *out)
{
    json_t *object = json_loads(json, 0, NULL), *value;
    const char *name;

    *out = (struct labels){ 0 };
    json_object_foreach(object, name, value) if (json_is_string(value))
        put(out, strdup(name), strdup(json_string_value(value)));
    json_decref(object);
}

void labels_from_wire(const struct wire_label *labels, unsigned count, struct labels *out)
{
    *out = (struct labels){ 0 };
    for (unsigned i = 0; i < count; i++)
        put(out, strndup(labels[i].name.at, labels[i].name.size),
            strndup(labels[i].value.at, labels[i].value.size));
}

void labels_fini(struct labels *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        free(l->items[i].name);
        free(l->items[i].value);
    }
    free(l->items);
    *l = (struct labels){ 0 };
}

const char *labels_get(const struct labels *l, const char *name)
{
    for (unsigned i = 0; i < l->count; i++)
        if (strcmp(l->items[i].name, name) == 0)
            return l->items[i].value;
    return NULL;
}

bool labels_equal(const struct labels *a, const struct labels *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
            strcmp(a->items[i].value, b->items[i].value) != 0)
            return false;
    return true;
}

char *labels_format(const struct labels *l)
{
    json_t *object = json_object();
    char *text;

    for (unsigned i = 0; i < l->count; i++)
        json_object_set_new(object, l->items[i].name, json_string(l->items[i].value));
    text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(object);
    MUST(text);
    return text;
}

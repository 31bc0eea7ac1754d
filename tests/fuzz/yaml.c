/* yaml.c - libFuzzer target: files that are imported, and documents written as YAML and read again. */
#include "coordinator/cli/import.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/yaml_render.h"
#include "common/invariant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keys and values of a file make a document; what does not is told, never half taken. */
static struct document *document_of(const struct import *im)
{
    struct document *d = document_new();
    struct err e;

    for (size_t i = 0; i < im->count; i++) {
        const struct import_item *item = &im->items[i];

        if (item->is_secret)
            continue;
        MUST(document_check_key(item->key, strlen(item->key), &e) == 0);
        MUST(document_set(d, item->key, item->type, item->text, &e) == 0);
    }
    return d;
}

/* Numbers with exponents are spelled for readers of YAML 1.1: the same number, another text. */
static bool is_same(const struct import_item *was, const struct import_item *is)
{
    bool is_spelled = was->type == VALUE_NUMBER || was->type == VALUE_JSON;

    if (!is || is->type != was->type)
        return false;
    return strcmp(is->text, was->text) == 0 || (is_spelled && strpbrk(was->text, "eE"));
}

/* What was written for people and programs says the same when it is read again. */
static void try_again(const struct document *d, const struct import *im)
{
    SCOPED_BUFFER struct buffer text = { 0 }, same = { 0 };
    SCOPED_IMPORT struct import again = { 0 };
    struct document *twice;
    struct err e;

    yaml_render(d, &text);
    MUST(import_read(text.data, text.size, "again", 0, &again, &e) == 0);
    for (size_t i = 0; i < im->count; i++) {
        const struct import_item *was = &im->items[i], *is = import_find(&again, was->key);

        MUST(was->is_secret || is_same(was, is));
    }
    twice = document_of(&again);
    yaml_render(twice, &same);
    MUST(same.size == text.size && memcmp(same.data, text.data, text.size) == 0);
    document_free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED_IMPORT struct import im = { 0 };
    struct document *d;
    struct err e = { 0 };

    if (import_read((const char *)data, size, "fuzz", size % 3, &im, &e) < 0) {
        MUST(!strncmp(e.text, "fuzz", 4));
        return 0;
    }
    d = document_of(&im);
    try_again(d, &im);
    document_free(d);
    return 0;
}

/* document.c - libFuzzer target: documents and values have one canonical form, and it is stable. */
#include "common/document/document.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is a document is so byte for byte. */
static void try_document(const char *text, size_t size)
{
    struct document *d;
    struct hash hash;
    struct err e;
    char *again;
    size_t again_size;

    if (document_decode(text, size, &d, &e))
        return;
    MUST(document_encode(d, &again, &again_size, &hash, &e) == 0);
    MUST(again_size == size && !memcmp(text, again, size));
    free(again);
    document_free(d);
}

/* A value in canonical form is its own canonical form, and a document that has it reads back. */
static void try_value(enum value_type type, const char *text, size_t size)
{
    struct document *d;
    struct hash hash;
    struct err e;
    char *once, *twice, *bytes;
    size_t bytes_size;

    if (value_normalize(type, text, size, &once, &e))
        return;
    MUST(value_normalize(type, once, strlen(once), &twice, &e) == 0 && !strcmp(once, twice));
    d = document_new();
    MUST(document_set(d, "key", type, once, &e) == 0);
    MUST(document_encode(d, &bytes, &bytes_size, &hash, &e) == 0);
    try_document(bytes, bytes_size);
    document_free(d);
    MUST(document_decode(bytes, bytes_size, &d, &e) == 0);
    document_free(d);
    free(bytes);
    free(twice);
    free(once);
}

/* The first byte picks: a whole document, or a value of one of the types. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    unsigned pick = size > 0 ? data[0] % (VALUE_YAML + 2) : 0;

    if (size == 0)
        return 0;
    if (pick > VALUE_YAML)
        try_document(text, size - 1);
    else
        try_value((enum value_type)pick, text, size - 1);
    return 0;
}

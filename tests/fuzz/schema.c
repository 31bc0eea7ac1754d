/* schema.c - libFuzzer target: any text is a schema or is refused, and any value gets an answer. */
#include "common/schema/schema.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/schema/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_value(const struct schema *s, const char *text, size_t size)
{
    SCOPED_SCHEMA_PROBLEMS struct schema_problems problems = { 0 };
    struct err e = { .text = "" };
    int result = schema_check(s, text, size, &problems, &e);
    char *yaml;

    MUST(result == 0 || e.text[0]);
    MUST(result == 0 || e.kind != ERR_INVALID || problems.count > 0);
    MUST(schema_check(s, text, size, NULL, &e) == result);
    if (value_normalize(VALUE_YAML, text, size, &yaml, &e))
        return;
    MUST(schema_check_value(s, VALUE_YAML, yaml, &problems, &e) == 0 || e.text[0]);
    free(yaml);
}

/* Any text is read as a reference. */
static void try_text(const char *text, size_t size)
{
    SCOPED_BUFFER struct buffer copy = { 0 }, out = { 0 };

    buffer_add(&copy, text, size);
    uri_resolve("http://a/b/c/d;p?q", copy.data, &out);
    (void)uri_is(URI_IRI_REFERENCE, copy.data);
}

/* The schema, a zero byte, the value. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *mark = size ? memchr(text, 0, size) : NULL;
    size_t schema_size = mark ? (size_t)(mark - text) : size;
    struct schema *s;
    struct err e = { .text = "" };

    try_text(text, size);
    if (schema_compile(text, schema_size, NULL, NULL, &s, NULL, &e)) {
        MUST(e.text[0]);
        return 0;
    }
    if (mark)
        try_value(s, mark + 1, size - schema_size - 1);
    else
        try_value(s, text, size);
    schema_free(s);
    return 0;
}

/* memory.c - memory that is there: who runs out of it ends. */
#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"

void *memory_new(size_t size)
{
    void *p = calloc(1, size);

    MUST(p);
    return p;
}

void *memory_array(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);

    MUST(p);
    return p;
}

char *memory_text(const char *text)
{
    char *copy = strdup(text);

    MUST(copy);
    return copy;
}

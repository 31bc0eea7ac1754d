/* memory.h - memory that is there: who runs out of it ends, and starts anew. */
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include <stddef.h>

/* All of it is for free(). Zeroed. */
void *memory_new(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
/* `count` may be 0: the pointer is none to read from then. A product that does not fit aborts. */
void *memory_array(size_t count, size_t size)
    __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
char *memory_text(const char *text) __attribute__((malloc, returns_nonnull)); /* a copy */

#endif

/* buffer.h - bytes that grow: how texts and messages of unknown length are put together. */
#ifndef COMMON_BUFFER_H
#define COMMON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise with {0}; data is always zero-terminated beyond size once anything was added.
 * Out of memory is a bug (MUST). */
struct buffer {
    char *data;
    size_t size, capacity;
    bool is_secret; /* memory is wiped before it is given back; see buffer_keep_secret */
};

void buffer_fini(struct buffer *b);
static inline void buffer_fini_scoped(struct buffer *b) { buffer_fini(b); }
#define SCOPED_BUFFER __attribute__((cleanup(buffer_fini_scoped)))

/* Room for `more` bytes behind data[size], and a terminating zero. */
void buffer_reserve(struct buffer *b, size_t more);
void buffer_add(struct buffer *b, const void *data, size_t size);
void buffer_add_text(struct buffer *b, const char *text);
void buffer_printf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buffer_keep_secret(struct buffer *b); /* from now on, until buffer_fini or buffer_take */
void buffer_clear(struct buffer *b); /* keeps the memory */
char *buffer_take(struct buffer *b); /* the caller's now (free); b is empty; never NULL */

/* A whole file; size limited to `max` (ERR_TOO_LARGE). "-" is standard input. */
struct err;
int buffer_read_file(struct buffer *b, const char *path, size_t max, struct err *e)
    __attribute__((warn_unused_result));

#endif

/* buffer.c - bytes that grow. */
#include "common/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/invariant.h"

void buffer_fini(struct buffer *b)
{
    if (b->is_secret && b->data)
        explicit_bzero(b->data, b->capacity);
    free(b->data);
    *b = (struct buffer){ 0 };
}

/* realloc may leave a copy of the old bytes where it moved away from. */
static char *grow(struct buffer *b, size_t capacity)
{
    char *data;

    if (!b->is_secret || !b->data)
        return realloc(b->data, capacity);
    data = malloc(capacity);
    MUST(data);
    memcpy(data, b->data, b->size + 1);
    explicit_bzero(b->data, b->capacity);
    free(b->data);
    return data;
}

void buffer_keep_secret(struct buffer *b)
{
    b->is_secret = true;
}

void buffer_reserve(struct buffer *b, size_t more)
{
    size_t capacity = b->capacity ? b->capacity : 64;

    MUST(more < SIZE_MAX / 4 && b->size < SIZE_MAX / 4);
    if (b->size + more + 1 <= b->capacity)
        return;
    while (capacity < b->size + more + 1)
        capacity *= 2;
    b->data = grow(b, capacity);
    MUST(b->data);
    b->capacity = capacity;
}

void buffer_add(struct buffer *b, const void *data, size_t size)
{
    buffer_reserve(b, size);
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
}

void buffer_add_text(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

void buffer_printf(struct buffer *b, const char *fmt, ...)
{
    va_list ap;
    int size;

    va_start(ap, fmt);
    size = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    MUST(size >= 0);
    buffer_reserve(b, (size_t)size);
    va_start(ap, fmt);
    vsnprintf(b->data + b->size, (size_t)size + 1, fmt, ap);
    va_end(ap);
    b->size += (size_t)size;
}

void buffer_clear(struct buffer *b)
{
    b->size = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *buffer_take(struct buffer *b)
{
    char *data;

    buffer_reserve(b, 0);
    data = b->data;
    data[b->size] = '\0';
    *b = (struct buffer){ 0 };
    return data;
}

static int read_all(struct buffer *b, int fd, const char *shown, size_t max, struct err *e)
{
    for (;;) {
        ssize_t n;

        buffer_reserve(b, 16384);
        n = read(fd, b->data + b->size, 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, ERR_SYSTEM, "cannot read %s: %s", shown, strerror(errno));
        b->size += (size_t)n;
        b->data[b->size] = '\0';
        if (b->size > max)
            return err_set(e, ERR_TOO_LARGE, "%s is larger than the %zu bytes allowed", shown,
                           max);
        if (n == 0)
            return 0;
    }
}

int buffer_read_file(struct buffer *b, const char *path, size_t max, struct err *e)
{
    bool is_stdin = !strcmp(path, "-");
    const char *shown = is_stdin ? "standard input" : path;
    struct buffer content = { 0 };
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int result;

    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, "cannot open %s: %s", path,
                       strerror(errno));
    result = read_all(&content, fd, shown, max, e);
    if (!is_stdin)
        close(fd);
    if (result == 0)
        buffer_add(b, content.data, content.size);
    buffer_fini(&content);
    return result;
}

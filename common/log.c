/* log.c - one structured line per thing worth knowing, on stderr. */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/name.h"

/* Set once, before threads start, and only read afterwards; the level may change at any time. */
static struct {
    const char *program;
    _Atomic(enum log_level) least;
    bool is_json;
} settings = { "lockstep", LOG_INFO_, false };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_init(const char *program, enum log_level least, bool is_json)
{
    settings.program = program;
    settings.is_json = is_json;
    log_set_level(least);
}

void log_set_level(enum log_level least)
{
    atomic_store_explicit(&settings.least, least, memory_order_relaxed);
}

int log_level_of(const char *name, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    return -1;
}

const char *log_number(int64_t n, char out[24])
{
    snprintf(out, 24, "%lld", (long long)n);
    return out;
}

/* Escapes that both forms share: nothing in a value can end the line or forge a field. */
static void add_quoted(struct buffer *line, const char *text)
{
    bool is_utf8 = name_is_utf8(text, strlen(text));

    buffer_add(line, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            buffer_printf(line, "\\%c", c);
        else if (c == '\n')
            buffer_add(line, "\\n", 2);
        else if (c < 0x20 || c == 0x7F || (c >= 0x80 && !is_utf8))
            buffer_printf(line, "\\u%04x", c);
        else
            buffer_add(line, text, 1);
    }
    buffer_add(line, "\"", 1);
}

static void add_value(struct buffer *line, const char *text)
{
    bool is_plain = *text != '\0';

    for (const char *c = text; *c && is_plain; c++)
        is_plain = *c > 0x20 && *c < 0x7F && *c != '"' && *c != '\\' && *c != '=';
    if (is_plain)
        buffer_add_text(line, text);
    else
        add_quoted(line, text);
}

static void add_field(struct buffer *line, const char *name, const char *value)
{
    if (settings.is_json) {
        buffer_add_text(line, line->size > 0 ? "," : "{");
        add_quoted(line, name);
        buffer_add(line, ":", 1);
        add_quoted(line, value);
    } else {
        if (line->size > 0)
            buffer_add(line, " ", 1);
        buffer_printf(line, "%s=", name);
        add_value(line, value);
    }
}

static void write_out(const char *data, size_t size)
{
    ssize_t n;

    /* A line that cannot be written is lost: there is nowhere left to complain. */
    do
        n = write(STDERR_FILENO, data, size);
    while (n < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *message, ...)
{
    SCOPED_BUFFER struct buffer line = { 0 };
    char now[CLOCK_TEXT_SIZE];
    const char *name, *value;
    int saved = errno;
    va_list ap;

    if (level < atomic_load_explicit(&settings.least, memory_order_relaxed))
        return;
    clock_format(clock_wall_ms(), now);
    add_field(&line, "time", now);
    add_field(&line, "level", level_names[level]);
    add_field(&line, "program", settings.program);
    add_field(&line, "message", message);
    va_start(ap, message);
    while ((name = va_arg(ap, const char *)) != NULL) {
        value = va_arg(ap, const char *);
        if (value)
            add_field(&line, name, value);
    }
    va_end(ap);
    buffer_add_text(&line, settings.is_json ? "}\n" : "\n");
    write_out(line.data, line.size);
    errno = saved;
}

/* err.c - the error value: one kind, one sentence. */
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *code;
} kinds[] = {
#define X(name, status, code) [ERR_##name] = { status, code },
    ERR_KINDS(X)
#undef X
};

__attribute__((format(printf, 4, 0)))
static void say(struct err *e, enum err_kind kind, const char *code, const char *fmt, va_list ap)
{
    e->kind = kind;
    e->is_inner = false;
    e->code = code;
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(e, kind, NULL, fmt, ap);
    va_end(ap);
    return -1;
}

int err_code(struct err *e, enum err_kind kind, const char *code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(e, kind, code, fmt, ap);
    va_end(ap);
    return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[sizeof(e->text)];
    va_list ap;
    int n;

    memcpy(inner, e->text, sizeof(inner));
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n + 3 < sizeof(e->text))
        snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %.*s", (int)sizeof(inner) - n - 3,
                 inner);
    return -1;
}

int err_status(enum err_kind kind)
{
    return kinds[kind].status;
}

const char *err_problem_code(const struct err *e)
{
    return e->code ? e->code : kinds[e->kind].code;
}

/* problems.c - gathers what is wrong with the fields of a request. */
#include "coordinator/policy/problems.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/invariant.h"

void problems_fini(struct problems *p)
{
    json_decref(p->extra);
    p->extra = NULL;
    p->count = 0;
}

void problems_add(struct problems *p, const char *pointer, const char *fmt, ...)
{
    va_list ap;

    if (p->count == PROBLEMS_MAX)
        return;
    snprintf(p->items[p->count].pointer, sizeof(p->items[0].pointer), "%s", pointer);
    va_start(ap, fmt);
    vsnprintf(p->items[p->count].detail, sizeof(p->items[0].detail), fmt, ap);
    va_end(ap);
    p->count++;
}

void problems_extra(struct problems *p, const char *name, struct json_t *value)
{
    if (!p->extra)
        p->extra = json_object();
    MUST(json_object_set_new(p->extra, name, value) == 0);
}

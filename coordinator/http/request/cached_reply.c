/* cached_reply.c - copies a reply into memory of its own, and gives it out again. */
#include "coordinator/http/request/cached_reply.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/http/request/etag.h"
#include "coordinator/http/request/reply.h"

struct cached_reply_text {
    _Atomic unsigned holders;
    char bytes[];
};

/* What the form takes, roughly: it counts as if everybody had one. */
#define FORM_SIZE 700

static size_t text_size(const struct reply *re)
{
    size_t size = re->body.size;

    for (unsigned i = 0; i < re->header_count; i++)
        size += strlen(re->headers[i].value) + 1;
    return size;
}

struct cached_reply *cached_reply_of(const struct reply *re)
{
    struct cached_reply *a;
    char *at;

    if (re->stream || re->header_count > CACHED_REPLY_HEADERS_MAX)
        return NULL;
    a = memory_new(sizeof(*a));
    a->text = malloc(sizeof(*a->text) + text_size(re));
    MUST(a->text);
    atomic_init(&a->text->holders, 1);
    at = a->text->bytes;
    atomic_init(&a->holders, 1);
    a->status = re->status;
    a->content_type = re->content_type;
    a->revision = re->revision;
    a->size = re->body.size;
    a->body = at;
    if (a->size)
        memcpy(at, re->body.data, a->size);
    at += a->size;
    a->header_count = re->header_count;
    for (unsigned i = 0; i < a->header_count; i++) {
        size_t size = strlen(re->headers[i].value) + 1;

        a->headers[i].name = re->headers[i].name;
        a->headers[i].value = memcpy(at, re->headers[i].value, size);
        at += size;
    }
    return a;
}

struct cached_reply *cached_reply_take(struct cached_reply *a)
{
    atomic_fetch_add_explicit(&a->holders, 1, memory_order_relaxed);
    return a;
}

void cached_reply_release(struct cached_reply *a)
{
    void *form;

    if (!a || atomic_fetch_sub_explicit(&a->holders, 1, memory_order_acq_rel) != 1)
        return;
    form = atomic_load(&a->form);
    if (form)
        a->release_form(form);
    cached_reply_text_release(a->text);
    free(a);
}

struct cached_reply_text *cached_reply_text_take(struct cached_reply *a)
{
    atomic_fetch_add_explicit(&a->text->holders, 1, memory_order_relaxed);
    return a->text;
}

void cached_reply_text_release(void *text)
{
    struct cached_reply_text *t = text;

    if (atomic_fetch_sub_explicit(&t->holders, 1, memory_order_acq_rel) == 1)
        free(t);
}

size_t cached_reply_size(const struct cached_reply *a)
{
    size_t size = sizeof(*a) + sizeof(*a->text) + FORM_SIZE + a->size;

    for (unsigned i = 0; i < a->header_count; i++)
        size += strlen(a->headers[i].value) + 1;
    return size;
}

bool cached_reply_is_known(const struct cached_reply *a, const char *if_none_match)
{
    for (unsigned i = 0; if_none_match && i < a->header_count; i++)
        if (strcmp(a->headers[i].name, "ETag") == 0)
            return etag_is_known(if_none_match, a->headers[i].value);
    return false;
}

void cached_reply_give(struct cached_reply *a, const char *if_none_match, struct reply *re)
{
    reply_clear(re);
    if (!cached_reply_is_known(a, if_none_match)) {
        re->status = a->status;
        re->lent = cached_reply_take(a);
        return;
    }
    cached_reply_give_known(a, re);
}

void cached_reply_give_known(const struct cached_reply *a, struct reply *re)
{
    re->status = 304;
    for (unsigned i = 0; i < a->header_count; i++)
        reply_header(re, a->headers[i].name, a->headers[i].value);
}

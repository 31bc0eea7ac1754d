/* answer.c - copies a reply into memory of its own, and gives it out again. */
#include "coordinator/http/answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "coordinator/http/reply.h"

static size_t text_size(const struct reply *re)
{
    size_t size = re->body.size;

    for (unsigned i = 0; i < re->header_count; i++)
        size += strlen(re->headers[i].value) + 1;
    return size;
}

struct answer *answer_of(const struct reply *re)
{
    struct answer *a;
    char *at;

    if (re->stream || re->header_count > ANSWER_HEADERS_MAX)
        return NULL;
    a = calloc(1, sizeof(*a) + text_size(re));
    MUST(a);
    at = (char *)(a + 1);
    atomic_init(&a->holders, 1);
    a->status = re->status;
    a->content_type = re->content_type;
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

struct answer *answer_take(struct answer *a)
{
    atomic_fetch_add_explicit(&a->holders, 1, memory_order_relaxed);
    return a;
}

void answer_release(struct answer *a)
{
    if (a && atomic_fetch_sub_explicit(&a->holders, 1, memory_order_acq_rel) == 1)
        free(a);
}

size_t answer_size(const struct answer *a)
{
    size_t size = sizeof(*a) + a->size;

    for (unsigned i = 0; i < a->header_count; i++)
        size += strlen(a->headers[i].value) + 1;
    return size;
}

void answer_give(struct answer *a, const char *if_none_match, struct reply *re)
{
    bool is_same = false;

    reply_clear(re);
    for (unsigned i = 0; i < a->header_count; i++) {
        reply_header(re, a->headers[i].name, a->headers[i].value);
        is_same |= if_none_match && strcmp(a->headers[i].name, "ETag") == 0 &&
                   strcmp(a->headers[i].value, if_none_match) == 0;
    }
    re->status = is_same ? 304 : a->status;
    re->content_type = is_same ? NULL : a->content_type;
    if (!is_same)
        re->lent = answer_take(a);
}

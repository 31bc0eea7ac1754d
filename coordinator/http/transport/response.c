/* response.c - puts status, headers and bodies into libmicrohttpd's responses. */
#include "coordinator/http/transport/response.h"

#include <microhttpd.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/scoped.h"
#include "coordinator/http/live/streams.h"
#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/reply.h"

#define LINE 64 /* bytes of memory that are fetched together */
#define FORM_LINES 12
#define BODY_LINES 8

static void add_common_headers(struct MHD_Response *response, const char *content_type,
                               bool is_secret)
{
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "Cache-Control", is_secret ? "no-store" : "no-cache");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
}

static struct MHD_Response *make(struct cached_reply *a)
{
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        a->size, (void *)(uintptr_t)a->body, cached_reply_text_release, cached_reply_text_take(a));

    MUST(response);
    add_common_headers(response, a->content_type, false);
    for (unsigned i = 0; i < a->header_count; i++)
        MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
    return response;
}

static void destroy(void *form)
{
    MHD_destroy_response(form);
}

struct MHD_Response *response_of_answer(struct cached_reply *a)
{
    void *form = atomic_load_explicit(&a->form, memory_order_acquire), *mine;

    if (form)
        return form;
    mine = make(a);
    a->release_form = destroy;
    if (atomic_compare_exchange_strong(&a->form, &form, mine))
        return mine;
    MHD_destroy_response(mine); /* somebody was quicker */
    return form;
}

/* The library's response, its headers and their texts are small blocks, made one after the other:
 * they lie behind it, or something else does and nothing is lost. */
void response_expect(const struct cached_reply *a)
{
    const char *form = atomic_load_explicit(&a->form, memory_order_relaxed);
    size_t lines = a->size < BODY_LINES * LINE ? a->size / LINE + 1 : BODY_LINES;

    for (size_t i = 0; form && i < FORM_LINES; i++)
        __builtin_prefetch(form + i * LINE);
    for (size_t i = 0; i < lines; i++)
        __builtin_prefetch(a->body + i * LINE);
}

/* Secrets are wiped once they are sent. */
static void free_body(void *body)
{
    buffer_fini(body);
    free(body);
}

static struct MHD_Response *make_own(struct reply *re)
{
    struct buffer *body = memory_new(sizeof(*body));

    *body = re->body;
    re->body = (struct buffer){ 0 };
    if (re->is_secret)
        buffer_keep_secret(body);
    return MHD_create_response_from_buffer_with_free_callback_cls(
        body->size, body->data ? body->data : "", free_body, body);
}

struct MHD_Response *response_of_reply(struct reply *re)
{
    struct MHD_Response *response;
    bool is_stream = re->stream != NULL;

    if (re->lent)
        return make(re->lent);
    if (re->stream)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, stream_read,
                                                     MOVE(re->stream), stream_close);
    else
        response = make_own(re);
    MUST(response);
    add_common_headers(response, re->content_type, re->is_secret);
    if (is_stream) /* proxies that gather answers would keep it to themselves */
        MHD_add_response_header(response, "X-Accel-Buffering", "no");
    for (unsigned i = 0; i < re->header_count; i++)
        MHD_add_response_header(response, re->headers[i].name, re->headers[i].value);
    return response;
}

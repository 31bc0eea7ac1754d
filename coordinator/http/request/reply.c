/* reply.c - builds answers and problems. */
#include "coordinator/http/request/reply.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/scoped.h"
#include "coordinator/http/live/streams.h"
#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/limits.h"

void reply_clear(struct reply *re)
{
    for (unsigned i = 0; i < re->header_count; i++)
        free(re->headers[i].value);
    re->header_count = 0;
    re->status = 0;
    re->revision = 0;
    re->is_waiting = false;
    re->is_secret = false;
    re->is_private = false;
    cached_reply_release(MOVE(re->lent));
    buffer_clear(&re->body);
    problems_fini(&re->problems);
    if (re->stream)
        stream_close(re->stream);
    re->stream = NULL;
}

void reply_fini(struct reply *re)
{
    reply_clear(re);
    buffer_fini(&re->body);
}

static int buffer_sink(const char *data, size_t size, void *into)
{
    buffer_add(into, data, size);
    return 0;
}

int reply_json(struct reply *re, int status, struct json_t *value)
{
    MUST(value);
    re->status = status;
    re->content_type = "application/json";
    buffer_clear(&re->body);
    MUST(json_dump_callback(value, buffer_sink, &re->body, JSON_COMPACT | JSON_ENCODE_ANY) == 0);
    buffer_add(&re->body, "\n", 1);
    json_decref(value);
    return 0;
}

void reply_header(struct reply *re, const char *name, const char *value)
{
    MUST(re->header_count < REPLY_HEADERS_MAX);
    re->headers[re->header_count].name = name;
    re->headers[re->header_count].value = strdup(value);
    MUST(re->headers[re->header_count].value);
    re->header_count++;
}

void reply_location(struct reply *re, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    reply_header(re, "Location", text);
}

int reply_wait(struct reply *re)
{
    re->is_waiting = true;
    return 0;
}

static const char *status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        { 400, "Malformed request" },     { 401, "Not authenticated" },
        { 403, "Not permitted" },         { 404, "Not found" },
        { 405, "Method not allowed" },    { 409, "Conflict" },
        { 410, "Gone" },                  { 412, "Precondition failed" },   { 413, "Too large" },
        { 415, "Unsupported media type" }, { 422, "Invalid" },
        { 429, "Too many requests" },     { 503, "Unavailable" },
    };

    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Internal error";
}

/* Most statuses follow from the kind; these two have no kind of their own. */
static int status_of(const struct err *e)
{
    if (e->code && strcmp(e->code, "method_not_allowed") == 0)
        return 405;
    if (e->code && strcmp(e->code, "unsupported_media_type") == 0)
        return 415;
    return err_status(e->kind);
}

/* The texts of errors may quote what was sent or stored: cut at a sentence's end they can break
 * a character, which JSON does not take. */
static json_t *safe_text(const char *text)
{
    json_t *s = json_string(text);
    size_t n = strlen(text);

    while (!s && n > 0)
        s = json_stringn(text, --n);
    return s ? s : json_string("");
}

static json_t *problem_list(const struct problems *p)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < p->count; i++)
        json_array_append_new(list,
                              json_pack("{s:o,s:o}", "pointer", safe_text(p->items[i].pointer),
                                        "detail", safe_text(p->items[i].detail)));
    return list;
}

void reply_error(struct reply *re, const struct err *e)
{
    int status = status_of(e);
    json_t *body = json_pack("{s:s,s:s,s:i,s:o,s:s}", "type", "about:blank", "title",
                             status_title(status), "status", status, "detail", safe_text(e->text),
                             "code", err_problem_code(e));

    MUST(body);
    if (re->problems.count)
        json_object_set_new(body, "errors", problem_list(&re->problems));
    if (re->problems.extra)
        json_object_update(body, re->problems.extra);
    reply_json(re, status, body);
    re->content_type = "application/problem+json";
    if (status == 503)
        reply_header(re, "Retry-After", "2");
    if (status == 429)
        reply_header(re, "Retry-After", LIMITS_RETRY_AFTER);
    if (status == 401)
        reply_header(re, "WWW-Authenticate", "Bearer");
}

int reply_list(struct reply *re, const char *name, struct json_t *items, const char *cursor)
{
    json_t *body = json_object();

    json_object_set_new(body, name, items);
    json_object_set_new(body, "next", cursor ? json_string(cursor) : json_null());
    return reply_json(re, 200, body);
}

/* page.c - the files of the live page, with headers that let nothing else in. */
#include "coordinator/http/admin/page.h"

#include <string.h>

#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

static const char *type_of(const char *name)
{
    const char *end = strrchr(name, '.');

    if (end && strcmp(end, ".js") == 0)
        return "text/javascript; charset=utf-8";
    if (end && strcmp(end, ".css") == 0)
        return "text/css; charset=utf-8";
    return "text/html; charset=utf-8";
}

int page_get(struct request *rq, struct reply *re, struct err *e)
{
    const char *path = rq->match.route->pattern;
    const char *name = strcmp(path, "/") == 0 ? "index.html" : path + 1;

    for (const struct page_file *f = page_files; f->name; f++) {
        if (strcmp(f->name, name) != 0)
            continue;
        re->status = 200;
        re->content_type = type_of(name);
        buffer_add(&re->body, f->at, (size_t)(f->end - f->at));
        reply_header(re, "Content-Security-Policy", policy);
        reply_header(re, "Referrer-Policy", "no-referrer");
        return 0;
    }
    return err_set(e, ERR_NOT_FOUND, "the page has no file %s", name);
}

/* openapi.c - the handler that gives the description of the API away. */
#include "coordinator/http/admin/openapi.h"

#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"

int openapi_get(struct request *rq, struct reply *re, struct err *e)
{
    const struct page_file *f = openapi_files;

    (void)rq;
    (void)e;
    re->status = 200;
    re->content_type = "application/json";
    buffer_add(&re->body, f->at, (size_t)(f->end - f->at));
    return 0;
}

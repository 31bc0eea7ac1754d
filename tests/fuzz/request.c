/* request.c - libFuzzer target: any request at any route of the API is refused with a sound problem.
 *
 * The handlers are the real ones; their connection to the database is a lost one, so that whatever
 * survives the reading of path, query and body ends at the first statement. Bodies begin as the
 * example of the API's own description, so that the fields behind the first one are reached, too.
 */
#include "coordinator/http/admin/openapi.h"

#include <ctype.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/cache/reads.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/store/pg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WITH_EXAMPLE = 1, WITH_TARGET = 2, WITH_TYPE = 4 };

/* What is all zero has no connection, as one that was lost. */
static uint64_t lost[64];

/* The memory of keys of a coordinator whose database cannot be reached: it holds nothing. */
static struct reads *no_memory(void)
{
    static const struct http_settings settings = { .is_cold = true };
    static const struct reads_hands hands = { 0 };
    static struct reads *reads;

    if (!reads)
        reads = reads_start(&settings, pg_pool_new("host=/nowhere", "fuzz", 1), token_cache_new(),
                            &hands);
    return reads;
}

static char *example_of(const struct route *route)
{
    static json_t *doc;
    char method[16] = "", *text;
    json_t *at;

    if (!doc)
        doc = json_loadb(openapi_files[0].at, (size_t)(openapi_files[0].end - openapi_files[0].at),
                         0, NULL);
    MUST(doc);
    for (size_t i = 0; route->method[i]; i++)
        method[i] = (char)tolower((unsigned char)route->method[i]);
    at = json_object_get(json_object_get(json_object_get(doc, "paths"), route->pattern), method);
    at = json_object_get(json_object_get(at, "requestBody"), "content");
    at = json_object_get(json_object_get(at, "application/json"), "example");
    text = at ? json_dumps(at, JSON_COMPACT) : strdup("{}");
    MUST(text);
    return text;
}

/* The example with the bytes put over it from a place on, or put between. */
static void write_over(struct buffer *body, const char *example, const uint8_t *data, size_t size)
{
    size_t length = strlen(example), at = size ? data[0] % (length + 1) : length;
    size_t cut = size > 1 ? data[1] % (length - at + 1) : 0;

    buffer_add(body, example, at);
    buffer_add(body, (const char *)data + 2, size > 2 ? size - 2 : 0);
    buffer_add(body, example + at + cut, length - at - cut);
}

static void fill_params(struct request *rq)
{
    for (const char *at = rq->match.route->pattern; (at = strchr(at, '{')); at++)
        rq->match.params[rq->match.param_count++] = strdup("demo");
}

/* false: no route has this. The first line is the target when it is not the route's own. */
static bool open_request(struct request *rq, const uint8_t **data, size_t *size)
{
    const struct route *route = &routes[(*data)[0] % route_count];
    const char *line = (const char *)*data + 2;
    const char *end = memchr(line, '\n', *size - 2);
    size_t length = end ? (size_t)(end - line) : *size - 2;
    unsigned how = (*data)[1];
    struct err e;

    rq->method = route->method;
    rq->target = strndup(how & WITH_TARGET ? line : "/", how & WITH_TARGET ? length : 1);
    MUST(rq->target);
    *data += 2 + (how & WITH_TARGET ? length : 0);
    *size -= 2 + (how & WITH_TARGET ? length : 0);
    rq->match.route = route;
    if (!(how & WITH_TARGET) || rq->target[0] != '/')
        fill_params(rq);
    else if (route_find(routes, route_count, route->method, rq->target,
                        strcspn(rq->target, "?"), &rq->match, &e) < 0)
        return false;
    if (how & WITH_TYPE)
        rq->content_type = strdup("application/json; charset=utf-8");
    return rq->match.route->right != NULL;
}

static void fill_body(struct request *rq, unsigned how, const uint8_t *data, size_t size)
{
    char *example;

    if (!rq->match.route->takes_body)
        return;
    example = example_of(rq->match.route);
    if (how & WITH_EXAMPLE)
        write_over(&rq->body, example, data, size);
    else
        buffer_add(&rq->body, (const char *)data, size);
    free(example);
}

/* Problems are JSON whatever was quoted in them, and no mistake of a client is one of ours. */
static void judge(struct reply *re, const struct err *e)
{
    json_t *body;

    reply_error(re, e);
    body = json_loadb(re->body.data, re->body.size, JSON_REJECT_DUPLICATES, NULL);
    MUST(body && re->status >= 400 && re->status != 500);
    MUST(json_integer_value(json_object_get(body, "status")) == re->status);
    json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_deps nobody = { 0 };
    struct request rq = { .owner.name = "fuzz", .deps = &nobody, .pg = (struct pg *)(void *)lost,
                          .reads = no_memory() };
    struct reply re = { 0 };
    struct err e = { 0 };
    unsigned how;

    if (size < 2)
        return 0;
    how = data[1];
    grants_load("[{\"role\":\"admin\",\"environment\":\"*\"}]", &rq.owner.grants);
    if (open_request(&rq, &data, &size)) {
        fill_body(&rq, how, data, size);
        if (request_parse_query(&rq, &e) < 0 || request_parse_body(&rq, &e) < 0 ||
            rq.match.route->handler(&rq, &re, &e) < 0)
            judge(&re, &e);
    }
    reply_fini(&re);
    request_fini(&rq);
    return 0;
}

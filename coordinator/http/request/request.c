/* request.c - takes a request's query and body apart. */
#include "coordinator/http/request/request.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/live/watches.h"
#include "coordinator/store/config/sealing.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/transaction.h"

#define POOL_WAIT_MS 3000
#define WRITE_PATIENCE_MS 60000

void request_fini(struct request *rq)
{
    sealing_free(rq->sealing);
    free(rq->target);
    route_match_fini(&rq->match);
    for (unsigned i = 0; i < rq->query_count; i++) {
        free(rq->query[i].name);
        free(rq->query[i].value);
    }
    free(rq->authorization);
    free(rq->content_type);
    free(rq->if_match);
    free(rq->if_none_match);
    free(rq->accept);
    free(rq->last_event_id);
    free(rq->idempotency_key);
    buffer_fini(&rq->body);
    json_decref(rq->json);
    watch_close(rq->watch);
}

const char *request_token(const char *header)
{
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    return header + 7 + strspn(header + 7, " ");
}

int request_connect(struct request *rq, bool is_read, struct err *e)
{
    if (pg_pool_take(rq->deps->pool, POOL_WAIT_MS, &rq->pg, e) < 0)
        return -1;
    pg_set_patience(rq->pg, is_read ? REQUEST_READ_PATIENCE_MS : WRITE_PATIENCE_MS);
    return 0;
}

void request_disconnect(struct request *rq)
{
    pg_set_patience(rq->pg, WRITE_PATIENCE_MS);
    pg_pool_give(rq->deps->pool, &rq->pg);
    rq->pg = NULL;
}

int request_begin(const struct request *rq, struct transaction *t, struct err *e)
{
    return transaction_begin(t, rq->pg, (struct actor){ rq->owner.name, rq->address }, e);
}

static int add_query(struct request *rq, const char *part, size_t size, struct err *e)
{
    const char *equals = memchr(part, '=', size);
    size_t name_size = equals ? (size_t)(equals - part) : size;
    char *name, *value;

    if (size == 0)
        return 0;
    if (rq->query_count == REQUEST_QUERY_MAX)
        return err_set(e, ERR_MALFORMED, "more than %d query parameters", REQUEST_QUERY_MAX);
    name = route_decode(part, name_size, true);
    value = equals ? route_decode(equals + 1, size - name_size - 1, true) : strdup("");
    if (!name || !value || request_query(rq, name)) {
        int rc = err_set(e, ERR_MALFORMED, "query parameter %.60s is given twice, or has a broken "
                         "percent escape, a zero byte or invalid UTF-8", name ? name : "");

        free(name);
        free(value);
        return rc;
    }
    rq->query[rq->query_count].name = name;
    rq->query[rq->query_count++].value = value;
    return 0;
}

int request_parse_query(struct request *rq, struct err *e)
{
    const char *at = strchr(rq->target, '?');

    while (at) {
        const char *part = at + 1;

        at = strchr(part, '&');
        if (add_query(rq, part, at ? (size_t)(at - part) : strlen(part), e) < 0)
            return -1;
    }
    return 0;
}

static bool is_json_type(const char *type)
{
    size_t n = strcspn(type, "; ");

    return (n == 16 && strncasecmp(type, "application/json", n) == 0) ||
           (n > 5 && strncasecmp(type + n - 5, "+json", 5) == 0);
}

/* "… near 'what stands there'" is left out, it may be part of a secret; a doubled key is told. */
static void hush(json_error_t *why)
{
    char *near = strstr(why->text, " near ");

    if (near && strncmp(why->text, "duplicate", 9) != 0)
        *near = '\0';
}

int request_parse_body(struct request *rq, struct err *e)
{
    json_error_t why;

    if (rq->body.size == 0)
        return 0;
    if (rq->content_type && !is_json_type(rq->content_type))
        return err_code(e, ERR_MALFORMED, "unsupported_media_type",
                        "the body must be application/json, not %.80s", rq->content_type);
    if (!name_is_utf8(rq->body.data, rq->body.size))
        return err_set(e, ERR_MALFORMED, "the body is not valid UTF-8");
    /* Integers as doubles: their written text is taken from the body itself where it matters. */
    rq->json = json_loadb(rq->body.data, rq->body.size,
                          JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &why);
    if (!rq->json) {
        hush(&why);
        return err_set(e, ERR_MALFORMED, "the body is not JSON: line %d, column %d: %s", why.line,
                       why.column, why.text);
    }
    return 0;
}

const char *request_param(const struct request *rq, unsigned index)
{
    MUST(index < rq->match.param_count);
    return rq->match.params[index];
}

const char *request_query(const struct request *rq, const char *name)
{
    for (unsigned i = 0; i < rq->query_count; i++)
        if (strcmp(rq->query[i].name, name) == 0)
            return rq->query[i].value;
    return NULL;
}

bool request_flag(const struct request *rq, const char *name)
{
    const char *value = request_query(rq, name);

    return value && (!*value || strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

int request_query_number(const struct request *rq, const char *name, int64_t least, int64_t most,
                         int64_t *out, struct err *e)
{
    const char *value = request_query(rq, name);
    char *end;
    long long n;

    if (!value)
        return 0;
    errno = 0;
    n = strtoll(value, &end, 10);
    if (end == value || *end || errno || n < least || n > most)
        return err_set(e, ERR_INVALID, "?%s= must be a whole number from %lld to %lld", name,
                       (long long)least, (long long)most);
    *out = n;
    return 0;
}

int request_limit(const struct request *rq, int64_t *out, struct err *e)
{
    *out = REQUEST_LIMIT_PRESET;
    return request_query_number(rq, "limit", 1, REQUEST_LIMIT_MAX, out, e);
}

int request_only_query(const struct request *rq, const char *const *known, struct err *e)
{
    for (unsigned i = 0; i < rq->query_count; i++) {
        unsigned k = 0;

        while (known[k] && strcmp(known[k], rq->query[i].name) != 0)
            k++;
        if (!known[k])
            return err_set(e, ERR_INVALID, "there is no query parameter %.60s here",
                           rq->query[i].name);
    }
    return 0;
}

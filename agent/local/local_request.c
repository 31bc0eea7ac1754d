/* local_request.c - one request over local HTTP: what was asked, and the answer that grows. */
#include "agent/local/local_request.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document/canon.h"
#include "common/invariant.h"
#include "common/name.h"

/* ---- the target ---- */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* *out is malloc'ed. plus: a '+' is a blank, as forms write it. */
static int decode(const char *text, size_t size, bool plus, char **out, struct err *e)
{
    char *to = malloc(size + 1);
    size_t n = 0;

    MUST(to);
    *out = to;
    for (size_t i = 0; i < size; i++) {
        int high, low;

        if (text[i] != '%') {
            to[n++] = plus && text[i] == '+' ? ' ' : text[i];
            continue;
        }
        high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
        low = i + 2 < size ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return err_set(e, ERR_MALFORMED, "a '%%' in the address begins no byte; write %%25");
        to[n++] = (char)(high * 16 + low);
        i += 2;
    }
    to[n] = '\0';
    if (!name_is_utf8(to, n))
        return err_set(e, ERR_MALFORMED, "the address is not UTF-8");
    return 0;
}

static int parse_path(struct local_request *rq, const char *path, size_t size, struct err *e)
{
    const char *end = path + size;

    if (!size || *path != '/')
        return err_set(e, ERR_MALFORMED, "the path does not begin with a slash");
    while (path < end) {
        const char *part = path + 1, *next = memchr(part, '/', (size_t)(end - part));

        if (!next)
            next = end;
        if (rq->part_count == LOCAL_PARTS_MAX)
            return err_set(e, ERR_NOT_FOUND, "there is nothing at this path");
        if (decode(part, (size_t)(next - part), false, &rq->parts[rq->part_count++], e))
            return -1;
        path = next;
    }
    return 0;
}

static int parse_query(struct local_request *rq, const char *query, struct err *e)
{
    while (*query) {
        size_t size = strcspn(query, "&"), name_size = strcspn(query, "=&");
        unsigned at = rq->query_count;

        if (size == 0) {
            query++;
            continue;
        }
        if (at == LOCAL_QUERY_MAX)
            return err_set(e, ERR_MALFORMED, "the query has more than %d fields", LOCAL_QUERY_MAX);
        rq->query_count++;
        if (decode(query, name_size, true, &rq->query[at].name, e) ||
            decode(query + name_size + (name_size < size), size - name_size - (name_size < size),
                   true, &rq->query[at].value, e))
            return -1;
        for (unsigned i = 0; i < at; i++)
            if (strcmp(rq->query[i].name, rq->query[at].name) == 0)
                return err_set(e, ERR_MALFORMED, "?%.100s= is given twice", rq->query[at].name);
        query += size + (query[size] == '&');
    }
    return 0;
}

int local_request_parse(struct local_request *rq, struct err *e)
{
    size_t size = strcspn(rq->target, "?");

    if (parse_path(rq, rq->target, size, e))
        return -1;
    return rq->target[size] ? parse_query(rq, rq->target + size + 1, e) : 0;
}

void local_request_fini(struct local_request *rq)
{
    for (unsigned i = 0; i < rq->part_count; i++)
        free(rq->parts[i]);
    for (unsigned i = 0; i < rq->query_count; i++) {
        free(rq->query[i].name);
        free(rq->query[i].value);
    }
    buffer_fini(&rq->body);
    buffer_fini(&rq->answer.body);
    free(rq->target);
}

/* ---- the query ---- */

const char *local_query(const struct local_request *rq, const char *name)
{
    for (unsigned i = 0; i < rq->query_count; i++)
        if (strcmp(rq->query[i].name, name) == 0)
            return rq->query[i].value;
    return NULL;
}

int local_query_only(const struct local_request *rq, struct err *e, ...)
{
    for (unsigned i = 0; i < rq->query_count; i++) {
        const char *name;
        bool is_known = false;
        va_list ap;

        va_start(ap, e);
        while (!is_known && (name = va_arg(ap, const char *)) != NULL)
            is_known = strcmp(name, rq->query[i].name) == 0;
        va_end(ap);
        if (!is_known)
            return err_set(e, ERR_INVALID, "?%.100s= means nothing here", rq->query[i].name);
    }
    return 0;
}

int local_query_number(const struct local_request *rq, const char *name, int64_t most,
                       int64_t *out, struct err *e)
{
    const char *text = local_query(rq, name);
    char *end;

    if (!text)
        return 0;
    *out = strtoll(text, &end, 10);
    if (!*text || *end || text[0] == ' ' || text[0] == '+' || *out < 0 || *out > most)
        return err_set(e, ERR_INVALID, "?%s=%.50s is not a number from 0 to %" PRId64, name, text,
                       most);
    return 0;
}

/* ---- who may ---- */

/* Who may connect is said by the socket's mode and group. A scope with readers of its own asks for
 * more: over loopback nobody is known, so nobody is one of them. */
bool local_request_may_read(const struct local_request *rq, const struct local_scope *scope)
{
    const struct peer *peer = rq->peer;

    if (!atomic_load(&scope->has_group))
        return true;
    if (!peer->is_known)
        return false;
    return peer->uid == 0 || peer->uid == rq->house->own_uid ||
           peer_is_in(peer, atomic_load(&scope->group));
}

bool local_request_may_see_secrets(const struct local_request *rq)
{
    const struct local_settings *s = rq->house->settings;

    if (!rq->peer->is_known)
        return false;
    for (unsigned i = 0; i < s->secret_user_count; i++)
        if (s->secret_users[i] == rq->peer->uid)
            return true;
    return false;
}

struct local_scope *local_request_scope(const struct local_request *rq, struct err *e)
{
    const char *service = rq->parts[2], *environment = name_environment(rq->parts[3]);
    struct local_scope *scope;

    if (name_check("service", service, e) || name_check("environment", environment, e))
        return NULL;
    scope = local_scopes_find(rq->house->scopes, service, environment);
    if (!scope) {
        err_code(e, ERR_NOT_FOUND, "unknown_scope", "this agent's settings do not read %s/%s",
                 service, environment);
        return NULL;
    }
    if (local_request_may_read(rq, scope))
        return scope;
    err_set(e, ERR_FORBIDDEN, "%s/%s has readers of its own: the user needs the group that "
            "readers_group names, and must come over the Unix socket", service, environment);
    return NULL;
}

/* ---- answers ---- */

static const char *title_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 422:
        return "Unprocessable Content";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

void local_answer_error(struct local_answer *answer, const struct err *e)
{
    const char *code = answer->allow ? "method_not_allowed" : err_problem_code(e);
    int status = answer->allow ? 405 : err_status(e->kind);

    answer->status = status;
    answer->etag[0] = '\0';
    answer->content_type = "application/problem+json";
    buffer_clear(&answer->body);
    buffer_printf(&answer->body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                  "\"code\":\"%s\",\"detail\":", title_of(status), status, code);
    canon_quote(&answer->body, e->text);
    buffer_add_text(&answer->body, "}\n");
}

void local_answer_with(struct local_answer *answer, const char *content_type)
{
    answer->status = 200;
    answer->content_type = content_type;
}

bool local_answer_is_known(struct local_request *rq, const char *hash)
{
    struct local_answer *answer = &rq->answer;

    snprintf(answer->etag, sizeof(answer->etag), "\"%s\"", hash);
    if (!rq->if_none_match || (strcmp(rq->if_none_match, "*") != 0 &&
                               !strstr(rq->if_none_match, answer->etag)))
        return false;
    answer->status = 304;
    return true;
}

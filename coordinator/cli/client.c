/* client.c - a conversation with the HTTP API; problem+json becomes a sentence and its code. */
#include "coordinator/cli/client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "coordinator/cli/api_words.h"
#include "coordinator/cli/context.h"
#include "coordinator/cli/exchange.h"

struct client {
    struct exchange *x;
    struct context context; /* without the token */
    const char *address;  /* of the context's, the one that is spoken to */
    unsigned at;
    bool has_token;
    char code[80];        /* of the last problem */
    struct buffer fields; /* lines of the last problem's field errors */
    size_t field_count;
    char first_pointer[80], first_detail[320];
    bool is_known; /* to be a coordinator: see greet */
};

struct client *client_new(const struct context *context, bool is_verbose)
{
    struct client *c = memory_new(sizeof(*c));

    c->x = exchange_new(context, is_verbose);
    c->context = *context;
    explicit_bzero(c->context.token, sizeof(c->context.token));
    c->address = c->context.addresses[0];
    c->has_token = context->token[0];
    return c;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    exchange_free(c->x);
    buffer_fini(&c->fields);
    free(c);
}

void client_reply_fini(struct client_reply *r)
{
    json_decref(r->body);
    free(r->text);
    *r = (struct client_reply){ 0 };
}

const char *client_field_errors(const struct client *c)
{
    return c->field_count > 1 ? c->fields.data : "";
}

const char *client_field(const struct client *c, const char *ending)
{
    size_t size = strlen(c->first_pointer), end = strlen(ending);

    return c->field_count && size >= end && strcmp(c->first_pointer + size - end, ending) == 0
               ? c->first_detail
               : NULL;
}

const char *client_token_source(const struct client *c)
{
    return c->context.token_source;
}

const char *client_address(const struct client *c)
{
    return c->address;
}

void client_stop_on(struct client *c, const volatile int *flag)
{
    exchange_stop_on(c->x, flag);
}

void client_hurry(struct client *c, int64_t ms)
{
    exchange_hurry(c->x, ms);
}

void client_escape(struct buffer *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for (; *text; text++) {
        if (strchr(plain, *text))
            buffer_add(out, text, 1);
        else
            buffer_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

static enum err_kind kind_of(int status)
{
    switch (status) {
    case 400:
    case 405:
    case 415:
    case 422:
        return ERR_INVALID;
    case 401:
        return ERR_UNAUTHORIZED;
    case 403:
        return ERR_FORBIDDEN;
    case 404:
    case 410:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 412:
        return ERR_STALE;
    case 413:
        return ERR_TOO_LARGE;
    case 429:
    case 502:
    case 503:
    case 504:
        return ERR_UNAVAILABLE;
    default:
        return ERR_SYSTEM;
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void note_fields(struct client *c, const json_t *problem)
{
    size_t i;
    json_t *one;

    c->field_count = 0;
    json_array_foreach(json_object_get(problem, "errors"), i, one) {
        const char *pointer = text_of(one, "pointer"), *detail = text_of(one, "detail");

        buffer_printf(&c->fields, "  %s  ", pointer && *pointer ? pointer : "(whole body)");
        api_words_add(&c->fields, detail ? detail : "");
        buffer_add_text(&c->fields, "\n");
        if (c->field_count++ > 0)
            continue;
        snprintf(c->first_pointer, sizeof(c->first_pointer), "%s", pointer ? pointer : "");
        snprintf(c->first_detail, sizeof(c->first_detail), "%s", detail ? detail : "");
    }
}

static int problem(struct client *c, int status, const json_t *body, struct err *e)
{
    const char *title = text_of(body, "title"), *detail = text_of(body, "detail");
    const char *code = text_of(body, "code");
    const char *say = detail && *detail ? detail : title;
    SCOPED_BUFFER struct buffer words = { 0 };

    note_fields(c, body);
    snprintf(c->code, sizeof(c->code), "%s", code ? code : "");
    if (!say && status == 401)
        say = "the coordinator wants a token";
    if (say) {
        api_words_add(&words, say);
        say = words.data;
    }
    err_code(e, kind_of(status), code ? c->code : NULL, "%.400s%s%s%s",
             say ? say : "the coordinator gave no reason", code ? " (" : "", code ? c->code : "",
             code ? ")" : "");
    if (!say || !code)
        err_wrap(e, "HTTP %d from %.200s (%.60s)", status, c->address, exchange_type(c->x));
    if (status == 401 && !c->has_token)
        err_wrap(e, "no token was sent (--token-file FILE or LOCKSTEP_TOKEN)");
    return -1;
}

/* The first line of what came, for people; what is no text is left out. */
static void excerpt(const struct buffer *answer, char out[64])
{
    size_t n = 0;

    for (size_t i = 0; i < answer->size && n < 60 && answer->data[i] != '\n'; i++)
        if (answer->data[i] >= ' ' && answer->data[i] <= '~')
            out[n++] = answer->data[i];
    out[n] = 0;
}

/* Catch-all pages, captive portals and fallbacks of load balancers answer everything. */
static int is_no_coordinator(struct client *c, int status, struct err *e)
{
    char text[64];

    excerpt(exchange_answer(c->x), text);
    return err_code(e, ERR_UNAVAILABLE, "no_coordinator",
                    "what answers at %s (address from %s) is no Lockstep coordinator "
                    "(HTTP %d, %.60s: %s).\n"
                    "Nothing was done. Another address: --addr URL, LOCKSTEP_ADDR or --context",
                    c->address, c->context.source, status, exchange_type(c->x), text);
}

static int take_answer(struct client *c, bool may_be_text, struct client_reply *reply,
                       struct err *e)
{
    bool is_good = reply->status >= 200 && reply->status < 300;
    struct buffer *answer = exchange_answer(c->x);
    json_error_t je;

    if (strstr(exchange_type(c->x), "json")) {
        reply->body = json_loadb(answer->data, answer->size, JSON_DECODE_ANY, &je);
        if (!reply->body)
            return err_set(e, ERR_SYSTEM, "%s answered with broken JSON: %s", c->address,
                           je.text);
    } else if (is_good && may_be_text) {
        reply->text = buffer_take(answer);
    } else if (is_good) {
        return is_no_coordinator(c, reply->status, e);
    }
    return 0;
}

static int perform(struct client *c, const struct exchange_ask *ask, int *status_out, struct err *e)
{
    buffer_clear(&c->fields);
    c->field_count = 0;
    return exchange_perform(c->x, ask, status_out, e);
}

/* A GET that says nothing secret. 1: the answer is JSON, in *reply. 0: it is anything else. */
static int ask_openly(struct client *c, const char *path, struct client_reply *reply, struct err *e)
{
    struct exchange_ask ask = { "GET", c->address, path, .is_open = true,
                                .is_greeting = c->context.address_count > 1 };

    if (perform(c, &ask, &reply->status, e) != 0)
        return -1;
    return take_answer(c, false, reply, e) == 0 && json_is_object(reply->body);
}

static bool is_text(const json_t *object, const char *name, const char *wanted)
{
    const char *text = text_of(object, name);

    return text && strcmp(text, wanted) == 0;
}

/* Is that a coordinator? Asked once, without the token: login pages and proxies answer as well,
 * with any status. A gateway that lets the API alone through may refuse /version; behind it the API
 * itself says that it wants a token. One that is full or busy says so in the API's form. */
static int greet(struct client *c, struct err *e)
{
    SCOPED_REPLY struct client_reply version = { 0 }, self = { 0 };
    int rc;

    if (c->is_known)
        return 0;
    if ((rc = ask_openly(c, "/version", &version, e)) < 0)
        return -1;
    if (rc && text_of(version.body, "code") &&
        (version.status == 503 || version.status == 429 || /* full or busy */
         is_text(version.body, "code", "client_certificate")))
        return problem(c, version.status, version.body, e);
    c->is_known = rc && version.status == 200 && is_text(version.body, "name", "lockstepd");
    if (c->is_known)
        return 0;
    if (version.status >= 200 && version.status < 300)
        return is_no_coordinator(c, version.status, e);
    if ((rc = ask_openly(c, "/api/v1/whoami", &self, e)) < 0)
        return -1;
    c->is_known = rc && self.status == 401 && is_text(self.body, "code", "unauthorized");
    return c->is_known ? 0 : is_no_coordinator(c, self.status, e);
}

/* ---------------------------------------------------------------- several addresses */

static void take_next(struct client *c)
{
    c->at = (c->at + 1) % c->context.address_count;
    c->address = c->context.addresses[c->at];
    c->is_known = false;
}

static bool is_elsewhere(const struct client *c, const struct err *e)
{
    return c->context.address_count > 1 && e->kind == ERR_UNAVAILABLE && e->code &&
           strcmp(e->code, "interrupted") != 0;
}

/* Why an address is left, in a few words. */
static void note_silence(struct client *c, struct buffer *tried, const struct err *e)
{
    bool is_silent = strcmp(e->code, "unreachable") == 0;

    buffer_printf(tried, "%s%.120s: %.120s", tried->size ? "; " : "", c->address,
                  is_silent                                ? exchange_why(c->x)
                  : strcmp(e->code, "no_coordinator") == 0 ? "no Lockstep coordinator"
                                                           : e->text);
}

/* The first address from here on that is a coordinator and has time. */
static int greet_one(struct client *c, struct err *e)
{
    SCOPED_BUFFER struct buffer tried = { 0 };

    for (unsigned i = 0; i < c->context.address_count; i++) {
        if (greet(c, e) == 0)
            return 0;
        if (!is_elsewhere(c, e))
            return -1;
        note_silence(c, &tried, e);
        take_next(c);
    }
    return err_code(e, ERR_UNAVAILABLE, "unreachable",
                    "none of the coordinators answers (addresses from %.100s): %.300s.\n"
                    "Is lockstepd running there?",
                    c->context.source, tried.data);
}

/* What a coordinator that does not answer any more was asked is asked of another one, unless it may
 * have been done already. */
static int perform_somewhere(struct client *c, struct exchange_ask *ask, int *status_out,
                             struct err *e)
{
    for (unsigned i = 0;; i++) {
        if (greet_one(c, e) != 0)
            return -1;
        ask->address = c->address;
        if (perform(c, ask, status_out, e) == 0)
            return 0;
        if (!is_elsewhere(c, e) || i == c->context.address_count ||
            (exchange_was_sent(c->x) && strcmp(ask->method, "GET") != 0))
            return -1;
        take_next(c);
    }
}

static int call(struct client *c, const char *method, const char *path, const json_t *body,
                bool may_be_text, struct client_reply *reply, struct err *e)
{
    struct exchange_ask ask = { .method = method, .path = path };
    char *text;
    int rc;

    *reply = (struct client_reply){ 0 };
    text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    MUST(!body || text);
    ask.body = text;
    rc = perform_somewhere(c, &ask, &reply->status, e);
    free(text);
    if (rc != 0 || take_answer(c, may_be_text, reply, e) != 0)
        return -1;
    if (reply->status >= 200 && reply->status < 300)
        return 0;
    problem(c, reply->status, reply->body, e);
    client_reply_fini(reply);
    return -1;
}

int client_call(struct client *c, const char *method, const char *path, const json_t *body,
                struct client_reply *reply, struct err *e)
{
    return call(c, method, path, body, false, reply, e);
}

int client_get_text(struct client *c, const char *path, struct client_reply *reply, struct err *e)
{
    return call(c, "GET", path, NULL, true, reply, e);
}

int client_list(struct client *c, const char *path, const char *name, json_t **list_out,
                struct err *e)
{
    json_t *list = json_array();
    SCOPED_BUFFER struct buffer page = { 0 };

    buffer_add_text(&page, path);
    while (page.size) {
        SCOPED_REPLY struct client_reply reply = { 0 };
        const char *next;

        if (client_call(c, "GET", page.data, NULL, &reply, e) != 0) {
            json_decref(list);
            return -1;
        }
        if (!json_is_array(json_object_get(reply.body, name))) {
            json_decref(list);
            return err_code(e, ERR_UNAVAILABLE, "no_coordinator",
                            "%s answered without \"%s\": that is no Lockstep coordinator, or one "
                            "of another age",
                            c->address, name);
        }
        json_array_extend(list, json_object_get(reply.body, name));
        next = text_of(reply.body, "next");
        buffer_clear(&page);
        if (!next)
            break;
        buffer_printf(&page, "%s%ccursor=", path, strchr(path, '?') ? '&' : '?');
        client_escape(&page, next);
    }
    *list_out = list;
    return 0;
}

/* secret_values.c - opens the secrets that an answer may show, and says so where it does not. */
#include "coordinator/http/request/secret_values.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/rowjson.h"

#define LEFT_OUT_MAX 4000

struct sealing *secret_values_sealing(struct request *rq)
{
    if (!rq->sealing)
        rq->sealing = sealing_new();
    return rq->sealing;
}

bool secret_values_may(const struct request *rq, const char *service, const char *environment)
{
    return access_allows(rq, RIGHT_SECRET_READ, service, environment);
}

void secret_values_want(struct request *rq, const char *service, const char *environment,
                        const char *value)
{
    char digest[VALUE_DIGEST_SIZE];

    if (value_is_reference(value, digest) && secret_values_may(rq, service, environment))
        sealing_find(secret_values_sealing(rq), digest);
}

int secret_values_fetch(struct request *rq, struct reply *re, struct err *e)
{
    if (!rq->sealing || !sealing_is_wanting(rq->sealing))
        return 0;
    re->is_private = re->is_secret = true;
    buffer_keep_secret(&re->body);
    return sealing_fetch(rq->sealing, rq->deps->keyring, rq->pg, e);
}

/* An inherited secret is its parent's: to read it here takes the right for both. */
static bool may_read_origin(const struct request *rq, const struct sealed_value *v)
{
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    struct err e;

    return !v->scope[0] || (name_split_scope(v->scope, service, environment, &e) == 0 &&
                            secret_values_may(rq, service, environment));
}

enum secret_values_state secret_values_find(const struct request *rq, const char *service,
                                            const char *environment, const char *value,
                                            const char **text_out, const struct err **why_out)
{
    const struct sealed_value *found;
    char digest[VALUE_DIGEST_SIZE];

    if (!value_is_reference(value, digest))
        return SECRET_VALUES_PLAIN;
    if (!rq || !rq->sealing || !secret_values_may(rq, service, environment))
        return SECRET_VALUES_HIDDEN;
    found = sealing_look(rq->sealing, digest);
    if (!found || !may_read_origin(rq, found))
        return SECRET_VALUES_HIDDEN;
    *text_out = found->text;
    *why_out = &found->why;
    return found->text ? SECRET_VALUES_OPEN : SECRET_VALUES_AWAY;
}

void secret_values_add(struct json_t *object, const char *member, const struct request *rq,
                       const char *service, const char *environment, const char *value)
{
    const char *plain = NULL;
    const struct err *why = NULL;

    switch (secret_values_find(rq, service, environment, value, &plain, &why)) {
    case SECRET_VALUES_PLAIN:
        json_object_set_new(object, member, rowjson_text(value));
        return;
    case SECRET_VALUES_OPEN:
        json_object_set_new(object, member, rowjson_text(plain));
        break;
    case SECRET_VALUES_HIDDEN:
        break;
    case SECRET_VALUES_AWAY:
        json_object_set_new(object, why->kind == ERR_GONE ? "destroyed" : "unavailable",
                            why->kind == ERR_GONE ? json_true() : rowjson_text(why->text));
        break;
    }
    json_object_set_new(object, "encrypted", json_true());
}

/* ---------------------------------------------------------------- documents */

/* As in a URL, so that every key is a token of a header. */
static void list_key(struct buffer *list, const char *key)
{
    if (list->size > LEFT_OUT_MAX)
        return;
    if (list->size)
        buffer_add_text(list, ", ");
    for (; *key; key++) {
        bool is_plain = (*key >= 'a' && *key <= 'z') || (*key >= 'A' && *key <= 'Z') ||
                        (*key >= '0' && *key <= '9') || strchr("._-/", *key);

        buffer_printf(list, is_plain ? "%c" : "%%%02X", is_plain ? *key : (unsigned char)*key);
    }
    if (list->size > LEFT_OUT_MAX)
        buffer_add_text(list, ", ...");
}

static void want_all(struct request *rq, const struct scope *scope, const struct document *d)
{
    struct document_item item;

    for (size_t i = 0; i < document_count(d); i++) {
        document_at(d, i, &item);
        if (item.is_secret)
            secret_values_want(rq, scope->service, scope->environment, item.text);
    }
}

static int reveal_item(struct request *rq, const struct scope *scope, struct document *d,
                       const struct document_item *item, struct buffer *left_out, struct err *e)
{
    const char *plain = NULL;
    const struct err *why = NULL;
    enum secret_values_state state =
        secret_values_find(rq, scope->service, scope->environment, item->text, &plain, &why);

    if (state == SECRET_VALUES_OPEN)
        return document_set(d, item->key, item->type, plain, e);
    if (state == SECRET_VALUES_AWAY && why->kind != ERR_GONE) {
        *e = *why;
        return err_wrap(e, "%.200s", item->key);
    }
    list_key(left_out, item->key);
    document_unset(d, item->key);
    return 0;
}

int secret_values_document(struct request *rq, struct reply *re, const struct scope *scope,
                           struct document *d, struct err *e)
{
    SCOPED_BUFFER struct buffer left_out = { 0 };
    struct document_item item;

    want_all(rq, scope, d);
    if (secret_values_fetch(rq, re, e) < 0)
        return -1;
    for (size_t i = document_count(d); i-- > 0;) {
        document_at(d, i, &item);
        if (item.is_secret && reveal_item(rq, scope, d, &item, &left_out, e) < 0)
            return -1;
    }
    if (left_out.size)
        reply_header(re, "Lockstep-Left-Out", left_out.data);
    return 0;
}

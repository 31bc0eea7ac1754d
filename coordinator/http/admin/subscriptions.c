/* subscriptions.c - handlers that make, show and end subscriptions. */
#include "coordinator/http/admin/subscriptions.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/name.h"
#include "common/schema/uri.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/access/signing.h"
#include "coordinator/store/access/subscriptions.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/places.h"
#include "coordinator/store/transaction.h"

#define KEYS_MAX 100
#define KEY_MAX 500
#define URL_MAX 2000

struct subscribing {
    struct scope scope;
    const char *url; /* lent by the body, as the next */
    const char *keys[KEYS_MAX];
    size_t key_count;
    char id[SUBSCRIPTION_ID_SIZE], secret[SUBSCRIPTION_SECRET_SIZE];
};

/* ---------------------------------------------------------------- showing */

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *row_json(const struct subscription_row *s)
{
    json_t *keys = json_loads(s->keys, 0, NULL), *out;

    MUST(keys);
    out = json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:s,s:s}", "subscription_id", s->id,
                    "service", s->service, "service_name", s->service, "environment",
                    s->environment, "subscribed_keys", keys, "url", s->url, "webhook_url", s->url,
                    "status", s->state, "last_notified_at",
                    text_or_null(s->last_notified_at), "created_by", s->created_by, "created_at",
                    s->created_at);
    MUST(out);
    if (*s->reason)
        json_object_set_new(out, "reason", json_string(s->reason));
    return out;
}

/* A subscription, if the caller has the right for its scope. */
static int get_row(struct request *rq, struct reply *re, const char *id, enum right right,
                   struct rows **rows, struct subscription_row *out, struct err *e)
{
    if (subscriptions_list(rq->pg, NULL, id, "", 1, rows, e) < 0)
        return -1;
    *out = subscriptions_at(*rows, 0);
    return access_check(rq, re, right, out->service, out->environment, e);
}

int subscriptions_get_one(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct subscription_row row;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 ||
        get_row(rq, re, request_param(rq, 0), RIGHT_SUBSCRIPTION_READ, &rows, &row, e) < 0)
        return -1;
    return reply_json(re, 200, row_json(&row));
}

int subscriptions_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    SCOPED_PLACES places = { 0 };
    const char *after = request_query(rq, "cursor");
    json_t *items;
    int64_t limit;
    size_t count;

    access_places(rq, RIGHT_SUBSCRIPTION_READ, &places);
    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        subscriptions_list(rq->pg, &places, "", after ? after : "", limit + 1, &rows, e) < 0)
        return -1;
    count = rows_count(rows) < (size_t)limit ? rows_count(rows) : (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct subscription_row row = subscriptions_at(rows, i);

        json_array_append_new(items, row_json(&row));
    }
    return reply_list(re, "subscriptions", items,
                      rows_count(rows) > count ? subscriptions_at(rows, count - 1).id : NULL);
}

/* ---------------------------------------------------------------- subscribing */

/* The same things have other names where single keys are read and written, and an address has
 * three: all are understood, one is given. `third` may be NULL. */
static const char *name_in(const struct fields *f, const char *name, const char *other,
                           const char *third)
{
    const char *const names[] = { other, third }, *found = NULL;

    if (json_object_get(f->object, name))
        found = name;
    for (size_t i = 0; i < 2; i++) {
        if (!names[i] || !json_object_get(f->object, names[i]))
            continue;
        if (found)
            fields_problem(f, names[i], "%s says the same as %s: give one of them", names[i],
                           found);
        found = names[i];
    }
    return found ? found : name;
}

static void read_keys(const struct fields *f, struct subscribing *s)
{
    const char *name = name_in(f, "keys", "config_keys", NULL);
    json_t *list = fields_list(f, name, true), *key;
    size_t i;

    if (!list)
        return;
    if (json_array_size(list) == 0 || json_array_size(list) > KEYS_MAX) {
        fields_problem(f, name, "must have 1 to %d keys or globs", KEYS_MAX);
        return;
    }
    json_array_foreach(list, i, key) {
        const char *text = json_string_value(key);

        if (!text || !*text || strlen(text) != json_string_length(key) || strlen(text) > KEY_MAX)
            fields_problem(f, name, "item %zu must be a key or a glob, of 1 to %d bytes", i,
                           KEY_MAX);
        else
            s->keys[s->key_count++] = text;
    }
}

/* A user and a password would be shown to everybody who lists subscriptions. */
static void read_url(const struct fields *f, struct subscribing *s)
{
    const char *name = name_in(f, "url", "callback_url", "webhook_url"), *host;
    const char *url = fields_text(f, name, true, URL_MAX);

    s->url = url;
    if (!url)
        return;
    host = strstr(url, "://");
    if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) ||
        !uri_is(URI_ABSOLUTE, url) || strchr("/?#:", host[3]))
        fields_problem(f, name, "must be an address such as https://example.com/hook");
    else if (memchr(host + 3, '@', strcspn(host + 3, "/?#")) || strchr(url, '#'))
        fields_problem(f, name, "must not have a user or a fragment: messages are signed with "
                       "the subscription's secret");
}

static int read_body(struct request *rq, struct reply *re, struct subscribing *s, struct err *e)
{
    const char *service, *environment, *name;
    struct fields f;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "service", "service_name", "environment", "keys", "config_keys", "url",
                "callback_url", "webhook_url");
    name = name_in(&f, "service", "service_name", NULL);
    service = fields_text(&f, name, true, 1000);
    environment = fields_text(&f, "environment", true, 1000);
    read_keys(&f, s);
    read_url(&f, s);
    if (service && name_check("service", service, e) < 0)
        fields_problem(&f, name, "%.200s", e->text);
    if (environment && name_check("environment", name_environment(environment), e) < 0)
        fields_problem(&f, "environment", "%.200s", e->text);
    if (fields_done(re, e) < 0)
        return -1;
    environment = name_environment(environment);
    if (access_check(rq, re, RIGHT_SUBSCRIPTION_WRITE, service, environment, e) < 0)
        return -1;
    return scopes_find(rq->pg, service, environment, &s->scope, e);
}

/* How much of an address says who is meant: paths of receivers are often secrets. */
static size_t origin_size(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    size_t begin = scheme_end ? (size_t)(scheme_end - url) + 3 : 0;

    return begin + strcspn(url + begin, "/?");
}

static void note_audit(struct transaction *t, const char *action,
                       const struct subscription_row *row, const char *note)
{
    struct audit_entry entry = { .action = action, .note = note, .scope_id = row->scope_id };
    json_t *keys = json_loads(row->keys, 0, NULL);

    MUST(keys);
    transaction_note(t, &entry,
                     json_pack("{s:s,s:o,s:s%}", "subscription", row->id, "keys", keys, "to",
                               row->url, origin_size(row->url)));
}

static int create(struct request *rq, struct reply *re, struct subscribing *s,
                  const struct signing_key *key, struct rows **rows, struct subscription_row *row,
                  struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    const struct subscription_new new = { .scope_id = s->scope.scope_id,
                                          .keys = s->keys,
                                          .key_count = s->key_count,
                                          .url = s->url,
                                          .created_by = rq->owner.name,
                                          .service = s->scope.service,
                                          .environment = s->scope.environment,
                                          .signing_key = key };

    if (request_begin(rq, &t, e) < 0 ||
        subscriptions_create(rq->pg, &new, s->id, s->secret, e) < 0 ||
        get_row(rq, re, s->id, RIGHT_SUBSCRIPTION_WRITE, rows, row, e) < 0)
        return -1;
    note_audit(&t, "subscription.create", row, NULL);
    return transaction_commit(&t, e);
}

/* With a provider, secrets are sealed, or not made at all while it is away. */
static int seal_and_create(struct request *rq, struct reply *re, struct subscribing *s,
                           struct rows **rows, struct subscription_row *row, struct err *e)
{
    struct signing_key key;
    int rc;

    if (!rq->deps->keyring || !keyring_is_on(rq->deps->keyring))
        return create(rq, re, s, NULL, rows, row, e);
    if (secret_keys_compare(rq->pg, rq->deps->keyring, e) < 0 ||
        keyring_new_key(rq->deps->keyring, &key.key, &key.wrapped, e) < 0)
        return -1;
    rc = create(rq, re, s, &key, rows, row, e);
    seal_key_wipe(&key.key);
    return rc;
}

int subscriptions_post(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct subscribing s = { 0 };
    struct subscription_row row;
    json_t *body;

    if (read_body(rq, re, &s, e) < 0 || seal_and_create(rq, re, &s, &rows, &row, e) < 0)
        return -1;
    body = row_json(&row);
    json_object_set_new(body, "secret", json_string(s.secret)); /* this once */
    explicit_bzero(s.secret, sizeof(s.secret));
    reply_location(re, "/api/v1/subscriptions/%s", s.id);
    re->is_secret = true;
    return reply_json(re, 201, body);
}

int subscriptions_delete_one(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *id = request_param(rq, 0);
    struct subscription_row row;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || request_begin(rq, &t, e) < 0 ||
        get_row(rq, re, id, RIGHT_SUBSCRIPTION_WRITE, &rows, &row, e) < 0 ||
        subscriptions_delete(rq->pg, id, e) < 0)
        return -1;
    note_audit(&t, "subscription.delete", &row, NULL);
    if (transaction_commit(&t, e) < 0)
        return -1;
    return reply_json(re, 200, json_pack("{s:b,s:o}", "success", 1, "message",
                                         json_sprintf("subscription %s is deleted", id)));
}

/* What ended it (a receiver that said 410) is for whoever enables it to have mended. */
int subscriptions_enable_one(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    SCOPED(rows_free) struct rows *old = NULL;
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *id = request_param(rq, 0), *reason;
    struct subscription_row row;
    struct fields f;
    bool is_changed;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, true, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "reason");
    reason = fields_text(&f, "reason", false, 1000);
    if (fields_done(re, e) < 0 || request_begin(rq, &t, e) < 0 ||
        get_row(rq, re, id, RIGHT_SUBSCRIPTION_WRITE, &old, &row, e) < 0 ||
        subscriptions_enable(rq->pg, id, &is_changed, e) < 0 ||
        get_row(rq, re, id, RIGHT_SUBSCRIPTION_WRITE, &rows, &row, e) < 0)
        return -1;
    if (is_changed)
        note_audit(&t, "subscription.enable", &row, reason);
    if (transaction_commit(&t, e) < 0)
        return -1;
    return reply_json(re, 200, row_json(&row));
}

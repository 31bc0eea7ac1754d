/* tokens.c - handlers that make, show and revoke access tokens. */
#include "coordinator/http/admin/tokens.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/fields.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/store/access/tokens.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/transaction.h"

struct making {
    const char *name, *subject, *expires_at, *note;
    int64_t ends_ms; /* 0: never */
    json_t *list; /* lent by the body */
    struct grants grants;
    char id[TOKEN_ID_SIZE], text[TOKEN_TEXT_SIZE];
};

/* ---------------------------------------------------------------- showing */

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *token_json(const struct token_row *t)
{
    json_t *grants = rowjson(t->grants, "grants of a token", t->id);

    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:s,s:o,s:o,s:o}", "id", t->id, "name", t->name,
                     "subject", t->subject, "made_by", text_or_null(t->made_by), "grants", grants,
                     "created_by", t->created_by, "created_at", t->created_at,
                     "expires_at", text_or_null(t->expires_at), "last_used_at",
                     text_or_null(t->last_used_at), "revoked_at", text_or_null(t->revoked_at));
}

static int get_token(struct request *rq, const char *id, json_t **out, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct token_row row;

    if (tokens_list(rq->pg, id, "", 1, &rows, e) < 0)
        return -1;
    if (rows_count(rows) == 0)
        return err_code(e, ERR_NOT_FOUND, "unknown_token", "there is no token %.20s", id);
    row = tokens_at(rows, 0);
    *out = token_json(&row);
    return 0;
}

int tokens_whoami(struct request *rq, struct reply *re, struct err *e)
{
    json_t *body;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || get_token(rq, rq->owner.id, &body, e) < 0)
        return -1;
    json_object_set_new(body, "address", json_string(rq->address));
    return reply_json(re, 200, body);
}

int tokens_get_one(struct request *rq, struct reply *re, struct err *e)
{
    json_t *body;

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || get_token(rq, request_param(rq, 0), &body, e) < 0)
        return -1;
    return reply_json(re, 200, body);
}

int tokens_get_all(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *after = request_query(rq, "cursor");
    json_t *items;
    int64_t limit;
    size_t count;

    if (REQUEST_ONLY_QUERY(rq, e, "limit", "cursor") < 0 || request_limit(rq, &limit, e) < 0 ||
        tokens_list(rq->pg, "", after ? after : "", limit + 1, &rows, e) < 0)
        return -1;
    count = rows_count(rows) < (size_t)limit ? rows_count(rows) : (size_t)limit;
    items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct token_row row = tokens_at(rows, i);

        json_array_append_new(items, token_json(&row));
    }
    return reply_list(re, "tokens", items,
                      rows_count(rows) > count ? tokens_at(rows, count - 1).id : NULL);
}

/* ---------------------------------------------------------------- making */

/* The right to break the glass is meant for a while, so it must say until when. */
static void check_glass(const struct fields *f, const struct making *m)
{
    for (size_t i = 0; i < m->grants.count; i++)
        if (m->grants.items[i].rights & RIGHT_BIT(RIGHT_ROLLOUT_BREAK_GLASS) &&
            !m->grants.items[i].until_ms && !m->expires_at)
            fields_problem(f, "grants", "rollout.break_glass is given for a limited time: add "
                           "\"until\" to its grant, or expires_at to the token");
}

static void read_expiry(const struct fields *f, struct making *m)
{
    m->expires_at = fields_text(f, "expires_at", false, 64);
    if (m->expires_at && clock_parse(m->expires_at, &m->ends_ms) < 0)
        fields_problem(f, "expires_at", "must be a time such as 2026-11-21T00:42:56Z");
    else if (m->expires_at && m->ends_ms <= clock_wall_ms())
        fields_problem(f, "expires_at", "has passed already");
}

static int read_body(struct request *rq, struct reply *re, struct making *m, struct err *e)
{
    struct fields f;
    struct err why;
    char where[64], name[80];

    if (REQUEST_ONLY_QUERY(rq, e) < 0 || fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "name", "subject", "grants", "expires_at", "note");
    m->name = fields_text(&f, "name", true, TOKEN_NAME_MAX);
    if (m->name && (!*m->name || strpbrk(m->name, "\n\r\t")))
        fields_problem(&f, "name", "must be one line of text");
    m->subject = fields_text(&f, "subject", false, TOKEN_NAME_MAX);
    if (m->subject && (!*m->subject || strpbrk(m->subject, "\n\r\t")))
        fields_problem(&f, "subject", "must be one line of text: the person or machine");
    m->note = fields_text(&f, "note", false, 1000);
    read_expiry(&f, m);
    m->list = fields_list(&f, "grants", true);
    if (m->list && grants_read(m->list, &m->grants, where, &why) < 0) {
        snprintf(name, sizeof(name), "/grants%s", where);
        problems_add(&re->problems, name, "%s", why.text);
    }
    check_glass(&f, m);
    return fields_done(re, e);
}

/* A second name would be a second pair of eyes: only who is trusted with that makes tokens for
 * others. Anybody else's tokens are the maker's own, whatever they are called. */
static int settle_subject(const struct request *rq, struct reply *re, struct making *m,
                          struct err *e)
{
    bool may_issue = access_allows(rq, RIGHT_TOKEN_ISSUE, NULL, NULL);

    if (!m->subject)
        m->subject = may_issue ? m->name : rq->owner.name;
    if (may_issue || strcmp(m->subject, rq->owner.name) == 0)
        return 0;
    problems_extra(&re->problems, "right", json_string(right_name(RIGHT_TOKEN_ISSUE)));
    return err_set(e, ERR_FORBIDDEN,
                   "the token of %s lacks the right token.issue: it makes tokens for %s alone; "
                   "leave subject out, or ask who may make tokens for others", rq->owner.name,
                   rq->owner.name);
}

/* Nobody gives away what they do not have, nor for longer than they have it. */
static int check_held(const struct request *rq, struct reply *re, const struct making *m,
                      struct err *e)
{
    char until[CLOCK_TEXT_SIZE];
    int64_t until_ms;
    enum right right = grants_exceed(&rq->owner.grants, rq->owner.ends_ms, &m->grants, m->ends_ms,
                                     clock_wall_ms(), &until_ms);

    if (right == RIGHT_COUNT)
        return 0;
    problems_extra(&re->problems, "right", json_string(right_name(right)));
    clock_format(until_ms, until);
    if (until_ms)
        return err_set(e, ERR_FORBIDDEN, "the token of %s has the right %s until %s: what it makes "
                       "ends by then as well; say an expires_at, or an until in that grant, that "
                       "is no later", rq->owner.name, right_name(right), until);
    return err_set(e, ERR_FORBIDDEN, "the token of %s cannot give the right %s away: it has not "
                   "got it there itself", rq->owner.name, right_name(right));
}

static int note_audit(struct request *rq, struct transaction *t, const char *action,
                      const char *id, const char *note, struct err *e)
{
    json_t *shown;

    if (get_token(rq, id, &shown, e) < 0)
        return -1;
    transaction_note(t, &(struct audit_entry){ .action = action, .note = note },
                     json_pack("{s:s,s:O,s:O,s:O,s:O}", "token", id, "name",
                               json_object_get(shown, "name"), "subject",
                               json_object_get(shown, "subject"), "grants",
                               json_object_get(shown, "grants"), "expires_at",
                               json_object_get(shown, "expires_at")));
    json_decref(shown);
    return 0;
}

static int create(struct request *rq, struct making *m, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    char *grants = json_dumps(m->list, JSON_COMPACT);
    struct token_new token = { .name = m->name,
                               .subject = m->subject,
                               .made_by = rq->owner.id,
                               .grants = grants,
                               .expires_at = m->expires_at,
                               .created_by = rq->owner.name };
    int rc;

    MUST(grants);
    rc = request_begin(rq, &t, e) < 0 ||
                 tokens_create(rq->pg, &token, m->id, m->text, e) < 0 ||
                 note_audit(rq, &t, "token.create", m->id, m->note, e) < 0 ||
                 transaction_commit(&t, e) < 0
             ? -1
             : 0;
    free(grants);
    return rc;
}

int tokens_post(struct request *rq, struct reply *re, struct err *e)
{
    struct making m = { 0 };
    json_t *body;

    if (read_body(rq, re, &m, e) < 0 || settle_subject(rq, re, &m, e) < 0 ||
        check_held(rq, re, &m, e) < 0 || create(rq, &m, e) < 0 ||
        get_token(rq, m.id, &body, e) < 0)
        return -1;
    json_object_set_new(body, "token", json_string(m.text)); /* this once */
    explicit_bzero(m.text, sizeof(m.text));
    reply_location(re, "/api/v1/tokens/%s", m.id);
    re->is_secret = true;
    return reply_json(re, 201, body);
}

/* An audit entry for each revoked token; ended and issued get their ids. */
static int note_revoked(struct request *rq, struct transaction *t, const struct rows *rows,
                        json_t *ended, json_t *issued, struct err *e)
{
    for (size_t i = 0; i < rows_count(rows); i++) {
        const char *id = rows_text(rows, i, 0);

        json_array_append_new(rows_bool(rows, i, 1) ? ended : issued, json_string(id));
        if (rows_bool(rows, i, 1) && note_audit(rq, t, "token.revoke", id, NULL, e) < 0)
            return -1;
    }
    return 0;
}

int tokens_delete(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *id = request_param(rq, 0);
    json_t *ended = json_array(), *issued = json_array();

    if (REQUEST_ONLY_QUERY(rq, e, "issued") < 0 || request_begin(rq, &t, e) < 0 ||
        tokens_revoke(rq->pg, id, request_flag(rq, "issued"), &rows, e) < 0 ||
        note_revoked(rq, &t, rows, ended, issued, e) < 0 ||
        (json_array_size(ended) && transaction_commit(&t, e) < 0)) {
        json_decref(ended);
        json_decref(issued);
        return -1;
    }
    return reply_json(re, 200, json_pack("{s:b,s:o,s:o,s:o}", "success", 1, "message",
                                         json_sprintf("token %s is revoked", id), "revoked", ended,
                                         "issued", issued));
}

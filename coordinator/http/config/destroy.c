/* destroy.c - the handler that destroys versions of a secret. */
#include "coordinator/http/config/destroy.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "common/memory.h"
#include "coordinator/http/config/config.h"
#include "coordinator/store/config/secrets.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/transaction.h"

#define VERSIONS_MAX 1000

struct destroy {
    const char *service, *environment, *key, *reason;
    bool is_forced;
    size_t count;
    int64_t versions[VERSIONS_MAX];
    struct scope scope;
    struct rows *found, *needed;
    const char **digests; /* of `found`, lent by it; a version that was put back repeats one */
};

static void destroy_free(struct destroy *d)
{
    rows_free(d->found);
    rows_free(d->needed);
    free(d->digests);
    free(d);
}
SCOPED_FREE(struct destroy, destroy_free)

static void read_versions(const struct fields *f, struct destroy *d)
{
    json_t *list = fields_list(f, "versions", true), *one;
    size_t i;

    if (list && (json_array_size(list) == 0 || json_array_size(list) > VERSIONS_MAX)) {
        fields_problem(f, "versions", "must name 1 to %d versions", VERSIONS_MAX);
        return;
    }
    json_array_foreach(list, i, one) {
        double number = json_number_value(one);

        if (!json_is_number(one) || number < 1 || number > 9e15 ||
            number != (double)(int64_t)number)
            fields_problem(f, "versions", "item %zu must be the number of a version", i);
        else
            d->versions[d->count++] = (int64_t)number;
    }
}

static int read_body(struct request *rq, struct reply *re, struct destroy *d, struct err *e)
{
    struct fields f;

    d->key = request_param(rq, 2);
    if (REQUEST_ONLY_QUERY(rq, e) < 0 ||
        config_names_of(rq, &d->service, &d->environment, e) < 0 ||
        fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "versions", "force", "reason");
    read_versions(&f, d);
    d->is_forced = fields_flag(&f, "force");
    d->reason = fields_text(&f, "reason", false, 4096);
    return fields_done(re, e);
}

/* ---------------------------------------------------------------- what is destroyed */

static bool is_found(const struct destroy *d, int64_t version)
{
    for (size_t i = 0; i < rows_count(d->found); i++)
        if (rows_int(d->found, i, 0) == version)
            return true;
    return false;
}

/* The right is asked for in the scope of the request; all children of the other one would lose it,
 * too. */
static int check_own(const struct destroy *d, struct err *e)
{
    for (size_t i = 0; i < rows_count(d->found); i++)
        if (!rows_is_null(d->found, i, 3))
            return err_code(e, ERR_CONFLICT, "inherited",
                            "version %" PRId64 " of %.200s comes from %s: destroy it there",
                            rows_int(d->found, i, 0), d->key, rows_text(d->found, i, 3));
    return 0;
}

static int find_versions(struct request *rq, struct destroy *d, struct err *e)
{
    size_t count;

    if (secrets_of_versions(rq->pg, d->scope.scope_id, d->key, d->versions, d->count, &d->found,
                            e) < 0)
        return -1;
    for (size_t i = 0; i < d->count; i++)
        if (!is_found(d, d->versions[i]))
            return err_code(e, ERR_NOT_FOUND, "unknown_version",
                            "%s/%s has no secret version %" PRId64 " of %.200s", d->service,
                            d->environment, d->versions[i], d->key);
    if (check_own(d, e) < 0)
        return -1;
    count = rows_count(d->found);
    d->digests = memory_array(count + 1, sizeof(*d->digests));
    for (size_t i = 0; i < count; i++)
        d->digests[i] = rows_text(d->found, i, 1);
    return 0;
}

static json_t *needed_json(const struct destroy *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows_count(d->needed); i++)
        json_array_append_new(list, json_pack("{s:I,s:s,s:s}", "version",
                                              (json_int_t)rows_int(d->needed, i, 0), "scope",
                                              rows_text(d->needed, i, 1), "why",
                                              rows_text(d->needed, i, 2)));
    return list;
}

static int check_needed(struct request *rq, struct reply *re, struct destroy *d, struct err *e)
{
    if (secrets_needed(rq->pg, d->digests, rows_count(d->found), &d->needed, e) < 0)
        return -1;
    if (d->is_forced || rows_count(d->needed) == 0)
        return 0;
    problems_extra(&re->problems, "needed", needed_json(d));
    return err_code(e, ERR_CONFLICT, "secret_needed",
                    "version %" PRId64 " in %.200s %.100s%s: bring another one out first, or say "
                    "force",
                    rows_int(d->needed, 0, 0), rows_text(d->needed, 0, 1),
                    rows_text(d->needed, 0, 2),
                    rows_count(d->needed) > 1 ? ", and it is needed elsewhere" : "");
}

static json_t *versions_json(const struct destroy *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rows_count(d->found); i++)
        json_array_append_new(list, json_integer((json_int_t)rows_int(d->found, i, 0)));
    return list;
}

static void note_audit(struct transaction *t, const struct destroy *d)
{
    struct audit_entry entry = { .action = "config.destroy",
                                 .note = d->reason ? d->reason : "",
                                 .scope_id = d->scope.scope_id };
    json_t *secrets = json_array();

    for (size_t i = 0; i < rows_count(d->found); i++)
        json_array_append_new(secrets, json_pack("{s:I,s:s}", "version",
                                                 (json_int_t)rows_int(d->found, i, 0), "secret",
                                                 d->digests[i]));
    transaction_note(t, &entry,
                     json_pack("{s:s,s:o,s:b,s:o}", "key", d->key, "versions", secrets, "forced",
                               d->is_forced && rows_count(d->needed) > 0, "needed",
                               needed_json(d)));
}

static int destroy(struct request *rq, struct reply *re, struct destroy *d, struct err *e)
{
    SCOPED(transaction_close) struct transaction t = { 0 };
    size_t count;

    if (request_begin(rq, &t, e) < 0 ||
        scopes_lock(rq->pg, d->service, d->environment, false, &d->scope, e) < 0 ||
        find_versions(rq, d, e) < 0 || check_needed(rq, re, d, e) < 0 ||
        secrets_destroy(rq->pg, d->digests, rows_count(d->found), &count, e) < 0)
        return -1;
    if (count == 0) /* what is destroyed already is not told twice */
        return 0;
    note_audit(&t, d);
    return transaction_commit(&t, e);
}

int destroy_post(struct request *rq, struct reply *re, struct err *e)
{
    SCOPED(destroy_free) struct destroy *d = memory_new(sizeof(*d));

    if (read_body(rq, re, d, e) < 0 || destroy(rq, re, d, e) < 0)
        return -1;
    return reply_json(re, 200,
                      json_pack("{s:s,s:s,s:s,s:o,s:o}", "service_name", d->service,
                                "environment", d->environment, "config_key", d->key, "destroyed",
                                versions_json(d), "needed", needed_json(d)));
}

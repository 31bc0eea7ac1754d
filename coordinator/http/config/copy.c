/* copy.c - the handler that copies keys of one scope into another, values unseen. */
#include "coordinator/http/config/copy.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/name.h"
#include "coordinator/http/config/scope_write.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/pg.h"

#define PATTERNS_MAX 100

struct copy {
    struct scope_write many; /* first: fill finds the rest from it */
    const char *from_service, *from_environment;
    const char *revision; /* "head" or "released"; NULL: number */
    int64_t number;
    bool is_pruning;
    size_t pattern_count;
    const char *patterns[PATTERNS_MAX];
    struct rows *source, *target;
};

/* ---------------------------------------------------------------- the body */

static void read_revision(const struct fields *from, struct copy *c)
{
    const json_t *value = json_object_get(from->object, "revision");

    c->revision = "released";
    if (json_is_number(value)) {
        c->revision = NULL;
        c->number = fields_number(from, "revision", 1, INT64_C(1) << 53, 0);
    } else if (value) {
        c->revision = fields_text(from, "revision", false, 20);
        if (c->revision && strcmp(c->revision, "head") && strcmp(c->revision, "released"))
            fields_problem(from, "revision", "must be head, released or a number");
    }
}

static void read_from(const struct fields *f, struct copy *c)
{
    json_t *object = fields_object(f, "from", true);
    struct fields from;
    struct err e;

    if (!object || !fields_enter(f, "from", object, &from))
        return;
    FIELDS_ONLY(&from, "service", "environment", "revision");
    c->from_service = fields_text(&from, "service", true, 1000);
    c->from_environment = fields_text(&from, "environment", true, 1000);
    if (c->from_environment)
        c->from_environment = name_environment(c->from_environment);
    if (c->from_service && name_check("service", c->from_service, &e) < 0)
        fields_problem(&from, "service", "%.200s", e.text);
    if (c->from_environment && name_check("environment", c->from_environment, &e) < 0)
        fields_problem(&from, "environment", "%.200s", e.text);
    read_revision(&from, c);
}

static void read_patterns(const struct fields *f, struct copy *c)
{
    json_t *list = fields_list(f, "keys", false), *one;
    size_t i;

    if (json_array_size(list) > PATTERNS_MAX) {
        fields_problem(f, "keys", "may have at most %d patterns", PATTERNS_MAX);
        return;
    }
    json_array_foreach(list, i, one) {
        if (!json_is_string(one))
            fields_problem(f, "keys", "item %zu must be a string", i);
        else
            c->patterns[c->pattern_count++] = json_string_value(one);
    }
}

static int read_body(struct request *rq, struct reply *re, struct copy *c, struct err *e)
{
    struct fields f;

    if (REQUEST_ONLY_QUERY(rq, e, "dry_run") < 0 ||
        config_names_of(rq, &c->many.service, &c->many.environment, e) < 0 ||
        fields_open(rq, re, false, &f, e) < 0)
        return -1;
    FIELDS_ONLY(&f, "from", "keys", "prune", "change_description", "dry_run", "base");
    read_from(&f, c);
    read_patterns(&f, c);
    c->is_pruning = fields_flag(&f, "prune");
    c->many.is_dry_run = fields_flag(&f, "dry_run") || request_flag(rq, "dry_run");
    c->many.write.is_on_released = config_read_base(&f);
    c->many.write.change_description = fields_text(&f, "change_description", false, 4096);
    if (!c->many.write.change_description)
        c->many.write.change_description = "";
    return fields_done(re, e);
}

/* ---------------------------------------------------------------- the changes */

static int find_source(struct request *rq, struct reply *re, struct copy *c, struct err *e)
{
    struct scope from;
    uint64_t revision;

    if (access_check(rq, re, RIGHT_CONFIG_READ, c->from_service, c->from_environment, e) < 0 ||
        scopes_find(rq->pg, c->from_service, c->from_environment, &from, e) < 0)
        return -1;
    revision = !c->revision                       ? (uint64_t)c->number
               : strcmp(c->revision, "head") == 0 ? from.head
                                                  : from.released;
    if (revision > from.head)
        return err_code(e, ERR_NOT_FOUND, "unknown_revision",
                        "%s/%s has no revision %" PRIu64 "; its head is %" PRIu64, from.service,
                        from.environment, revision, from.head);
    if (scope_check_kept(&from, revision, e) < 0)
        return -1;
    return config_snapshot(rq->pg, from.scope_id, revision, &c->source, e);
}

static bool is_wanted(const struct copy *c, const char *key)
{
    bool is_matching = c->pattern_count == 0;

    for (size_t i = 0; i < c->pattern_count; i++)
        is_matching |= name_matches(c->patterns[i], key);
    return is_matching;
}

/* Out of one scope and into another one, a secret is sealed anew: either may be destroyed without
 * the other. It takes the right to read it. */
static int add_secret(struct request *rq, const struct copy *c, const struct config_item *item,
                      struct config_change *change, struct err *e)
{
    const char *plain = NULL;
    const struct err *why = NULL;

    secret_values_want(rq, c->from_service, c->from_environment, item->value);
    if (secret_values_may(rq, c->from_service, c->from_environment) &&
        sealing_is_wanting(rq->sealing))
        return 0;
    switch (
        secret_values_find(rq, c->from_service, c->from_environment, item->value, &plain, &why)) {
    case SECRET_VALUES_PLAIN:
        return 0;
    case SECRET_VALUES_OPEN:
        break;
    case SECRET_VALUES_HIDDEN:
        return err_set(e, ERR_FORBIDDEN,
                       "%.200s is a secret: to copy it takes the right secret.read for %.200s; say "
                       "keys to leave it out",
                       item->key, *item->origin ? item->origin : "where it comes from");
    case SECRET_VALUES_AWAY:
        *e = *why;
        return err_wrap(e, "%.200s", item->key);
    }
    free((char *)change->text);
    change->text = memory_text(plain);
    change->size = strlen(plain);
    change->encrypt = CONFIG_SECRET;
    return 0;
}

static int add_item(struct request *rq, struct copy *c, const struct config_item *item,
                    struct err *e)
{
    struct config_change *change = &c->many.changes[c->many.count++];

    *change = (struct config_change){ .key = item->key,
                                      .is_typed = true,
                                      .text = strdup(item->value),
                                      .size = strlen(item->value),
                                      .description = item->description,
                                      .expected_version = CONFIG_ANY_VERSION };
    MUST(change->text);
    return value_type_parse(item->value_type, &change->type, e) < 0
               ? -1
               : add_secret(rq, c, item, change, e);
}

/* Both lists ascend by key, so one pass over them finds what the source lacks. */
static void add_pruned(struct copy *c)
{
    size_t s = 0;

    for (size_t i = 0; i < rows_count(c->target); i++) {
        struct config_item own = config_item_at(c->target, i);
        int order = 1;

        for (; s < rows_count(c->source); s++)
            if ((order = strcmp(config_item_at(c->source, s).key, own.key)) >= 0)
                break;
        if ((s < rows_count(c->source) && order == 0) || *own.origin || !is_wanted(c, own.key))
            continue;
        c->many.changes[c->many.count++] =
            (struct config_change){ .key = own.key,
                                    .is_delete = true,
                                    .expected_version = CONFIG_ANY_VERSION };
    }
}

static int fill(struct request *rq, struct scope_write *m, struct err *e)
{
    struct copy *c = (struct copy *)m;
    size_t most;

    scope_write_clear(m);
    rows_free(MOVE(c->target));
    if (c->is_pruning &&
        config_snapshot(rq->pg, m->scope.scope_id, m->scope.head, &c->target, e) < 0)
        return -1;
    most = rows_count(c->source) + (c->target ? rows_count(c->target) : 0);
    m->changes = calloc(most + 1, sizeof(*m->changes));
    m->is_object = calloc(most + 1, sizeof(*m->is_object));
    MUST(m->changes && m->is_object);
    for (size_t i = 0; i < rows_count(c->source); i++) {
        struct config_item item = config_item_at(c->source, i);

        if (is_wanted(c, item.key) && add_item(rq, c, &item, e) < 0)
            return -1;
    }
    m->result.is_wanting = sealing_is_wanting(rq->sealing);
    if (m->result.is_wanting)
        return err_code(e, ERR_UNAVAILABLE, "secrets_unavailable",
                        "the secrets to copy were not fetched");
    if (c->target)
        add_pruned(c);
    if (m->count > SCOPE_WRITE_MAX)
        return err_set(e, ERR_INVALID, "%zu keys in one copy; %d are allowed: name some",
                       m->count, SCOPE_WRITE_MAX);
    return 0;
}

int copy_post(struct request *rq, struct reply *re, struct err *e)
{
    struct copy *c = memory_new(sizeof(*c));
    int rc = -1;

    c->many.action = "config.copy";
    c->many.fill = fill;
    if (read_body(rq, re, c, e) == 0 && find_source(rq, re, c, e) == 0)
        rc = scope_write_run(rq, re, &c->many, e);
    if (rc == 0)
        rc = scope_write_reply(re, &c->many);
    scope_write_fini(&c->many);
    rows_free(c->source);
    rows_free(c->target);
    free(c);
    return rc;
}

/* item.c - a configuration key at a revision, as JSON and as a complete reply. */
#include "coordinator/http/request/item.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "common/document/document.h"
#include "common/invariant.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/rowjson.h"
#include "coordinator/http/request/secret_values.h"
#include "coordinator/store/config/scopes.h"

struct json_t *item_json(const struct request *rq, const struct scope *scope,
                                const struct config_item *item)
{
    json_t *object = json_pack("{s:s,s:s,s:o}", "service_name", scope->service, "environment",
                               scope->environment, "config_key", rowjson_text(item->key));
    json_t *source = *item->origin
                         ? rowjson_text(item->origin)
                         : json_sprintf("%s/%s", scope->service, scope->environment);
    json_t *rest = json_pack("{s:s,s:I,s:I,s:I,s:s,s:o,s:o}", "value_type", item->value_type,
                             "version", (json_int_t)item->version, "head_version",
                             (json_int_t)item->head_version, "revision",
                             (json_int_t)item->revision, "updated_at", item->updated_at,
                             "description", rowjson_text(item->description), "source", source);

    MUST(object && rest);
    secret_values_add(object, "config_value", rq, scope->service, scope->environment, item->value);
    json_object_update(object, rest);
    json_decref(rest);
    return object;
}

int item_absent(const struct scope *scope, const char *key, uint64_t revision, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "%s/%s has no key %.200s at revision %" PRIu64 "%s",
                   scope->service, scope->environment, key, revision,
                   revision < scope->head ? "; the newest one (revision=head) may have it" : "");
}

const char *item_tag(const struct config_item *item, char out[48])
{
    if (item->head_version == item->version)
        snprintf(out, 48, "\"%" PRIu64 "\"", item->version);
    else
        snprintf(out, 48, "\"%" PRIu64 ".%" PRIu64 "\"", item->version, item->head_version);
    return out;
}

void item_give(const struct scope *scope, const struct config_item *item, struct reply *re)
{
    char etag[48];

    re->revision = scope->released;
    re->is_private = value_is_reference(item->value, NULL);
    reply_header(re, "ETag", item_tag(item, etag));
    reply_json(re, 200, item_json(NULL, scope, item));
}

void item_give_absent(const struct scope *scope, const char *key, struct reply *re)
{
    struct err e = { 0 };

    re->revision = scope->released;
    if (item_absent(scope, key, scope->released, &e) < 0)
        reply_error(re, &e);
}

static json_t *side(bool is_there, const char *value)
{
    return is_there ? json_string(value) : json_null();
}

struct json_t *item_difference_json(const struct rows *rows, size_t row)
{
    struct config_difference d = config_difference_at(rows, row);
    const char *change = !d.is_before ? "added" : d.is_after ? "changed" : "deleted";
    bool was_secret = d.is_before && value_is_reference(d.old_value, NULL);
    bool is_secret = d.is_after && value_is_reference(d.new_value, NULL);
    json_t *object = json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:s}", "key", d.key, "change", change, "old",
        side(d.is_before && !was_secret, d.old_value), "old_type", side(d.is_before, d.old_type),
        "old_version", d.is_before ? json_integer((json_int_t)d.old_version) : json_null(), "new",
        side(d.is_after && !is_secret, d.new_value), "new_type", side(d.is_after, d.new_type),
        "new_version", d.is_after ? json_integer((json_int_t)d.new_version) : json_null(),
        "author", d.author, "changed_at", d.changed_at);

    MUST(object);
    if (was_secret || is_secret)
        json_object_set_new(object, "encrypted", json_true());
    return object;
}

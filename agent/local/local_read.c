/* local_read.c - handlers of local HTTP that read: a document, one key of it, the agent's state. */
#include "agent/local/local_read.h"

#include <inttypes.h>
#include <string.h>

#include "agent/publish/held.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/document/canon.h"
#include "common/invariant.h"
#include "common/name.h"

#define HUNG_MS 10000 /* the agent tells its state every second */

#define held const struct lockstep_snapshot
static void release_scoped(held **snapshot) { lockstep_release(*snapshot); }

/* ---- a scope's document ---- */

static void add_head(const struct local_scope *scope, held *snapshot, struct buffer *out)
{
    buffer_printf(out, "\"service_name\":\"%s\",\"environment\":\"%s\",\"revision\":%" PRIu64
                  ",\"hash\":\"%s\"", scope->service, scope->environment,
                  lockstep_held_revision(snapshot), lockstep_held_hash(snapshot));
}

/* As a whole item of the API: the value is a text, whatever its type. */
static void add_item(const struct lockstep_item *item, struct buffer *out)
{
    buffer_add_text(out, "\"config_key\":");
    canon_quote(out, item->key);
    buffer_add_text(out, ",\"config_value\":");
    if (item->type == LOCKSTEP_SECRET)
        buffer_add_text(out, "null");
    else
        canon_quote(out, item->text);
    buffer_printf(out, ",\"value_type\":\"%s\",\"is_secret\":%s", held_type(item),
                  item->type == LOCKSTEP_SECRET ? "true" : "false");
}

static void answer_items(struct local_answer *answer, const struct local_scope *scope,
                         held *snapshot)
{
    struct buffer *out = &answer->body;
    struct lockstep_item item;

    local_answer_with(answer, "application/json");
    buffer_add_text(out, "{");
    add_head(scope, snapshot, out);
    buffer_add_text(out, ",\"configs\":[");
    for (size_t i = 0; lockstep_held_at(snapshot, i, &item); i++) {
        buffer_add_text(out, i ? ",{" : "{");
        add_item(&item, out);
        buffer_add_text(out, "}");
    }
    buffer_add_text(out, "]}\n");
}

/* The query parameters of ?format=env. */
static int read_choice(const struct local_request *rq, struct env_choice *out, struct err *e)
{
    *out = (struct env_choice){
        .prefix = local_query(rq, "prefix"),
        .allowed = local_query(rq, "allow_variables"),
        .remedy = "rename the key, or ask with ?prefix=APP_ or ?allow_variables=",
    };
    if (out->prefix && variable_check_prefix(out->prefix, e))
        return err_wrap(e, "?prefix=");
    return out->allowed && variable_check_list(out->allowed, e) ? err_wrap(e, "?allow_variables=")
                                                                : 0;
}

static int answer_format(struct local_answer *answer, held *snapshot, const char *format,
                         const struct env_choice *choice, struct err *e)
{
    local_answer_with(answer, strcmp(format, "json") == 0   ? "application/json"
                              : strcmp(format, "yaml") == 0 ? "application/yaml"
                                                            : "text/plain; charset=utf-8");
    return held_render(snapshot, format, choice, &answer->body, e);
}

/* What runs now. -1: this server was not given any revision yet, or is back on none. */
static int hold(struct local_scope *scope, held **out, struct err *e)
{
    *out = lockstep_hold(scope->config);
    if (lockstep_held_hash(*out)[0])
        return 0;
    return err_code(e, ERR_NOT_FOUND, "no_configuration", "no revision of %s is active on this "
                    "server", scope->name);
}

int local_get_document(struct local_request *rq, struct err *e)
{
    __attribute__((cleanup(release_scoped))) held *snapshot = NULL;
    const char *format = local_query(rq, "format");
    struct local_scope *scope;
    struct env_choice choice;

    if (LOCAL_QUERY_ONLY(rq, e, "format", "prefix", "allow_variables") ||
        read_choice(rq, &choice, e))
        return -1;
    if (format && !held_knows_format(format))
        return err_set(e, ERR_INVALID, "?format= is json, yaml or env");
    scope = local_request_scope(rq, e);
    if (!scope || hold(scope, &snapshot, e))
        return -1;
    if (local_answer_is_known(rq, lockstep_held_hash(snapshot)))
        return 0;
    if (format)
        return answer_format(&rq->answer, snapshot, format, &choice, e);
    answer_items(&rq->answer, scope, snapshot);
    return 0;
}

/* ---- one key ---- */

static void answer_key(struct local_answer *answer, const struct local_scope *scope,
                       held *snapshot, const struct lockstep_item *item, bool is_raw)
{
    if (is_raw) {
        local_answer_with(answer, "application/octet-stream");
        buffer_add(&answer->body, item->text, item->size);
        return;
    }
    local_answer_with(answer, "application/json");
    buffer_add_text(&answer->body, "{");
    add_head(scope, snapshot, &answer->body);
    buffer_add_text(&answer->body, ",");
    add_item(item, &answer->body);
    buffer_add_text(&answer->body, "}\n");
}

/* Who may see it gets it from the agent's own thread, opened for this one answer. Others learn that
 * the key is there. 1: it is on its way. */
static int answer_secret(struct local_request *rq, const struct local_scope *scope,
                         held *snapshot, const struct lockstep_item *item, bool is_raw,
                         struct err *e)
{
    struct local_answer *answer = &rq->answer;
    struct hash hash;

    if (!local_request_may_see_secrets(rq)) {
        if (is_raw)
            return err_code(e, ERR_FORBIDDEN, "secret", "\"%.200s\" is a secret: it is given over "
                            "the Unix socket to the secret_users of the agent's settings",
                            item->key);
        answer_key(answer, scope, snapshot, item, false);
        return 0;
    }
    MUST(hash_from_hex(lockstep_held_hash(snapshot), &hash) == 0);
    if (!rq->ask)
        rq->ask = desk_put(rq->house->desk, rq->connection, scope->name, item->key, &hash);
    if (!rq->ask)
        return err_set(e, ERR_UNAVAILABLE, "too many ask for secrets; ask again");
    return 1;
}

/* What the desk gave. */
static int answer_opened(struct local_request *rq, bool is_raw, struct err *e)
{
    const struct desk_ask *ask = rq->ask;
    struct buffer *out = &rq->answer.body;

    if (ask->is_refused) {
        *e = ask->problem;
        return -1;
    }
    buffer_keep_secret(out);
    local_answer_with(&rq->answer, is_raw ? "application/octet-stream" : "application/json");
    if (is_raw) {
        buffer_add(out, ask->value.data, ask->value.size);
        return 0;
    }
    buffer_printf(out, "{\"service_name\":\"%s\",\"environment\":\"%s\",\"revision\":%" PRIu64
                  ",\"config_key\":", rq->parts[2], name_environment(rq->parts[3]),
                  ask->revision);
    canon_quote(out, ask->key);
    buffer_add_text(out, ",\"config_value\":");
    canon_quote(out, ask->value.data ? ask->value.data : "");
    buffer_printf(out, ",\"value_type\":\"%s\",\"is_secret\":true}\n",
                  value_type_name(ask->type));
    return 0;
}

int local_get_key(struct local_request *rq, struct err *e)
{
    __attribute__((cleanup(release_scoped))) held *snapshot = NULL;
    const char *raw = local_query(rq, "raw");
    bool is_raw = raw && strcmp(raw, "0") != 0;
    struct local_scope *scope;
    struct lockstep_item item;

    if (rq->ask)
        return answer_opened(rq, is_raw, e);
    if (LOCAL_QUERY_ONLY(rq, e, "raw"))
        return -1;
    scope = local_request_scope(rq, e);
    if (!scope || hold(scope, &snapshot, e))
        return -1;
    if (!lockstep_held_find(snapshot, rq->parts[4], &item))
        return err_set(e, ERR_NOT_FOUND, "%s@%" PRIu64 " has no key \"%.200s\"", scope->name,
                       lockstep_held_revision(snapshot), rq->parts[4]);
    if (item.type == LOCKSTEP_SECRET)
        return answer_secret(rq, scope, snapshot, &item, is_raw, e);
    if (local_answer_is_known(rq, lockstep_held_hash(snapshot)))
        return 0;
    answer_key(&rq->answer, scope, snapshot, &item, is_raw);
    return 0;
}

/* ---- the agent ---- */

static struct status *take_status(const struct local_request *rq, struct err *e)
{
    struct status *s = rq->house->status(rq->house->status_ctx);

    if (!s)
        err_set(e, ERR_UNAVAILABLE, "the agent is starting");
    return s;
}

static bool may_see(void *ctx, const char *name)
{
    const struct local_request *rq = ctx;
    const char *slash = strchr(name, '/');
    char service[NAME_BUFFER];
    struct local_scope *scope;

    memcpy(service, name, (size_t)(slash - name));
    service[slash - name] = '\0';
    scope = local_scopes_find(rq->house->scopes, service, slash + 1);
    return scope && local_request_may_read(rq, scope);
}

int local_get_status(struct local_request *rq, struct err *e)
{
    SCOPED(status_release) struct status *s = NULL;

    if (LOCAL_QUERY_ONLY(rq, e))
        return -1;
    s = take_status(rq, e);
    if (!s)
        return -1;
    local_answer_with(&rq->answer, "application/json");
    status_json(s, may_see, rq, &rq->answer.body);
    return 0;
}

int local_get_metrics(struct local_request *rq, struct err *e)
{
    SCOPED(status_release) struct status *s = take_status(rq, e);

    if (!s)
        return -1;
    local_answer_with(&rq->answer, "text/plain; version=0.0.4; charset=utf-8");
    status_metrics(s, &rq->answer.body);
    return 0;
}

int local_get_health(struct local_request *rq, struct err *e)
{
    SCOPED(status_release) struct status *s = take_status(rq, e);

    if (!s)
        return -1;
    if (clock_monotonic_ms() - s->monotonic_ms > HUNG_MS)
        return err_set(e, ERR_UNAVAILABLE, "the agent has not told its state for %" PRId64 " s; "
                       "what it published can be read all the same",
                       (clock_monotonic_ms() - s->monotonic_ms) / 1000);
    local_answer_with(&rq->answer, "application/json");
    buffer_printf(&rq->answer.body, "{\"status\":\"ok\",\"connected\":%s}\n",
                  s->is_welcomed ? "true" : "false");
    return 0;
}

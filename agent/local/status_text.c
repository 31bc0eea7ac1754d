/* status_text.c - a status as Prometheus text and as JSON. */
#include <inttypes.h>
#include <string.h>

#include "agent/local/status.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/document/canon.h"

static const char *const states[] = { "none", "ok", "applying", "reverting", "failed", "broken" };

static const char *connection_name(const struct status *s)
{
    switch (s->connection) {
    case DEALER_WAITING:
        return "waiting";
    case DEALER_CONNECTING:
        return "connecting";
    case DEALER_REFUSED:
        return "refused";
    case DEALER_OPEN:
        break;
    }
    return s->is_welcomed ? "welcomed" : "open";
}

static const char *hex_of(const struct content *c, char out[HASH_HEX_SIZE])
{
    out[0] = '\0';
    if (!hash_is_zero(&c->hash))
        hash_to_hex(&c->hash, out);
    return out;
}

/* ---- Prometheus text ---- */

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP lockstep_agent_%s %s\n# TYPE lockstep_agent_%s %s\n", name, help,
                  name, type);
}

static void gauge(struct buffer *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    buffer_printf(out, "lockstep_agent_%s %.15g\n", name, value);
}

/* One number of every scope. Names of scopes need no escapes. */
static void of_scopes(const struct status *s, struct buffer *out, const char *name,
                      const char *type, const char *help,
                      double (*value)(const struct status_scope *scope))
{
    head(out, name, type, help);
    for (unsigned i = 0; i < s->scope_count; i++)
        buffer_printf(out, "lockstep_agent_%s{scope=\"%s\"} %.15g\n", name, s->scopes[i].name,
                      value(&s->scopes[i]));
}

#define VALUE(name, expression)                                                                    \
    static double value_##name(const struct status_scope *c)                                       \
    {                                                                                              \
        return (double)(expression);                                                               \
    }
VALUE(revision, c->active.revision)
VALUE(check, c->is_check_failing)
VALUE(check_took, (double)c->check_took_ms / 1e3)
VALUE(check_every, (double)c->check_every_ms / 1e3)
VALUE(drift, c->is_drifted)
VALUE(at, (double)c->tally.last_wall_ms / 1e3)
VALUE(took, (double)c->tally.last_took_ms / 1e3)
VALUE(consumers, c->consumers)
VALUE(confirmed, c->consumers_confirmed)
VALUE(prepared, c->tally.prepared)
VALUE(refused, c->tally.refused)
VALUE(applied, c->tally.applied)
VALUE(failed, c->tally.failed)

static const struct {
    const char *name, *type, *help;
    double (*value)(const struct status_scope *scope);
} rows[] = {
    { "scope_revision", "gauge", "Revision that is active.", value_revision },
    { "scope_check_failing", "gauge", "1 while the scope's own check fails.", value_check },
    { "scope_check_duration_seconds", "gauge",
      "How long the newest check between rollouts took.", value_check_took },
    { "scope_check_interval_seconds", "gauge",
      "Time between the two newest checks: it stretches when they take long.", value_check_every },
    { "scope_drifted", "gauge", "1 while files are not what was applied.", value_drift },
    { "scope_last_apply_timestamp_seconds", "gauge",
      "When the newest apply ended; 0: none did since the agent started.", value_at },
    { "scope_last_apply_duration_seconds", "gauge", "How long the newest apply took.", value_took },
    { "scope_consumers", "gauge", "Processes that registered as consumers.", value_consumers },
    { "scope_consumers_confirmed", "gauge", "Those that run what is active.", value_confirmed },
    { "scope_prepared_total", "counter", "Promises made to switch.", value_prepared },
    { "scope_refused_total", "counter", "Changes that were refused.", value_refused },
    { "scope_applied_total", "counter", "Applies that ended well.", value_applied },
    { "scope_apply_failures_total", "counter", "Applies that were taken back.", value_failed },
};

static void scope_states(const struct status *s, struct buffer *out)
{
    head(out, "scope_state", "gauge", "1 for the state of the newest decision obeyed.");
    for (unsigned i = 0; i < s->scope_count; i++)
        for (unsigned k = 0; k < sizeof(states) / sizeof(states[0]); k++)
            buffer_printf(out, "lockstep_agent_scope_state{scope=\"%s\",state=\"%s\"} %d\n",
                          s->scopes[i].name, states[k],
                          strcmp(states[k], status_state(&s->scopes[i])) == 0);
}

/* The hash that is active, and the one that should be soon: the promised one, else the same. */
static void scope_hashes(const struct status *s, struct buffer *out)
{
    head(out, "scope_info", "gauge", "Content hashes: what is active, and what is to be.");
    for (unsigned i = 0; i < s->scope_count; i++) {
        const struct status_scope *scope = &s->scopes[i];
        const struct content *desired = hash_is_zero(&scope->promised.hash) ? &scope->active
                                                                            : &scope->promised;
        char active_hex[HASH_HEX_SIZE], desired_hex[HASH_HEX_SIZE];

        buffer_printf(out, "lockstep_agent_scope_info{scope=\"%s\",active=\"%s\",desired=\"%s\"} "
                      "1\n", scope->name, hex_of(&scope->active, active_hex),
                      hex_of(desired, desired_hex));
    }
}

void status_metrics(const struct status *s, struct buffer *out)
{
    head(out, "info", "gauge", "The agent's version and its connection to a coordinator.");
    buffer_printf(out, "lockstep_agent_info{version=\"%s\",connection=\"%s\"} 1\n", AGENT_VERSION,
                  connection_name(s));
    gauge(out, "start_time_seconds", "When the agent started.", (double)s->started_wall_ms / 1e3);
    gauge(out, "connected", "1 while a coordinator has welcomed this agent.", s->is_welcomed);
    gauge(out, "outbox_length", "Acknowledgements without a receipt.", (double)s->outbox_length);
    gauge(out, "scopes", "Scopes in the settings.", s->scope_count);
    gauge(out, "settings_reload_success", "1: the newest reading of the settings was good.",
          !s->reload.is_failed);
    gauge(out, "settings_read_timestamp_seconds", "When the settings in use were read.",
          (double)s->reload.wall_ms / 1e3);
    for (unsigned i = 0; s->scope_count && i < sizeof(rows) / sizeof(rows[0]); i++)
        of_scopes(s, out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    if (s->scope_count) {
        scope_states(s, out);
        scope_hashes(s, out);
    }
}

/* ---- JSON ---- */

static void add_text(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, ",\"%s\":", name);
    if (*text)
        canon_quote(out, text);
    else
        buffer_add_text(out, "null");
}

static void add_time(struct buffer *out, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE] = "";

    if (wall_ms)
        clock_format(wall_ms, text);
    add_text(out, name, text);
}

/* 0: there is none. */
static void add_revision(struct buffer *out, const char *name, uint64_t revision)
{
    if (revision)
        buffer_printf(out, ",\"%s\":%" PRIu64, name, revision);
    else
        buffer_printf(out, ",\"%s\":null", name);
}

static const char *bool_text(bool b)
{
    return b ? "true" : "false";
}

static void add_scope(struct buffer *out, const struct status_scope *scope)
{
    const struct scope_stats *t = &scope->tally;
    const char *slash = strchr(scope->name, '/');
    char hex[HASH_HEX_SIZE];

    buffer_printf(out, "{\"service_name\":\"%.*s\",\"environment\":\"%s\",\"state\":\"%s\"",
                  (int)(slash - scope->name), scope->name, slash + 1, status_state(scope));
    add_time(out, "since", scope->since_wall_ms);
    add_text(out, "reason", t->reason);
    add_text(out, "reason_step", t->reason_step ? t->reason_step : "");
    add_revision(out, "reason_revision", t->reason_revision);
    add_time(out, "reason_at", t->reason_wall_ms);
    buffer_printf(out, ",\"revision\":%" PRIu64, scope->active.revision);
    add_text(out, "hash", hex_of(&scope->active, hex));
    add_revision(out, "kept_revision", scope->kept_revision);
    add_revision(out, "promised_revision",
                 hash_is_zero(&scope->promised.hash) ? 0 : scope->promised.revision);
    buffer_printf(out, ",\"finalized\":%s,\"drifted\":%s,\"check_failing\":%s",
                  bool_text(scope->is_finalized), bool_text(scope->is_drifted),
                  bool_text(scope->is_check_failing));
    add_text(out, "check_detail", scope->is_check_failing ? scope->check : "");
    add_text(out, "drift_detail", scope->drift);
    buffer_printf(out, ",\"check_took_ms\":%" PRId64 ",\"check_every_ms\":%" PRId64
                  ",\"check_slow\":%s", scope->check_took_ms, scope->check_every_ms,
                  bool_text(scope->is_check_slow));
    buffer_printf(out, ",\"consumers\":{\"registered\":%u,\"confirmed\":%u}", scope->consumers,
                  scope->consumers_confirmed);
    add_time(out, "last_apply_at", t->last_wall_ms);
    buffer_printf(out, ",\"last_apply_ms\":%" PRId64 ",\"last_apply_failed\":%s", t->last_took_ms,
                  bool_text(t->is_last_failed));
    buffer_printf(out, ",\"counts\":{\"prepared\":%" PRIu64 ",\"refused\":%" PRIu64
                  ",\"applied\":%" PRIu64 ",\"failed\":%" PRIu64 "}}", t->prepared, t->refused,
                  t->applied, t->failed);
}

void status_json(const struct status *s, status_filter_fn *may_see, void *ctx,
                 struct buffer *out)
{
    bool is_first = true;

    buffer_printf(out, "{\"version\":\"%s\"", AGENT_VERSION);
    add_text(out, "name", s->name);
    add_time(out, "at", s->wall_ms);
    add_time(out, "started_at", s->started_wall_ms);
    add_time(out, "settings_read_at", s->reload.wall_ms);
    buffer_printf(out, ",\"settings_failed\":%s", bool_text(s->reload.is_failed));
    add_text(out, "connection", connection_name(s));
    add_text(out, "coordinator", s->coordinator);
    add_text(out, "trouble", s->trouble);
    add_time(out, "connected_at", s->welcomed_wall_ms);
    add_time(out, "heard_at", s->heard_wall_ms);
    buffer_printf(out, ",\"outbox\":%zu,\"scopes\":[", s->outbox_length);
    for (unsigned i = 0; i < s->scope_count; i++) {
        if (may_see && !may_see(ctx, s->scopes[i].name))
            continue;
        if (!is_first)
            buffer_add_text(out, ",");
        add_scope(out, &s->scopes[i]);
        is_first = false;
    }
    buffer_add_text(out, "]}\n");
}

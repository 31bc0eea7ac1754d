/* health.c - handlers of /healthz, /readyz, /metrics and /version. */
#include "coordinator/http/admin/health.h"

#include <inttypes.h>
#include <jansson.h>

#include "coordinator/http/cache/reads.h"
#include "coordinator/http/request/counters.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/http/transport/tls.h"
#include "coordinator/service/census.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/retention_thread.h"

int health_alive(struct request *rq, struct reply *re, struct err *e)
{
    (void)rq;
    (void)e;
    return reply_json(re, 200, json_pack("{s:s}", "status", "ok"));
}

int health_version(struct request *rq, struct reply *re, struct err *e)
{
    (void)e;
    return reply_json(re, 200, json_pack("{s:s,s:s}", "name", "lockstepd", "version",
                                         rq->deps->version));
}

/* The connection was taken before; the statement proves that it lives. */
int health_ready(struct request *rq, struct reply *re, struct err *e)
{
    struct http_status status = { 0 };

    if (pg_exec(rq->pg, "SELECT 1", e) < 0)
        return err_set(e, ERR_UNAVAILABLE, "the database does not answer");
    rq->deps->status(rq->deps->status_ctx, &status);
    if (status.stuck[0])
        return err_code(e, ERR_UNAVAILABLE, "not_ready",
                        "the thread \"%s\" does not move any more: restart this coordinator",
                        status.stuck);
    if (!status.is_ready)
        return err_code(e, ERR_UNAVAILABLE, "not_ready", "%s",
                        status.why[0] ? status.why : "this coordinator is starting");
    if (census_is_foreign(rq->census)) /* anybody may ask, so no key is named here */
        return err_code(e, ERR_UNAVAILABLE, "not_ready",
                        "[secrets] the key of this coordinator opens none of the database's "
                        "secrets: give it the keys of the other coordinators; lockstepd "
                        "check-secrets names the one that it lacks");
    return reply_json(re, 200,
                      json_pack("{s:s,s:s,s:b}", "status", "ready", "leader", status.leader,
                                "is_leading", status.is_leading));
}

static void metric(struct buffer *to, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    buffer_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name,
                  value);
}

static void add_answers(struct buffer *to, const struct counters *counters)
{
    buffer_add_text(to, "# HELP lockstep_http_answers_total Answers given, by class of status.\n"
                        "# TYPE lockstep_http_answers_total counter\n");
    for (int i = 2; i < 6; i++)
        buffer_printf(to, "lockstep_http_answers_total{class=\"%dxx\"} %" PRIu64 "\n", i,
                      atomic_load(&counters->answers[i]));
}

static void add_dropped(struct buffer *to, struct retention_thread *keeper)
{
    static const enum retention_kind kinds[] = { RETENTION_HISTORY, RETENTION_ACKNOWLEDGEMENTS,
                                                 RETENTION_AUDIT };
    struct retention_thread_figures figures;

    retention_thread_figures(keeper, &figures);
    buffer_add_text(to, "# HELP lockstep_retention_dropped_total Rows that were no longer to be "
                        "kept.\n# TYPE lockstep_retention_dropped_total counter\n");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        buffer_printf(to, "lockstep_retention_dropped_total{kind=\"%s\"} %" PRIu64 "\n",
                      retention_kind_names[kinds[i]], figures.dropped.rows[kinds[i]]);
    buffer_printf(to,
                  "# HELP lockstep_retention_looked_timestamp_seconds When this coordinator last "
                  "looked for them.\n# TYPE lockstep_retention_looked_timestamp_seconds gauge\n"
                  "lockstep_retention_looked_timestamp_seconds %.3f\n",
                  (double)figures.looked_ms / 1000);
}

int health_metrics(struct request *rq, struct reply *re, struct err *e)
{
    struct http_status status = { 0 };

    (void)e;
    rq->deps->status(rq->deps->status_ctx, &status);
    metric(&re->body, "lockstep_leading", "gauge", "1 when this coordinator leads.",
           status.is_leading);
    metric(&re->body, "lockstep_ready", "gauge", "1 when this coordinator may take traffic.",
           status.is_ready && !census_is_foreign(rq->census));
    metric(&re->body, "lockstep_leader_epoch", "gauge", "Epoch of the leadership last known.",
           status.epoch);
    metric(&re->body, "lockstep_servers_connected", "gauge",
           "Servers with a session at this coordinator.", status.servers_connected);
    metric(&re->body, "lockstep_servers_drifted", "gauge",
           "Servers of this leader whose files or documents are not as they should be.",
           status.servers_drifted);
    metric(&re->body, "lockstep_router_connections", "gauge",
           "Connections to the port for agents, proven to be an agent's or not.",
           status.connections);
    metric(&re->body, "lockstep_router_connections_ended_total", "counter",
           "Of these, those that were ended because they passed a bound.",
           status.connections_ended);
    metric(&re->body, "lockstep_garbage_frames_total", "counter",
           "Messages of agents that could not be decoded.", status.garbage_frames);
    metric(&re->body, "lockstep_router_sent_bytes_total", "counter",
           "Bytes of messages to agents.", status.sent_bytes);
    add_answers(&re->body, rq->counters);
    if (rq->tls)
        buffer_printf(&re->body,
                      "# HELP lockstep_tls_certificate_days Days until the certificate expires.\n"
                      "# TYPE lockstep_tls_certificate_days gauge\n"
                      "lockstep_tls_certificate_days %.3f\n",
                      tls_days_left(rq->tls));
    reads_metrics(rq->reads, &re->body);
    census_metrics(rq->census, &re->body);
    if (rq->deps->keeper)
        add_dropped(&re->body, rq->deps->keeper);
    re->status = 200;
    re->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return 0;
}

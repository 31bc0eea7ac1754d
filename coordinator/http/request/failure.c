/* failure.c - turns the error of a handler into a problem document, and says it in the log. */
#include "coordinator/http/request/failure.h"

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/http/request/counters.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"

#define SAY_MS 1000

/* The words of a server behind us, once a second: whoever asks could fill the log with them. */
static bool is_time_to_say(struct counters *counters)
{
    int64_t now_ms = clock_monotonic_ms(), said_ms = counters->failure_said_ms;

    return now_ms >= said_ms + SAY_MS &&
           atomic_compare_exchange_strong(&counters->failure_said_ms, &said_ms, now_ms);
}

static void say_failure(const struct request *rq, const struct err *e)
{
    bool is_bad = err_status(e->kind) == 500;

    if (e->is_inner ? !is_time_to_say(rq->counters) : !is_bad)
        return;
    if (is_bad)
        log_error("request failed", "method", rq->method, "route", rq->match.route->pattern,
                  "reason", e->text);
    else
        log_info("request failed", "method", rq->method, "route", rq->match.route->pattern,
                 "reason", e->text);
}

void failure_give(const struct request *rq, struct reply *re, const struct err *e)
{
    struct err said = *e;

    say_failure(rq, e);
    /* These name files and hosts: the caller gets a sentence of ours. */
    if (e->is_inner)
        err_code(&said, e->kind, e->code,
                 e->kind == ERR_CONFLICT
                     ? "somebody else changed the same at this moment; ask again"
                     : "the database could not do this; the log of the coordinator says why");
    reply_error(re, &said);
}

/* dispatch.c - takes a request through token, body and handler, and errors into problems. */
#include "coordinator/http/dispatch.h"

#include <string.h>

#include "common/clock.h"
#include "common/schema/schema.h"
#include "coordinator/http/cache/reads.h"
#include "coordinator/http/idempotency.h"
#include "coordinator/http/live/watches.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/failure.h"
#include "coordinator/http/request/permit.h"
#include "coordinator/service/conform.h"
#include "coordinator/store/pg.h"

static int check_body(struct request *rq, struct err *e)
{
    return rq->json || rq->body.size == 0 ? 0 : request_parse_body(rq, e);
}

static int serve(struct request *rq, struct reply *re, struct err *e)
{
    schema_budget(CONFORM_WORK_MAX);
    if (rq->match.route->right && permit_check(rq, re, e) < 0)
        return -1;
    if (check_body(rq, e) < 0)
        return -1;
    return idempotency_applies(rq) ? idempotency_serve(rq, re, e)
                                   : rq->match.route->handler(rq, re, e);
}

static int serve_with_database(struct request *rq, struct reply *re, bool *is_lost, struct err *e)
{
    int rc;

    *is_lost = false;
    if (request_connect(rq, strcmp(rq->match.route->method, "GET") == 0, e) < 0)
        return -1;
    rc = serve(rq, re, e);
    *is_lost = pg_is_broken(rq->pg);
    reads_note(rq);
    request_disconnect(rq);
    return rc;
}

/* A read whose connection turned out dead is asked again on another: nobody has to see that the
 * database moved. Writes are not: they may have happened. Nor is one that hung: so would the next.
 */
static int serve_surely(struct request *rq, struct reply *re, struct err *e)
{
    int64_t began_ms = clock_monotonic_ms();
    bool is_lost;
    int rc = serve_with_database(rq, re, &is_lost, e);

    if (clock_monotonic_ms() >= began_ms + REQUEST_READ_PATIENCE_MS)
        return rc;
    if (rc < 0 && is_lost && strcmp(rq->match.route->method, "GET") == 0) {
        reply_clear(re);
        rc = serve_with_database(rq, re, &is_lost, e);
    }
    return rc;
}

/* A database that does not answer for a moment does not end a wait that began before. */
static bool may_wait(const struct request *rq, const struct reply *re, int rc, const struct err *e)
{
    if (rc == 0)
        return re->is_waiting;
    return rq->waiting_for && e->kind == ERR_UNAVAILABLE && !e->code &&
           clock_monotonic_ms() < rq->wait_until_ms;
}

/* By what is known of it: another token, a later hour. */
static bool may_go_on(const struct request *rq)
{
    struct reply unused = { 0 };
    struct err e;
    bool may = permit_is_good(rq) && access_check_route(rq, &unused, &e) == 0;

    reply_fini(&unused);
    return may;
}

/* It waits, and there is nothing to tell it. Who is told something, or is no longer known to be
 * allowed to wait, is judged anew: what was granted when the wait began may have ended. */
static bool waits_on(struct request *rq)
{
    if (!rq->watch)
        return false;
    if (watch_is_quiet(rq->watch) && may_go_on(rq))
        return true;
    rq->is_permitted = false;
    return false;
}

bool dispatch(struct request *rq, struct reply *re, bool is_stopping)
{
    struct err e = { 0 };
    int rc;

    if (!is_stopping && waits_on(rq))
        return true;
    if (is_stopping && !rq->waiting_for)
        rc = permit_refuse_stopping(&e);
    else
        rc = rq->match.route->way == ROUTE_QUICK ? serve(rq, re, &e) : serve_surely(rq, re, &e);
    if (may_wait(rq, re, rc, &e)) {
        re->is_waiting = false;
        if (!is_stopping)
            return true;
        rc = permit_refuse_stopping(&e);
    }
    if (rc < 0)
        failure_give(rq, re, &e);
    return false;
}

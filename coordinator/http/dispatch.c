/* dispatch.c - takes a request through token, body and handler, and errors into problems. */
#include "coordinator/http/dispatch.h"

#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/schema.h"
#include "coordinator/http/access.h"
#include "coordinator/http/conform.h"
#include "coordinator/http/counters.h"
#include "coordinator/http/limits.h"
#include "coordinator/http/idempotency.h"
#include "coordinator/http/reads.h"
#include "coordinator/http/watches.h"
#include "coordinator/store/pg.h"

#define POOL_WAIT_MS 3000
#define READ_PATIENCE_MS 10000 /* a database that hangs is said sooner than a slow write fails */
#define WRITE_PATIENCE_MS 60000
#define SAY_MS 1000

const char *dispatch_token(const char *header)
{
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    return header + 7 + strspn(header + 7, " ");
}

static int refuse_nobody(struct err *e)
{
    return err_set(e, ERR_UNAUTHORIZED,
                   "this needs an access token: send the header Authorization: Bearer lst_…");
}

/* The token is good: may it do this, and so often? Who is judged again has not asked again. */
static int check_owner(struct request *rq, struct reply *re, struct err *e)
{
    if (!rq->is_counted &&
        limits_take_token(rq->limits, rq->owner.id, clock_monotonic_us(), e) < 0)
        return -1;
    rq->is_counted = true;
    if (access_check_route(rq, re, e) < 0)
        return -1;
    rq->is_permitted = true;
    return 0;
}

/* Nothing about access has changed since its token was checked, and that has not expired. */
static bool is_token_good(const struct request *rq)
{
    return rq->access_moment == reads_access_moment(rq->reads) &&
           clock_monotonic_ms() < rq->owner.until_ms;
}

/* Between its headers and its handler a request may take minutes: a body comes in, a lane is long.
 * What was granted before holds as long as nothing that it came from has ended. */
static int check_token(struct request *rq, struct reply *re, struct err *e)
{
    const char *token = dispatch_token(rq->authorization);

    if (rq->is_permitted && is_token_good(rq))
        return access_check_route(rq, re, e);
    rq->is_permitted = false;
    if (!token)
        return refuse_nobody(e);
    if (rq->watch && reads_knows_token(rq))
        return check_owner(rq, re, e);
    return reads_check_token(rq, token, e) < 0 ? -1 : check_owner(rq, re, e);
}

static int check_body(struct request *rq, struct err *e)
{
    return rq->json || rq->body.size == 0 ? 0 : request_parse_body(rq, e);
}

static int serve(struct request *rq, struct reply *re, struct err *e)
{
    schema_budget(CONFORM_WORK_MAX);
    if (rq->match.route->right && check_token(rq, re, e) < 0)
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
    if (pg_pool_take(rq->deps->pool, POOL_WAIT_MS, &rq->pg, e) < 0)
        return -1;
    pg_set_patience(rq->pg, strcmp(rq->match.route->method, "GET") == 0 ? READ_PATIENCE_MS
                                                                        : WRITE_PATIENCE_MS);
    rc = serve(rq, re, e);
    *is_lost = pg_is_broken(rq->pg);
    reads_note(rq);
    pg_set_patience(rq->pg, WRITE_PATIENCE_MS);
    pg_pool_give(rq->deps->pool, &rq->pg);
    rq->pg = NULL;
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

    if (clock_monotonic_ms() >= began_ms + READ_PATIENCE_MS)
        return rc;
    if (rc < 0 && is_lost && strcmp(rq->match.route->method, "GET") == 0) {
        reply_clear(re);
        rc = serve_with_database(rq, re, &is_lost, e);
    }
    return rc;
}

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

static void fail(const struct request *rq, struct reply *re, const struct err *e)
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

static int permit(struct request *rq, struct reply *re, struct err *e)
{
    int rc;

    if (pg_pool_take(rq->deps->pool, POOL_WAIT_MS, &rq->pg, e) < 0)
        return -1;
    pg_set_patience(rq->pg, READ_PATIENCE_MS);
    rc = check_token(rq, re, e);
    pg_set_patience(rq->pg, WRITE_PATIENCE_MS);
    pg_pool_give(rq->deps->pool, &rq->pg);
    rq->pg = NULL;
    return rc;
}

static int refuse_stopping(struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "this coordinator is stopping; ask again, or another one");
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
    bool may = is_token_good(rq) && access_check_route(rq, &unused, &e) == 0;

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
        rc = refuse_stopping(&e);
    else
        rc = rq->match.route->is_quick ? serve(rq, re, &e) : serve_surely(rq, re, &e);
    if (may_wait(rq, re, rc, &e)) {
        re->is_waiting = false;
        if (!is_stopping)
            return true;
        rc = refuse_stopping(&e);
    }
    if (rc < 0)
        fail(rq, re, &e);
    return false;
}

bool dispatch_permit(struct request *rq, struct reply *re, bool is_stopping)
{
    struct err e = { 0 };

    if ((is_stopping ? refuse_stopping(&e) : permit(rq, re, &e)) == 0)
        return true;
    fail(rq, re, &e);
    return false;
}

bool dispatch_admit(struct request *rq, struct reply *re)
{
    struct err e = { 0 };
    int rc;

    if (!dispatch_token(rq->authorization))
        rc = refuse_nobody(&e);
    else if (reads_knows_token(rq))
        rc = check_owner(rq, re, &e);
    else
        return false;
    if (rc < 0)
        fail(rq, re, &e);
    return true;
}

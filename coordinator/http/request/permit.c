/* permit.c - asks whether a token may do this, of memory first and of the database otherwise. */
#include "coordinator/http/request/permit.h"

#include "common/clock.h"
#include "coordinator/http/request/access.h"
#include "coordinator/http/request/failure.h"
#include "coordinator/http/request/limits.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/http/request/token_cache.h"

bool permit_knows(struct request *rq)
{
    const char *token = request_token(rq->authorization);
    uint64_t moment = token_cache_moment(rq->passes);
    struct pass *pass = token ? token_cache_find(rq->passes, token, true) : NULL;

    if (!pass)
        return false;
    rq->access_moment = moment;
    rq->owner = *pass_owner(pass);
    pass_release(pass);
    return true;
}

/* tokens_check, remembered for whoever reads next. */
static int ask_database(struct request *rq, const char *token, struct err *e)
{
    uint64_t moment = token_cache_moment(rq->passes);

    rq->access_moment = moment;
    if (tokens_check(rq->pg, token, &rq->owner, e) < 0)
        return -1;
    token_cache_keep(rq->passes, token, &rq->owner, moment);
    return 0;
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

bool permit_is_good(const struct request *rq)
{
    return rq->access_moment == token_cache_moment(rq->passes) &&
           clock_monotonic_ms() < rq->owner.until_ms;
}

/* Between its headers and its handler a request may take minutes: a body comes in, a lane is long.
 * What was granted before holds as long as nothing that it came from has ended. */
int permit_check(struct request *rq, struct reply *re, struct err *e)
{
    const char *token = request_token(rq->authorization);

    if (rq->is_permitted && permit_is_good(rq))
        return access_check_route(rq, re, e);
    rq->is_permitted = false;
    if (!token)
        return refuse_nobody(e);
    if (rq->watch && permit_knows(rq))
        return check_owner(rq, re, e);
    return ask_database(rq, token, e) < 0 ? -1 : check_owner(rq, re, e);
}

static int ask(struct request *rq, struct reply *re, struct err *e)
{
    int rc;

    if (request_connect(rq, true, e) < 0)
        return -1;
    rc = permit_check(rq, re, e);
    request_disconnect(rq);
    return rc;
}

int permit_refuse_stopping(struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "this coordinator is stopping; ask again, or another one");
}

bool permit_ask(struct request *rq, struct reply *re, bool is_stopping)
{
    struct err e = { 0 };

    if ((is_stopping ? permit_refuse_stopping(&e) : ask(rq, re, &e)) == 0)
        return true;
    failure_give(rq, re, &e);
    return false;
}

bool permit_admit(struct request *rq, struct reply *re)
{
    struct err e = { 0 };
    int rc;

    if (!request_token(rq->authorization))
        rc = refuse_nobody(&e);
    else if (permit_knows(rq))
        rc = check_owner(rq, re, &e);
    else
        return false;
    if (rc < 0)
        failure_give(rq, re, &e);
    return true;
}

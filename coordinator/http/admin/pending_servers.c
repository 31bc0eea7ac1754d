/* pending_servers.c - handler that lists agents which ask to be let in. */
#include "coordinator/http/admin/pending_servers.h"

#include <jansson.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/policy/knocks.h"
#include "coordinator/store/pg.h"
#include "coordinator/store/rollout/servers.h"

static json_t *time_json(int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];

    clock_format(ms, text);
    return json_string(text);
}

/* server: whose key this was, when it was revoked; the agent's own name is not known before it is
 * let in. An agent that was enrolled a moment ago is pending no more. */
static int add_one(struct request *rq, const struct knock *knock, json_t *items, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    const char *revoked = NULL;
    json_t *one;

    if (servers_find_key(rq->pg, knock->key, &rows, e) < 0)
        return -1;
    if (rows_count(rows) && !rows_bool(rows, 0, 1))
        return 0;
    if (rows_count(rows))
        revoked = rows_text(rows, 0, 0);
    one = json_pack("{s:s,s:s,s:s?,s:I,s:o,s:o}", "public_key", knock->key, "address",
                    knock->address, "revoked_server", revoked, "attempts",
                    (json_int_t)knock->count, "first_seen", time_json(knock->first_ms),
                    "last_seen", time_json(knock->last_ms));
    MUST(one);
    json_array_append_new(items, one);
    return 0;
}

int pending_servers_get_all(struct request *rq, struct reply *re, struct err *e)
{
    struct knock knocks[KNOCKS_MAX];
    size_t count = 0;
    json_t *items;

    if (REQUEST_ONLY_QUERY(rq, e) < 0)
        return -1;
    if (rq->deps->knocks)
        count = knocks_list(rq->deps->knocks, clock_wall_ms(), knocks);
    items = json_array();
    for (size_t i = 0; i < count; i++)
        if (add_one(rq, &knocks[i], items, e) < 0) {
            json_decref(items);
            return -1;
        }
    return reply_list(re, "pending_servers", items, NULL);
}

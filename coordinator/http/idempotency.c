/* idempotency.c - claims a key before the handler runs, and keeps its answer for whoever repeats. */
#include "coordinator/http/idempotency.h"

#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/log.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/request.h"
#include "coordinator/store/access/idempotency_keys.h"
#include "coordinator/store/pg.h"

#define KEY_MAX 255

/* Commands to a rollout say 200 when they are repeated, and a batch only reads. */
bool idempotency_applies(const struct request *rq)
{
    const char *pattern = rq->match.route->pattern;

    return rq->idempotency_key && strcmp(rq->match.route->method, "POST") == 0 &&
           !strstr(pattern, "/rollouts/{id}/") && !strstr(pattern, "/config/batch");
}

static int check_key(const char *key, struct err *e)
{
    size_t size = strlen(key);

    for (size_t i = 0; i < size; i++)
        if (key[i] < ' ' || key[i] > '~')
            size = 0;
    if (size == 0 || size > KEY_MAX)
        return err_set(e, ERR_INVALID,
                       "Idempotency-Key must have 1 to %d printable ASCII characters", KEY_MAX);
    return 0;
}

/* The body may hold a secret, which a plain hash would let anybody guess who has the row. So the
 * hash is keyed with the token, which the database does not have; keys belong to one token. */
static void hash_request(const struct request *rq, struct hash *out)
{
    const char *token = request_token(rq->authorization);
    SCOPED_BUFFER struct buffer text = { 0 };

    MUST(token);
    buffer_printf(&text, "%s\n", rq->target);
    buffer_add(&text, rq->body.data ? rq->body.data : "", rq->body.size);
    digest_hmac_sha256(token, strlen(token), text.data, text.size, out);
    explicit_bzero(text.data, text.size);
}

static int replay(struct reply *re, const struct claim *claim, struct err *e)
{
    if (!claim->body)
        return err_code(e, ERR_CONFLICT, "idempotency_answer_lost",
                        "this request was carried out before; its answer is not kept, because it "
                        "is long or holds a secret: look at what it made");
    re->status = claim->status;
    re->content_type = "application/json";
    buffer_add(&re->body, claim->body, claim->size);
    reply_header(re, "Idempotency-Replayed", "true");
    if (*claim->location)
        reply_header(re, "Location", claim->location);
    return 0;
}

static const char *location_of(const struct reply *re)
{
    for (unsigned i = 0; i < re->header_count; i++)
        if (strcmp(re->headers[i].name, "Location") == 0)
            return re->headers[i].value;
    return "";
}

static int settle(struct request *rq, const struct reply *re, const struct claim *claim, int rc,
                  struct err *e)
{
    bool is_kept = !re->is_secret && re->body.size <= CLAIM_BODY_MAX;

    if (rc < 0 || re->status >= 300)
        return idempotency_keys_drop(rq->pg, claim, e);
    return idempotency_keys_keep(rq->pg, claim, re->status, location_of(re),
                                 is_kept ? re->body.data : NULL, re->body.size, e);
}

/* What the handler answered stands, whatever becomes of the claim: the next one who asks finds it
 * done or not, and that is true. */
static int run(struct request *rq, struct reply *re, const struct claim *claim, struct err *e)
{
    int rc = rq->match.route->handler(rq, re, e);
    struct err why;

    if (pg_is_broken(rq->pg))
        return rc;
    if (pg_is_in_transaction(rq->pg))
        pg_rollback(rq->pg);
    if (settle(rq, re, claim, rc, &why) < 0)
        log_warn("answer not kept", "route", rq->match.route->pattern, "reason", why.text);
    idempotency_keys_end(rq->pg, rq->owner.id, rq->idempotency_key);
    return rc;
}

int idempotency_serve(struct request *rq, struct reply *re, struct err *e)
{
    struct claim claim;
    struct hash hash;
    int rc;

    if (check_key(rq->idempotency_key, e) < 0)
        return -1;
    hash_request(rq, &hash);
    if (idempotency_keys_begin(rq->pg, rq->owner.id, rq->idempotency_key, &hash, &claim, e) < 0)
        return -1;
    rc = claim.status ? replay(re, &claim, e) : run(rq, re, &claim, e);
    claim_fini(&claim);
    return rc;
}

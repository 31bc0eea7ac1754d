/* local_request.h - one request over local HTTP: what was asked, and the answer that grows.
 *
 * The rooms of local HTTP, low to high: local_owner, local_peer, local_scopes, local_desk,
 * local_request, local_read, local_watch and local_confirm, local_bind, local.
 */
#ifndef AGENT_LOCAL_LOCAL_REQUEST_H
#define AGENT_LOCAL_LOCAL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/local/local_desk.h"
#include "agent/local/local_peer.h"
#include "agent/local/local_scopes.h"
#include "agent/local/status.h"
#include "common/buffer.h"
#include "common/err.h"

#define LOCAL_BODY_MAX (16u << 10)
#define LOCAL_PARTS_MAX 5
#define LOCAL_QUERY_MAX 8

struct MHD_Connection;
struct confirmers;
struct local_stream;

struct local_answer {
    int status; /* 0: none yet */
    const char *content_type;
    char etag[HASH_HEX_SIZE + 3]; /* with its quotes; "" none */
    const char *allow;            /* 405 */
    struct buffer body;
    struct local_stream *stream; /* instead of a body */
};

/* What handlers may use; the same for all requests. */
struct local_context {
    struct local_scopes *scopes;
    struct peers *peers;
    struct desk *desk;
    struct confirmers *confirmers;
    const struct local_settings *settings;
    uid_t own_uid;
    struct status *(*status)(void *ctx); /* held for the caller; NULL: none yet */
    void *status_ctx;
};

struct local_request {
    const struct local_context *house;
    struct MHD_Connection *connection;
    struct peer *peer;
    char *target; /* as it came */
    const char *method;
    const char *if_none_match, *last_event_id; /* lent by the library; NULL: absent */
    char *parts[LOCAL_PARTS_MAX]; /* of the path, decoded */
    unsigned part_count, query_count;
    struct {
        char *name, *value;
    } query[LOCAL_QUERY_MAX];
    struct buffer body;
    struct local_answer answer;
    struct waiter *waiter; /* it waits for a change */
    int64_t wait_until_ms;
    struct desk_ask *ask; /* it waits for a secret */
};

/* Takes the target apart: -1 with what is wrong with it. */
int local_request_parse(struct local_request *rq, struct err *e)
    __attribute__((warn_unused_result));
void local_request_fini(struct local_request *rq);

const char *local_query(const struct local_request *rq, const char *name); /* NULL: not given */
/* -1: a name that is none of these. */
#define LOCAL_QUERY_ONLY(rq, ...) local_query_only(rq, __VA_ARGS__, (const char *)0)
int local_query_only(const struct local_request *rq, struct err *e, ...)
    __attribute__((sentinel, warn_unused_result));
int local_query_number(const struct local_request *rq, const char *name, int64_t most,
                       int64_t *out, struct err *e) __attribute__((warn_unused_result));

/* parts[2] and parts[3] as a scope that the caller may read. */
struct local_scope *local_request_scope(const struct local_request *rq, struct err *e);
bool local_request_may_read(const struct local_request *rq, const struct local_scope *scope);
bool local_request_may_see_secrets(const struct local_request *rq);

/* application/problem+json (RFC 9457). */
void local_answer_error(struct local_answer *answer, const struct err *e);
void local_answer_with(struct local_answer *answer, const char *content_type);
/* The answer's body is what this hash names; true: the caller has it already, 304 is the answer. */
bool local_answer_is_known(struct local_request *rq, const char *hash);

#endif

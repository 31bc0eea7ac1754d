/* connection.c - the short way from a request to an answer that is kept in memory. */
#include "coordinator/http/connection.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/invariant.h"
#include "coordinator/http/cache/reads.h"
#include "coordinator/http/request/cached_reply.h"
#include "coordinator/http/request/counters.h"
#include "coordinator/http/request/limits.h"
#include "coordinator/http/request/peer.h"
#include "coordinator/http/request/reply.h"
#include "coordinator/http/request/token_cache.h"
#include "coordinator/http/transport/deadline.h"
#include "coordinator/http/transport/refusals.h"
#include "coordinator/http/transport/response.h"
#include "coordinator/http/transport/seats.h"
#include "coordinator/http/transport/tls.h"

#define SMALL 16384
#define HITS_PER_TAKE 10  /* of one connection: each costs about a tenth of what a worker does */
#define GOOD_FOR_MS 60000 /* a client's certificate: it may expire while the connection lives */

/* ---------------------------------------------------------------- connections */

struct caller {
    int fd;
    struct deadline *deadline;
    struct reads_caller reader;
    unsigned hits;     /* since one was counted; 0: the next is */
    uint64_t verified; /* the load of the certificates by which the client's was found good */
    int64_t verified_ms;
};

static struct caller *caller_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

void caller_set_deadline(struct MHD_Connection *connection, int64_t in_ms)
{
    struct caller *caller = caller_of(connection);

    if (caller)
        deadline_set(caller->deadline, in_ms);
}

int caller_descriptor(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    MUST(info);
    return info->connect_fd;
}

struct caller *caller_open(const struct connection_house *house, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct caller *caller = calloc(1, sizeof(*caller));

    MUST(caller && info);
    caller->fd = info->connect_fd;
    caller->deadline = deadline_add(house->deadlines, info->connect_fd);
    return caller;
}

void caller_close(const struct connection_house *house, struct caller *caller)
{
    deadline_remove(house->deadlines, caller->deadline);
    reads_caller_fini(&caller->reader);
    seats_leave(house->seats, caller->fd);
    free(caller);
}

bool connection_is_welcome(const struct connection_house *house, struct MHD_Connection *connection)
{
    struct caller *caller = caller_of(connection);
    const union MHD_ConnectionInfo *info;
    int64_t now_ms;

    if (!house->tls)
        return true;
    now_ms = clock_monotonic_ms();
    if (tls_is_current(house->tls, caller->verified) && now_ms < caller->verified_ms + GOOD_FOR_MS)
        return true;
    caller->verified_ms = now_ms;
    if (tls_is_current(house->tls, 0))
        return true;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info && tls_verify_client(house->tls, info->tls_session, &caller->verified);
}

int connection_turn_away(struct MHD_Connection *connection)
{
    struct reply reply = { 0 };
    struct MHD_Response *response;
    struct err e;
    int rc;

    err_code(&e, ERR_FORBIDDEN, "client_certificate",
             "a client certificate is needed here that was issued by the authority this "
             "coordinator trusts and is valid today");
    reply_error(&reply, &e);
    response = response_of_reply(&reply);
    rc = refusals_queue(connection, (unsigned)reply.status, response);
    MHD_destroy_response(response);
    reply_fini(&reply);
    return rc;
}

/* ---------------------------------------------------------------- visits */

/* In the absolute form ("http://host/path"), which a server must take, what counts is the path:
 * there is one host here (RFC 9112, 3.2.2). */
static const char *path_of(const char *target)
{
    const char *path;

    if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
        return target;
    path = strstr(target, "://") + 3;
    path += strcspn(path, "/?");
    return *path == '/' ? path : "/";
}

struct connection *connection_begin(const char *sent)
{
    const char *target = path_of(sent);
    size_t size = strlen(target) + 1;
    struct connection *v = malloc(sizeof(*v) + size);

    MUST(v);
    *v = (struct connection){ 0 };
    memcpy(v->target, target, size);
    return v;
}

void connection_end(struct connection *v, struct MHD_Connection *connection)
{
    struct caller *caller = caller_of(connection);

    if (caller)
        deadline_rest(caller->deadline);
    cached_reply_release(v->hit);
    free(v);
}

struct sent {
    const char *authorization, *if_none_match;
    bool has_body;
};

static enum MHD_Result note_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct sent *s = cls;

    (void)kind;
    switch (name[0] | 0x20) { /* most headers are none of these */
    case 'a':
        if (strcasecmp(name, "Authorization") == 0 && !s->authorization)
            s->authorization = value;
        break;
    case 'i':
        if (strcasecmp(name, "If-None-Match") == 0 && !s->if_none_match)
            s->if_none_match = value;
        break;
    case 'c':
        s->has_body |= strcasecmp(name, "Content-Length") == 0;
        break;
    case 't':
        s->has_body |= strcasecmp(name, "Transfer-Encoding") == 0;
        break;
    default:
        break;
    }
    return MHD_YES;
}

static int count(const struct connection_house *house, struct caller *caller,
                 struct MHD_Connection *connection, struct err *e)
{
    int64_t now_us = clock_monotonic_us();
    char address[PEER_ADDRESS_SIZE];

    if (caller->hits == 0) {
        peer_address(connection, address);
        if (limits_take_address(house->limits, address, now_us, e) < 0 ||
            limits_take_token(house->limits, pass_owner(caller->reader.pass)->id, now_us, e) < 0)
            return -1;
    }
    caller->hits = (caller->hits + 1) % HITS_PER_TAKE;
    return 0;
}

static struct cached_reply *refusal(const struct err *e)
{
    struct reply reply = { 0 };
    struct cached_reply *answer;

    reply_error(&reply, e);
    answer = cached_reply_of(&reply);
    MUST(answer);
    reply_fini(&reply);
    return answer;
}

bool connection_is_hit(const struct connection_house *house, struct connection *v,
                       struct MHD_Connection *connection, const char *method)
{
    struct caller *caller = caller_of(connection);
    struct sent sent = { 0 };
    struct err e;

    if (strcmp(method, "GET") != 0 || !caller)
        return false;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, note_header, &sent);
    if (sent.has_body)
        return false;
    v->hit = reads_hit(house->reads, &caller->reader, v->target, sent.authorization);
    if (!v->hit)
        return false;
    if (count(house, caller, connection, &e) < 0) {
        cached_reply_release(v->hit);
        v->hit = refusal(&e);
    }
    response_expect(v->hit);
    v->is_known = cached_reply_is_known(v->hit, sent.if_none_match);
    return true;
}

static int answer_known(const struct connection *v, struct MHD_Connection *connection)
{
    struct reply known = { 0 };
    struct MHD_Response *response;
    int rc;

    cached_reply_give_known(v->hit, &known);
    response = response_of_reply(&known);
    rc = refusals_queue(connection, 304, response);
    MHD_destroy_response(response);
    reply_fini(&known);
    return rc;
}

/* What fits into the socket's buffer needs no deadline of its own. */
int connection_answer_hit(const struct connection_house *house, const struct connection *v,
                          struct MHD_Connection *connection)
{
    int status = v->is_known ? 304 : v->hit->status;

    atomic_fetch_add_explicit(&house->counters->answers[status / 100], 1, memory_order_relaxed);
    if (v->is_known)
        return answer_known(v, connection);
    if (v->hit->size > SMALL)
        caller_set_deadline(connection, DEADLINE_ANSWER_MS);
    return refusals_queue(connection, (unsigned)status, response_of_answer(v->hit));
}

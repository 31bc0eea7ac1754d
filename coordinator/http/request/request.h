/* request.h - one request as a handler sees it: path parameters, query, body, who asks.
 *
 * Everything is lent for the duration of the handler. Texts are valid UTF-8 without zero bytes.
 */
#ifndef COORDINATOR_HTTP_REQUEST_REQUEST_H
#define COORDINATOR_HTTP_REQUEST_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "coordinator/http/request/deps.h"
#include "coordinator/http/request/peer.h"
#include "coordinator/http/request/route.h"
#include "coordinator/store/access/tokens.h"

#define REQUEST_QUERY_MAX 16
#define REQUEST_BODY_MAX (17u << 20)
#define REQUEST_READ_PATIENCE_MS 10000 /* a database that hangs is said before a slow write fails */
#define REQUEST_LIMIT_MAX 500
#define REQUEST_LIMIT_PRESET 100

struct census;
struct counters;
struct json_t;
struct token_cache;
struct pg;
struct streams;
struct reads;
struct reply;
struct schema_cache;
struct sealing;
struct limits;
struct tls;
struct transaction;
struct watch;
struct watches;

struct request {
    const char *method;
    char *target; /* as sent: path and query */
    struct route_match match;
    unsigned query_count;
    struct {
        char *name, *value;
    } query[REQUEST_QUERY_MAX];
    /* Headers that mean something here; NULL when absent. */
    char *authorization, *content_type, *if_match, *if_none_match, *accept, *last_event_id;
    char *idempotency_key;
    struct buffer body;
    struct json_t *json; /* the parsed body; NULL: there was none */
    struct token_owner owner;
    char address[PEER_ADDRESS_SIZE]; /* of who asks, without the port */
    struct pg *pg; /* a connection for this handler; NULL for quick routes */
    const struct http_deps *deps;
    const struct http_settings *settings;
    struct streams *streams;
    struct watches *watches;
    struct reads *reads;
    struct token_cache *passes;
    struct schema_cache *schemas;
    struct sealing *sealing; /* secrets that were opened or sealed for it (secret_values.h) */
    struct tls *tls; /* NULL: plain HTTP */
    struct counters *counters;
    struct limits *limits;
    struct census *census;
    bool is_from_memory; /* its answer shows nothing but what memory held */
    uint64_t access_moment; /* token_cache_moment, before the token was checked */
    bool is_permitted; /* the token was checked, and it may do this */
    bool is_counted;   /* against what its token may ask for */
    /* A handler that has to wait (reply_wait) finds here what it left the time before. */
    int64_t waiting_for; /* 0 at the first call */
    int64_t wait_until_ms; /* monotonic */
    struct watch *watch;   /* what it waits for, when that can be told without running it */
};

void request_fini(struct request *rq);

/* Take the query apart. */
int request_parse_query(struct request *rq, struct err *e) __attribute__((warn_unused_result));
/* Parse the body as JSON: 400 with line and column, 415 for other content. */
int request_parse_body(struct request *rq, struct err *e) __attribute__((warn_unused_result));

/* The token of an Authorization header; NULL: none. */
const char *request_token(const char *header);
/* rq->pg, for a handler; whoever only reads has less patience with it. */
int request_connect(struct request *rq, bool is_read, struct err *e)
    __attribute__((warn_unused_result));
void request_disconnect(struct request *rq);
/* A transaction on rq->pg in the name of who asks. */
int request_begin(const struct request *rq, struct transaction *t, struct err *e)
    __attribute__((warn_unused_result));

/* A path parameter by its place in the pattern. */
const char *request_param(const struct request *rq, unsigned index);
/* A query parameter; NULL when absent. */
const char *request_query(const struct request *rq, const char *name);
/* true for "1", "true" and an empty value. */
bool request_flag(const struct request *rq, const char *name);
/* A whole number in the query; *out is untouched when the parameter is absent. */
int request_query_number(const struct request *rq, const char *name, int64_t least, int64_t most,
                         int64_t *out, struct err *e) __attribute__((warn_unused_result));
/* ?limit=, 1 to REQUEST_LIMIT_MAX. */
int request_limit(const struct request *rq, int64_t *out, struct err *e)
    __attribute__((warn_unused_result));
/* Refuse query parameters that are not in the NULL-terminated list. */
int request_only_query(const struct request *rq, const char *const *known, struct err *e)
    __attribute__((warn_unused_result));
#define REQUEST_ONLY_QUERY(rq, e, ...)                                                             \
    request_only_query(rq, (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL }, e)

#endif

/* reply.h - one answer: status, headers, body; problem+json (RFC 9457) for whatever went wrong. */
#ifndef COORDINATOR_HTTP_REQUEST_REPLY_H
#define COORDINATOR_HTTP_REQUEST_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/err.h"
#include "coordinator/policy/problems.h"

#define REPLY_HEADERS_MAX 6

struct cached_reply;
struct json_t;
struct stream;

struct reply {
    int status;               /* 0: nothing yet */
    const char *content_type; /* static */
    struct buffer body;
    struct cached_reply *lent; /* instead of headers and body; the reply is one of its holders */
    uint64_t revision;   /* of a released key, or its absence: where it was read; 0 anything else */
    bool is_private;     /* depends on who asks: not for others who ask the same */
    unsigned header_count;
    struct {
        const char *name; /* static */
        char *value;      /* malloc'ed */
    } headers[REPLY_HEADERS_MAX];
    struct problems problems;
    struct stream *stream; /* an event stream instead of a body */
    bool is_secret;        /* has a secret in it: nobody keeps a copy */
    bool is_waiting;       /* the handler wants to be called again when something happened */
};

void reply_fini(struct reply *re);
/* Forget everything that was put in so far. */
void reply_clear(struct reply *re);

/* Answer with a JSON value; takes it. Returns 0, so that handlers can end with it. */
int reply_json(struct reply *re, int status, struct json_t *value);
void reply_header(struct reply *re, const char *name, const char *value);
/* 201's Location, printf-like. */
void reply_location(struct reply *re, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Call this handler again when something was committed, at the latest in a second. */
int reply_wait(struct reply *re);

/* Turn err and problems into the answer. */
void reply_error(struct reply *re, const struct err *e);

/* Lists: {"NAME": items, "next": cursor or null}; takes items; cursor NULL: no more. */
int reply_list(struct reply *re, const char *name, struct json_t *items, const char *cursor);

#endif

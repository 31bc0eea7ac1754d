/* answer.h - a finished answer that many readers may be given: counted, never changed. */
#ifndef COORDINATOR_HTTP_ANSWER_H
#define COORDINATOR_HTTP_ANSWER_H

#include <stdatomic.h>
#include <stddef.h>

#define ANSWER_HEADERS_MAX 2

struct reply;

struct answer {
    _Atomic unsigned holders;
    int status;
    const char *content_type; /* static */
    unsigned header_count;
    struct {
        const char *name; /* static */
        const char *value;
    } headers[ANSWER_HEADERS_MAX];
    size_t size;
    const char *body;
};

/* A copy of what a complete reply holds; the caller is its one holder. NULL: the reply is none that
 * could be given to others (a stream, too many headers). */
struct answer *answer_of(const struct reply *re);
struct answer *answer_take(struct answer *a); /* one holder more; the same answer */
void answer_release(struct answer *a);        /* NULL is fine */
/* Bytes of memory it takes. */
size_t answer_size(const struct answer *a);
/* For somebody who sent If-None-Match (or NULL). The reply lends the body: it becomes a holder. */
void answer_give(struct answer *a, const char *if_none_match, struct reply *re);

#endif

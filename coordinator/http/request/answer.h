/* answer.h - a finished answer that many readers may be given: counted, never changed. */
#ifndef COORDINATOR_HTTP_REQUEST_ANSWER_H
#define COORDINATOR_HTTP_REQUEST_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_HEADERS_MAX 2

struct reply;
struct answer_text;

struct answer {
    _Atomic unsigned holders;
    struct answer_text *text; /* where its texts lie; may outlive it */
    /* What the HTTP library makes of it, made once by whoever needs it first. */
    _Atomic(void *) form;
    void (*release_form)(void *form);
    int status;
    const char *content_type; /* static */
    unsigned header_count;
    struct {
        const char *name; /* static */
        const char *value;
    } headers[ANSWER_HEADERS_MAX];
    size_t size;
    const char *body;
    uint64_t revision; /* as the reply's */
};

/* A copy of what a complete reply holds; the caller is its one holder. NULL: the reply is none that
 * could be given to others (a stream, too many headers). */
struct answer *answer_of(const struct reply *re);
struct answer *answer_take(struct answer *a); /* one holder more; the same answer */
void answer_release(struct answer *a);        /* NULL is fine */
/* The texts alone: for somebody who is still sending them when the answer is dropped. */
struct answer_text *answer_text_take(struct answer *a);
void answer_text_release(void *text);
/* Bytes of memory it takes. */
size_t answer_size(const struct answer *a);
/* Is it what somebody has already who sent this If-None-Match (or NULL)? */
bool answer_is_known(const struct answer *a, const char *if_none_match);
void answer_give_known(const struct answer *a, struct reply *re);
/* The reply lends the answer, or says that it is known. */
void answer_give(struct answer *a, const char *if_none_match, struct reply *re);

#endif

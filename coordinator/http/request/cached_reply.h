/* cached_reply.h - a finished answer that many readers may be given: counted, never changed. */
#ifndef COORDINATOR_HTTP_REQUEST_CACHED_REPLY_H
#define COORDINATOR_HTTP_REQUEST_CACHED_REPLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHED_REPLY_HEADERS_MAX 2

struct reply;
struct cached_reply_text;

struct cached_reply {
    _Atomic unsigned holders;
    struct cached_reply_text *text; /* where its texts lie; may outlive it */
    /* What the HTTP library makes of it, made once by whoever needs it first. */
    _Atomic(void *) form;
    void (*release_form)(void *form);
    int status;
    const char *content_type; /* static */
    unsigned header_count;
    struct {
        const char *name; /* static */
        const char *value;
    } headers[CACHED_REPLY_HEADERS_MAX];
    size_t size;
    const char *body;
    uint64_t revision; /* as the reply's */
};

/* A copy of what a complete reply holds; the caller is its one holder. NULL: the reply is none that
 * could be given to others (a stream, too many headers). */
struct cached_reply *cached_reply_of(const struct reply *re);
struct cached_reply *
cached_reply_take(struct cached_reply *a);                /* one holder more; the same answer */
void cached_reply_release(struct cached_reply *a);        /* NULL is fine */
/* The texts alone: for somebody who is still sending them when the answer is dropped. */
struct cached_reply_text *cached_reply_text_take(struct cached_reply *a);
void cached_reply_text_release(void *text);
/* Bytes of memory it takes. */
size_t cached_reply_size(const struct cached_reply *a);
/* Is it what somebody has already who sent this If-None-Match (or NULL)? */
bool cached_reply_is_known(const struct cached_reply *a, const char *if_none_match);
void cached_reply_give_known(const struct cached_reply *a, struct reply *re);
/* The reply lends the answer, or says that it is known. */
void cached_reply_give(struct cached_reply *a, const char *if_none_match, struct reply *re);

#endif

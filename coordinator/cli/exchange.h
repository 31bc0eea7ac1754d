/* exchange.h - one HTTP request and its answer through libcurl: the way there, and its limits. */
#ifndef CLI_EXCHANGE_H
#define CLI_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/err.h"

struct context;

/* Token and certificates of a context, for requests to whichever of its addresses. */
struct exchange;
struct exchange *exchange_new(const struct context *context, bool is_verbose);
void exchange_free(struct exchange *x);

struct exchange_ask {
    const char *method, *address, *path;
    const char *body; /* NULL: none */
    bool is_open;     /* without the token */
    bool is_greeting; /* another address may be tried: 2 s for the way there, 5 s for the answer */
};

/* -1 says that no answer came, why, and what to try; what came is the status and exchange_answer,
 * which the next request overwrites. */
int exchange_perform(struct exchange *x, const struct exchange_ask *ask, int *status_out,
                     struct err *e) __attribute__((warn_unused_result));
struct buffer *exchange_answer(struct exchange *x);
const char *exchange_type(const struct exchange *x); /* of the answer's content; lent */
/* Of the newest request that no answer came for: was anything of it on its way? In a few words, why
 * none came. */
bool exchange_was_sent(const struct exchange *x);
const char *exchange_why(const struct exchange *x);

/* A request under way ends early when *flag becomes true (a signal handler sets it). */
void exchange_stop_on(struct exchange *x, const volatile int *flag);
/* All that is asked from now on has to be answered within so many milliseconds together. */
void exchange_hurry(struct exchange *x, int64_t ms);

#endif

/* workers.h - the threads that run handlers, and the requests that wait for something to happen.
 *
 * Those who ask take turns: requests of one token lie in one lane, lanes are served one request at
 * a time in a circle, and no lane has all workers at work for it, where there are several. So one
 * token that asks for much waits for itself. Tokens are dealt out to lanes by a hash that nobody
 * outside can know; whose token is not known to be good goes by the address. An exchange whose
 * handler wants to wait is kept aside without a thread and run again after workers_wake, at the
 * latest after a second.
 */
#ifndef COORDINATOR_HTTP_WORKERS_H
#define COORDINATOR_HTTP_WORKERS_H

#include <stdbool.h>

struct exchange;
struct workers;

/* Runs on a worker's thread. true: wait, and run it again later; with is_stopping it must be
 * finished. After false the exchange is not touched again. */
typedef bool workers_fn(struct exchange *ex, bool is_stopping);

struct workers *workers_start(unsigned count, workers_fn *run);
/* Runs what is queued or waiting a last time and ends the threads; NULL is fine. */
void workers_stop(struct workers *w);
void workers_free(struct workers *w);
/* The lane of who asks: the id of a token, or an address. */
unsigned workers_lane(const struct workers *w, const char *who);
/* `prepare` is called under the queue's lock, before any worker can see the exchange. false: no
 * longer taking work; prepare was not called. */
bool workers_submit(struct workers *w, struct exchange *ex, void (*prepare)(struct exchange *ex));
/* Something was committed: look at everybody who waits. Quick, from any thread. */
void workers_wake(struct workers *w);

#endif

/* watches.h - who waits for a scope's released revision to change, and what it is at the moment.
 *
 * One thread reads the released revisions of all watched scopes in one statement: after every
 * commit it hears of (this coordinator's or another's), and once a second in any case. Waiting
 * requests are only run again when theirs changed or their time is up; to find that out costs a
 * lock, not a statement.
 */
#ifndef COORDINATOR_HTTP_LIVE_WATCHES_H
#define COORDINATOR_HTTP_LIVE_WATCHES_H

#include <stdbool.h>
#include <stdint.h>

struct pg_pool;
struct watches;
struct watch;

/* `wake` is called on the thread when a revision changed. */
struct watches *watches_start(struct pg_pool *pool, void (*wake)(void *ctx), void *ctx);
void watches_stop(struct watches *w); /* ends the thread; NULL is fine */
void watches_free(struct watches *w); /* after the last watch_close */
void watches_wake(struct watches *w); /* something was committed; quick, any thread */

/* A request waits for `since` not to be the released revision any more. */
struct watch *watch_open(struct watches *w, int64_t scope_id, uint64_t since, int64_t until_ms);
void watch_close(struct watch *watch); /* NULL is fine */
/* Nothing changed and there is time left (until_ms, monotonic). */
bool watch_is_quiet(const struct watch *watch);

#endif

/* streams.h - live event streams (text/event-stream): who listens to what, and has seen what.
 *
 * One thread reads new audit rows and appends them to each stream's bounded buffer; the I/O
 * threads send from there. A stream whose client does not keep up is closed: it comes back with
 * Last-Event-ID. After the last event of a finished rollout comes "event: end".
 */
#ifndef COORDINATOR_HTTP_LIVE_STREAMS_H
#define COORDINATOR_HTTP_LIVE_STREAMS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pg_pool;
struct token_owner;
struct MHD_Connection;
struct streams;
struct stream;

struct streams *streams_start(struct pg_pool *pool);
/* Ends the thread and all streams: their connections are resumed and end. NULL is fine. */
void streams_stop(struct streams *s);
void streams_free(struct streams *s); /* after the last stream_close */
void streams_wake(struct streams *s); /* something was committed; quick, any thread */

/* Something about access changed: streams whose tokens may not do what they might, end. */
void streams_access_changed(struct streams *s);

/* A stream of the events of one rollout that come after event number `after`; is_behind: some of
 * them are no longer kept, and the stream says so first. Copies the token and what it may do. */
struct stream *stream_open(struct streams *s, int64_t rollout_id, uint64_t after, bool is_behind,
                           const char *token, const struct token_owner *owner);
/* Before the response is queued: the connection to suspend and resume. */
void stream_attach(struct stream *stream, struct MHD_Connection *connection);
/* The response's reader and its end (MHD_ContentReaderCallback and its free callback). */
ssize_t stream_read(void *stream, uint64_t position, char *into, size_t max);
void stream_close(void *stream);

#endif

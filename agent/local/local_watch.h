/* local_watch.h - handlers of local HTTP that wait: the long poll, and the stream of changes.
 *
 * A change names the revision before and what differs from it, when that revision is still kept;
 * else "reset" is true. Whoever is slow is told of the newest revision next and of nothing between.
 */
#ifndef AGENT_LOCAL_LOCAL_WATCH_H
#define AGENT_LOCAL_LOCAL_WATCH_H

#include <sys/types.h>

#include "agent/local/local_request.h"

/* GET /v1/watch/SERVICE/ENV?since=REVISION&timeout=SECONDS. 1: it waits, ask again when resumed. */
int local_get_watch(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));
/* GET /v1/events/SERVICE/ENV: text/event-stream. */
int local_get_events(struct local_request *rq, struct err *e) __attribute__((warn_unused_result));

/* The stream's reader and its end, as the HTTP library calls them. */
ssize_t local_stream_read(void *stream, uint64_t position, char *into, size_t max);
void local_stream_close(void *stream);

#endif

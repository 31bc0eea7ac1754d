/* events.h - an event as JSON: the same object in the timeline and in the live streams. */
#ifndef COORDINATOR_HTTP_LIVE_EVENTS_H
#define COORDINATOR_HTTP_LIVE_EVENTS_H

#include "coordinator/store/rollout/events.h"

struct json_t;

/* {"id","type","at","actor",…} and the members of the event's own data. */
struct json_t *events_json(const struct event *event);

#endif

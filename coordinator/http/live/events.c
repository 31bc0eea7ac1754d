/* events.c - turns audit rows into event objects. */
#include "coordinator/http/live/events.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static void add_text(json_t *to, const char *name, const char *text)
{
    if (*text)
        json_object_set_new(to, name, json_string(text));
}

struct json_t *events_json(const struct event *event)
{
    json_t *out = json_object(), *data = json_loads(event->data, 0, NULL);
    char id[24];

    snprintf(id, sizeof(id), "%" PRIu64, event->number);
    add_text(out, "id", id);
    add_text(out, "type", event->action);
    add_text(out, "at", event->at);
    add_text(out, "actor", event->actor);
    add_text(out, "rollout", event->rollout);
    add_text(out, "server", event->server);
    add_text(out, "service", event->service);
    add_text(out, "environment", event->environment);
    if (json_is_object(data))
        json_object_update_missing(out, data);
    json_decref(data);
    return out;
}

/* client.h - one conversation with the HTTP API: requests, answers, and what went wrong in words.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/err.h"
#include "common/scoped.h"

struct context;
struct json_t;

/* Of several addresses the first that answers is spoken to. When it stops answering, the next one
 * is asked whatever was not on its way yet, or only reads. */
struct client;
struct client *client_new(const struct context *context, bool is_verbose);
void client_free(struct client *c);
SCOPED_FREE(struct client, client_free)

struct client_reply {
    int status;
    struct json_t *body; /* NULL when there is none; the caller's (json_decref) */
    char *text;          /* of client_get_text, when it is not JSON; the caller's (free) */
};
void client_reply_fini(struct client_reply *r);
static inline void client_reply_fini_scoped(struct client_reply *r)
{
    client_reply_fini(r);
}
#define SCOPED_REPLY __attribute__((cleanup(client_reply_fini_scoped)))

/* path begins with /api/v1/… or another absolute path; body NULL: none (lent). On -1 the kind says
 * how to go on: UNAVAILABLE may work later; err.code is lent until the next call. Fields the
 * server found wrong are listed by client_field_errors. What answers is asked once, without the
 * token, whether it is a coordinator; what is none is refused with the code no_coordinator. */
int client_call(struct client *c, const char *method, const char *path, const struct json_t *body,
                struct client_reply *reply, struct err *e) __attribute__((warn_unused_result));

/* GET of what may be YAML or lines instead of JSON: reply.text then. */
int client_get_text(struct client *c, const char *path, struct client_reply *reply, struct err *e)
    __attribute__((warn_unused_result));

/* The whole list behind a path: follows `next` and joins the pages under `name`. */
int client_list(struct client *c, const char *path, const char *name, struct json_t **list_out,
                struct err *e) __attribute__((warn_unused_result));

/* Lines "  pointer  detail" of the last problem when it named several fields, else "": of one the
 * sentence speaks. Lent. */
const char *client_field_errors(const struct client *c);
/* What the last problem says of its first field, when the pointer ends so; else NULL. Lent. */
const char *client_field(const struct client *c, const char *ending);
/* Where the token was found, and how it begins; "" without one. Lent. */
const char *client_token_source(const struct client *c);
const char *client_address(const struct client *c);

/* Append one percent-encoded path segment or query value. */
void client_escape(struct buffer *out, const char *text);

/* A request under way ends early when *flag becomes true (a signal handler sets it). */
void client_stop_on(struct client *c, const volatile int *flag);
/* All that is asked from now on has to be answered within so many milliseconds together. */
void client_hurry(struct client *c, int64_t ms);

#endif

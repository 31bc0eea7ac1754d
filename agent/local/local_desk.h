/* local_desk.h - where local HTTP asks the agent's own thread for the values of secrets.
 *
 * A connection that asks is suspended until the answer lies on the desk. The loop takes a few asks
 * at a time and between its own work, so nobody can keep it busy: there is room for few, and who
 * finds none is told to come again.
 */
#ifndef AGENT_LOCAL_LOCAL_DESK_H
#define AGENT_LOCAL_LOCAL_DESK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/crypto/hash.h"
#include "common/document/document.h"
#include "common/err.h"
#include "common/name.h"

struct MHD_Connection;
struct desk;

struct desk_ask {
    struct desk_ask *next;
    struct MHD_Connection *connection;
    char scope[SCOPE_BUFFER], key[DOCUMENT_KEY_MAX + 1];
    struct hash hash; /* of the document that is meant */
    bool is_answered, is_refused;
    struct err problem; /* when refused */
    uint64_t revision;
    enum value_type type;
    struct buffer value; /* wiped by desk_forget */
};

struct desk *desk_new(void);
void desk_free(struct desk *d); /* after the last desk_forget; NULL is fine */
/* Readable when somebody asks. */
int desk_fd(const struct desk *d);

/* From the connection's thread: suspends it. NULL: there is no room, or all ends. */
struct desk_ask *desk_put(struct desk *d, struct MHD_Connection *connection, const char *scope,
                          const char *key, const struct hash *hash);
void desk_forget(struct desk_ask *ask); /* NULL is fine */

/* From the loop's thread. */
struct desk_ask *desk_take(struct desk *d); /* NULL: nobody asks */
void desk_answer(struct desk *d, struct desk_ask *ask);

/* No more asks; those that lie there are refused. From the loop's thread. */
void desk_stop(struct desk *d);

#endif

/* memberships.h - small things the leader writes about servers and commands, many at a time.
 *
 * Inside the caller's fenced transaction; the audit rows come from memberships_audit, last. */
#ifndef COORDINATOR_STORE_LEADER_MEMBERSHIPS_H
#define COORDINATOR_STORE_LEADER_MEMBERSHIPS_H

#include <stddef.h>

#include "common/buffer.h"
#include "coordinator/store/leader/writer.h"

struct pg;

/* An answer to a command that needs no change. */
struct cached_reply {
    int64_t command_id;
    bool is_done;
    char *text; /* malloc'ed */
};

/* Memberships begun and ended, and whose (0: of several). */
struct memberships_summary {
    size_t joined_count, left_count;
    int64_t joined_server, left_server;
};
/* The one writer of memberships: begins those that the enrolment allows, and ends those that an
 * agent no longer reads. A server whose part in an open rollout ends with them is passed over. */
int memberships_write(struct pg *pg, struct join_request *const *joins, size_t count,
                      struct memberships_summary *out, struct err *e)
    __attribute__((warn_unused_result));
int memberships_seen(struct pg *pg, const int64_t *server_ids, size_t count, struct err *e)
    __attribute__((warn_unused_result));
int memberships_answer(struct pg *pg, const struct cached_reply *answers, size_t count,
                       struct err *e) __attribute__((warn_unused_result));
/* "server.leave" and "server.join" {"memberships":n}; "command.done" or "command.refused"
 * {"command","action", "answer"} in the name of whoever gave the command. */
int memberships_audit(struct pg *pg, const struct memberships_summary *summary,
                      const struct cached_reply *answers, size_t answer_count, struct err *e)
    __attribute__((warn_unused_result));

#endif

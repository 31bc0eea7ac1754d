/* joining.h - what an agent tells of itself, on its way into the database: scopes, labels, version.
 *
 * An agent names all scopes that it reads in every digest. Those that its enrolment allows become
 * memberships, and those that it no longer names stop being some: the writer (store/joins.h) makes
 * that durable, and only then the roster and the core hear of it.
 */
#ifndef COORDINATOR_LINK_JOINING_H
#define COORDINATOR_LINK_JOINING_H

#include "coordinator/link/edges.h"

/* HELLO: kept until the database has it, however many tellings a busy writer leaves out. */
void joining_note(struct roster_server *s, const struct wire_hello *hello);
/* HELLO and PONG. */
void joining_hear(struct edges *e, struct roster_server *s, const struct wire_digest *digests,
                  unsigned count);
/* The scope that a digest speaks of; names only. */
struct roster_scope joining_named(const struct wire_digest *digest);

#endif

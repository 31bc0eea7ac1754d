/* mark.h - which folders this agent made among those of others: told by a seal that only it can set.
 *
 * In a folder that others may write, a name says nothing of who made what has it, and neither does
 * an attribute: whoever may write in a folder of root's may set user.* on it. So a folder that the
 * agent makes there carries a seal: an HMAC over what that inode is (file system, number, time of
 * birth) under a key in STATE_DIR/mark.key, of no use on any other folder. What a crash leaves
 * without one is an empty folder: the seal comes before anything in it.
 */
#ifndef AGENT_DISK_MARK_H
#define AGENT_DISK_MARK_H

#include <stdbool.h>

#include "common/err.h"

/* The key, made on first use; until then and in other programs it is one of this process. Before
 * there are threads. */
int mark_open(const char *state_dir, struct err *e) __attribute__((warn_unused_result));

/* Of a folder that is open. A file system without attributes has no marks: nothing is set there,
 * and none is found. */
void mark_set(int folder);
void mark_clear(int folder);
bool mark_is_set(int folder);
/* There are marks on its file system. */
bool mark_works(int folder);

#endif

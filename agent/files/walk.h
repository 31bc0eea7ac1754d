/* walk.h - the way to a destination's folder, part by part, by descriptor, links judged one by one.
 *
 * Used by place.c, whose header says why.
 */
#ifndef AGENT_FILES_WALK_H
#define AGENT_FILES_WALK_H

#include "agent/files/place.h"

/* Everything of *out; its fd is a folder that can be read and synced. */
int walk_to(const char *path, struct place *out, struct err *e)
    __attribute__((warn_unused_result));

#endif

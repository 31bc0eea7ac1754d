/* cgroup.h - a cgroup of its own for a command, by which the kernel ends all that it started.
 *
 * cgroup v2, cgroup.kill (Linux 5.14): nothing that was forked escapes, whatever session or
 * parent it took. It needs a folder of the cgroup tree that this process may write: as root
 * where the tree is writable, else what was delegated to it (Delegate=yes of its unit).
 * Elsewhere the supervisor of a command does alone (agent/process/supervise.h). No controller
 * is switched on. For one thread.
 */
#ifndef AGENT_PROCESS_CGROUP_H
#define AGENT_PROCESS_CGROUP_H

#include <limits.h>
#include <stdbool.h>

struct cgroup {
    char path[PATH_MAX]; /* "": there is none */
    int procs_fd, kill_fd;
    struct cgroup *next; /* of those in use */
};

/* False: commands have none here; *out can be closed all the same. Until then it stays where it
 * is in memory: it is in a list of those whose folders are not swept, however empty they are. */
bool cgroup_open(struct cgroup *out);
/* The folder goes when nothing runs in it; what still does is not touched. */
void cgroup_close(struct cgroup *g);

/* After fork: the calling process, and all it will start, belong to it. */
void cgroup_enter(const struct cgroup *g);
/* Ends all of it at once. */
void cgroup_kill(const struct cgroup *g);

/* Is one to be had here? For the log. */
bool cgroup_is_there(void);

#endif

/* supervise.h - the process above a command: it hears of all that the command started, and ends it.
 *
 * The agent forks it, and it forks the shell of the command. It is the subreaper (prctl(2)) of that
 * shell: whatever the command starts, in whatever session, has it as an ancestor as long as it
 * lives, so that it can end the whole tree. It has no other work, and it ends as the shell ended.
 *
 * SIGTERM  the time is over: the command is asked to end, and all of it is ended with it
 * SIGUSR1  all of it is ended now
 * SIGHUP   from the kernel, when the agent died: likewise
 *
 * A command that ends in time is done: what it left running belongs to nobody then.
 */
#ifndef AGENT_PROCESS_SUPERVISE_H
#define AGENT_PROCESS_SUPERVISE_H

#include <sys/types.h>

#include "agent/disk/user.h"
#include "agent/process/cgroup.h"

struct supervise_plan {
    const char *text; /* for /bin/sh -c */
    const char **env; /* all of it */
    const struct user *user; /* NULL: nobody else */
    const struct cgroup *cgroup;
    int output; /* standard output and error */
    pid_t parent;
};

/* In a child of the agent after fork. */
_Noreturn void supervise_run(const struct supervise_plan *plan);

#endif

/* front.h - what the loop shows to its server: local HTTP and a file of metrics, told every second.
 *
 * And after each save, so that nobody is told of what is over. Neither is what the agent lives for:
 * what cannot be opened is said in the log, and it runs on.
 */
#ifndef AGENT_FRONT_H
#define AGENT_FRONT_H

#include "agent/tasks/agent.h"

struct front {
    struct local *local; /* NULL: it does not listen */
    const struct agent_settings *settings; /* that it follows */
    int64_t told_ms, written_ms;
    uint64_t told_saves; /* what was told last was true after so many saves */
    bool was_welcomed;
    bool is_write_failing;
};

void front_open(struct front *f, const struct agent *a);
/* `a` has newer settings; those of before are still there. */
void front_follow(struct front *f, const struct agent *a);
void front_step(struct front *f, struct agent *a, int64_t now_ms);
/* Readable when somebody asks for what only the agent has; -1: nobody can. */
int front_fd(const struct front *f);
void front_close(struct front *f);

#endif

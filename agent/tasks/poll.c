/* poll.c - the agent asks now and then whether something was said that it did not hear. */
#include "agent/tasks/poll.h"

#include "agent/tasks/say.h"

static bool is_at_work(const struct agent *a)
{
    for (unsigned i = 0; i < a->participant.task_count; i++)
        if (a->participant.tasks[i].state != TASK_FREE)
            return true;
    return false;
}

void poll_step(struct agent *a, int64_t now_ms)
{
    uint64_t due = 0;

    if (!a->session.is_welcomed || is_at_work(a))
        return;
    for (unsigned i = 0; i < a->settings->scope_count; i++) {
        int64_t interval_ms = agent_scope(a, i)->poll_ms;

        if (!interval_ms || now_ms < a->poll_ms[i])
            continue;
        if (a->poll_ms[i]) /* the first one is only planned: HELLO said it all */
            due |= UINT64_C(1) << i;
        a->poll_ms[i] =
            now_ms + interval_ms / 2 + (int64_t)(agent_chance() % (uint64_t)interval_ms);
    }
    if (due)
        say_poll(a, due);
}

/* work.c - what runs for a task, and what there is to tell about it. */
#include "agent/tasks/work.h"

void story_step(struct story *s, enum wire_step step, int64_t took_ms)
{
    uint32_t took = took_ms < 0 ? 0 : took_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ms;

    for (uint16_t i = 0; i < s->step_count; i++)
        if (s->steps[i].step == step) {
            s->steps[i].took_ms += took;
            return;
        }
    if (s->step_count < WIRE_STEPS_MAX)
        s->steps[s->step_count++] = (struct wire_step_time){ step, took };
}

void work_stop(struct work *w)
{
    w->phase = WORK_IDLE;
    fetch_end(&w->fetch);
    secret_fetch_end(&w->secret_fetch);
    command_free(w->command);
    w->command = NULL;
}

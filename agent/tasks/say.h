/* say.h - what the agent says: digests, acknowledgements, questions. */
#ifndef AGENT_TASKS_SAY_H
#define AGENT_TASKS_SAY_H

#include "agent/tasks/agent.h"

void say_hello(struct agent *a);
void say_pong(struct agent *a, const struct wire_ping *ping);
void say_status(struct agent *a, uint64_t attempt);
void say_fetch(struct agent *a, const struct wire_fetch *fetch);
void say_ask(struct agent *a, const struct wire_ask *ask);
void say_secrets_kept(struct agent *a, const struct wire_digests *kept);
void say_check(struct agent *a, unsigned scope);
void say_drift(struct agent *a, unsigned scope); /* lost when nobody is there */
/* The digests of these scopes: whatever is owed for them is wanted now. */
void say_poll(struct agent *a, uint64_t scopes);
/* An envelope older than the newest leadership seen; the newest decision obeyed is the evidence. */
void say_stale(struct agent *a);
void say_bye(struct agent *a);

/* The acknowledgement of an effect that has a word, into a->out; its size. */
size_t say_encode_ack(struct agent *a, const struct participant_effect *effect,
                      uint64_t outbox_id);
/* PARTICIPANT_SAY: the kept answer when there is one, else a fresh one that is not kept. */
void say_again(struct agent *a, const struct participant_effect *effect);
/* REFUSED for a PREPARE that names no scope of this agent. */
void say_not_mine(struct agent *a, const struct wire_prepare *prepare);
void say_outbox(struct agent *a);

#endif

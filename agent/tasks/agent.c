/* agent.c - what the rooms of the loop share: the agent's state, its queue of ended work, sending. */
#include "agent/tasks/agent.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/document/document.h"

uint64_t agent_chance(void)
{
    uint64_t bits;

    MUST(getrandom(&bits, sizeof(bits), 0) == (ssize_t)sizeof(bits));
    return bits;
}

void agent_post(struct agent *a, enum participant_event_type type, unsigned task, bool is_ok)
{
    unsigned at = (a->queue_from + a->queue_count) % AGENT_QUEUE_MAX;

    MUST(a->queue_count < AGENT_QUEUE_MAX);
    a->queue[at] = (struct participant_event){ .type = type, .task = task, .is_ok = is_ok };
    a->queue_count++;
}

bool agent_next_posted(struct agent *a, struct participant_event *out)
{
    if (!a->queue_count)
        return false;
    *out = a->queue[a->queue_from];
    a->queue_from = (a->queue_from + 1) % AGENT_QUEUE_MAX;
    a->queue_count--;
    return true;
}

void agent_forget_posted(struct agent *a, unsigned task)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < a->queue_count; i++) {
        struct participant_event ev = a->queue[(a->queue_from + i) % AGENT_QUEUE_MAX];

        if (ev.task == task && ev.type != PARTICIPANT_SAVED)
            continue;
        a->queue[(a->queue_from + kept++) % AGENT_QUEUE_MAX] = ev;
    }
    a->queue_count = kept;
}

void agent_send(struct agent *a, enum wire_type type, const void *body, size_t size)
{
    const struct agent_facts *facts = cache_facts(a->cache);
    struct wire_envelope envelope = { .version = WIRE_VERSION, .type = type, .gen = facts->gen,
                                      .epoch = facts->epoch, .message_id = ++a->session.message_id,
                                      .session = a->session.id };

    memcpy(envelope.cluster_id, facts->cluster_id, sizeof(envelope.cluster_id));
    if (dealer_state(a->dealer) == DEALER_OPEN)
        (void)dealer_send(a->dealer, &envelope, body, size); /* what is lost is repeated */
}

void agent_send_out(struct agent *a, enum wire_type type, size_t size)
{
    MUST(size > 0);
    agent_send(a, type, a->out, size);
}

const struct agent_scope *agent_scope(const struct agent *a, unsigned scope)
{
    MUST(scope < a->settings->scope_count);
    return a->settings->scopes[scope];
}

unsigned agent_task_of(const struct agent *a, const struct work *w)
{
    return (unsigned)(w - a->works);
}

struct story *agent_story(struct agent *a, unsigned task)
{
    const struct task *t = &a->participant.tasks[task];
    struct story *s = &a->works[task].story;

    if (s->gen != t->gen || s->number != t->number)
        *s = (struct story){ .gen = t->gen, .number = t->number };
    return s;
}

int agent_document(struct agent *a, const struct content *content, struct document **out,
                   struct err *e)
{
    SCOPED_BUFFER struct buffer bytes = { 0 };

    *out = NULL;
    if (hash_is_zero(&content->hash))
        return 0;
    if (cache_get_document(a->cache, &content->hash, &bytes, e))
        return -1;
    return document_decode(bytes.data, bytes.size, out, e);
}

struct render_source agent_source(const struct agent *a, unsigned scope,
                                  const struct document *document, const struct hash *hash)
{
    return (struct render_source){ .scope = agent_scope(a, scope), .document = document,
                                   .hash = *hash };
}

static unsigned add_worked_on(const struct agent *a, unsigned scope, struct hash *out)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++)
        for (unsigned k = 0; k < a->works[i].target_count; k++)
            if (a->works[i].phase != WORK_IDLE && a->works[i].targets[k].scope == scope)
                out[count++] = a->works[i].targets[k].content.hash;
    return count;
}

unsigned agent_kept(const struct agent *a, unsigned scope, struct hash out[AGENT_KEPT_MAX])
{
    const struct promise *p = &a->durable[scope];
    unsigned count = add_worked_on(a, scope, out);

    if (p->slot_attempt)
        out[count++] = p->slot.hash;
    if (count == 0 && p->outcome != OUTCOME_APPLYING && p->is_finalized)
        return 0;
    out[count++] = p->active.hash;
    out[count++] = p->lkg.hash;
    out[count++] = (struct hash){ { 0 } };
    return count;
}

int agent_command(const struct agent_scope *scope, const struct content *content,
                  const char *text, const char *staged, int64_t limit_ms, struct command **out,
                  struct err *e)
{
    char name[SCOPE_BUFFER + 32], revision[64], hash[HASH_HEX_SIZE + 32], folder[PATH_MAX + 32];
    const char *env[] = { name, revision, hash, staged ? folder : NULL, NULL };
    char hex[HASH_HEX_SIZE];

    hash_to_hex(&content->hash, hex);
    snprintf(name, sizeof(name), "LOCKSTEP_SCOPE=%s", scope->name);
    snprintf(revision, sizeof(revision), "LOCKSTEP_REVISION=%llu",
             (unsigned long long)content->revision);
    snprintf(hash, sizeof(hash), "LOCKSTEP_HASH=%s", hex);
    if (staged)
        snprintf(folder, sizeof(folder), "LOCKSTEP_STAGED=%s", staged);
    return command_start(&(struct command_order){ .text = text, .said = env,
                                                  .named = &scope->environment_words,
                                                  .user = scope->run_as, .limit_ms = limit_ms },
                         clock_monotonic_ms(), out, e);
}

/* participant.h - what one agent has promised, per scope, and its one step. Pure.
 *
 * Promise first on disk, then in words (PROTOCOL sections 2, 4 and 6). The participant decides
 * whether to prepare, obey, revert or ignore; it touches nothing. The loop turns messages and ended
 * work into events, and effects into LMDB transactions, files, commands and messages.
 *
 * Contents (documents) are known here by revision and hash only; a zero hash is revision 0, no
 * configuration, and is always at hand. Texts (reasons, command output) stay outside: the loop
 * keeps them per task and puts them into the acknowledgement it writes to the outbox.
 *
 * What the loop owes: saves are durable in the order they were asked for, and every SAVE is
 * answered by SAVED; a task's STAGE or APPLY is answered once, unless a CANCEL came; messages of a
 * leader older than the newest (gen, epoch) seen never get here, and that pair is as durable as the
 * newest promise (an ANSWER "unknown" of an old leader would break it).
 *
 * A promise ends only by a newer PREPARE, a decision above its attempt, ABORT or ANSWERED unknown:
 * never by time. A decision about some scopes of a task at work takes those scopes out of it: the
 * older work is cancelled and begins again for the scopes that are left, as the same decision.
 */
#ifndef AGENT_CORE_PARTICIPANT_H
#define AGENT_CORE_PARTICIPANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/promise.h"
#include "common/invariant.h"

#define PARTICIPANT_SCOPES_MAX 64 /* scope sets are uint64_t masks */
#define PARTICIPANT_TASKS_MAX 64
#define PARTICIPANT_STARTS_MAX 2 /* failed starts in APPLYING before it reverts by itself */

/* One scope of a PREPARE or a decision. */
struct target {
    unsigned scope; /* index of the participant's scope */
    struct content content;
    struct content base; /* PREPARE only */
};

#define PARTICIPANT_EVENTS(X)                                                                      \
    X(STARTED)   /* the program started; promises are loaded */                                    \
    X(STOPPING)  /* the program stops on purpose: this start does not count as failed */           \
    X(TICKED)    /* time went by; at least every 100 ms */                                         \
    X(CONNECTED) /* WELCOME came: say what is owed */                                              \
    X(PREPARE)   /* number: attempt; targets; dseq with is_eventual */                             \
    X(ORDER)     /* order, gen, number: dseq; attempt; targets */                                  \
    X(ABORT)     /* number: attempt */                                                             \
    X(ANSWERED)  /* number: attempt; is_known: pending or decided; else aborted or unknown */      \
    X(STAGED)    /* task: contents fetched, verified, validated, rendered aside; is_ok */          \
    X(SAVED)     /* task: the transaction of its last SAVE is durable */                           \
    X(APPLIED)   /* task: the apply (or revert) ended; is_ok */
enum participant_event_type {
#define X(name) PARTICIPANT_##name,
    PARTICIPANT_EVENTS(X)
#undef X
        PARTICIPANT_EVENT_COUNT
};
const char *participant_event_name(enum participant_event_type type);

struct participant_event {
    enum participant_event_type type;
    int64_t now_ms;
    uint64_t chance; /* random bits, for jitter */
    uint32_t gen;
    uint64_t number;
    enum order_kind order;
    uint64_t attempt;
    bool is_eventual;
    uint64_t dseq; /* PREPARE with is_eventual: the decision inside */
    uint32_t isolation_ms; /* PREPARE: see promise.h */
    int64_t silent_ms;     /* TICKED: since a coordinator was last heard */
    const struct target *targets;
    unsigned target_count;
    unsigned task;
    bool is_ok;
    bool is_known;
};

/* The acknowledgements an agent gives. */
enum ack_word {
    ACK_WORD_READY,
    ACK_WORD_REFUSED,
    ACK_WORD_APPLIED,
    ACK_WORD_FAILED,
    ACK_WORD_ABORTED,
    ACK_WORD_ROLLED_BACK,
    ACK_WORD_FINALIZED,
};

/* STAGE   get the contents of `targets` (fetch what is not at hand), verify hashes, run validate,
 *         render beside the destination. Answer: STAGED(task, is_ok). is_forced: a decision is
 *         behind it (FINALIZE, ROLLBACK); validate runs all the same.
 * SAVE    one durable transaction: the promises of `scopes`, and with `has_ack` an outbox entry
 *         of `word` and `number` with the next durable outbox id. Answer: SAVED(task). A save that
 *         fails ends the program (restart, verify, HELLO).
 *         An outbox entry is sent once it is durable, and again until its receipt.
 * SAY     send an acknowledgement that is not kept: a repeated answer, or REFUSED base / ABORTED.
 * APPLY   bring files and programs to promise.active of `scopes`, all of them. Answer:
 *         APPLIED(task, is_ok). is_revert: the content is the last known good after a failure.
 * CANCEL  end the task's running STAGE or APPLY and forget its answer; no event follows for it. The
 *         same task may be told to STAGE or APPLY anew right after.
 * DIGEST  send the digest of all scopes as durable (a PONG unasked, not a HELLO: that would be
 *         answered by the PREPARE that did not fit); something does not fit.
 * ASK     send STATUS for attempt `number`. */
enum participant_effect_type {
    PARTICIPANT_STAGE,
    PARTICIPANT_SAVE,
    PARTICIPANT_SAY,
    PARTICIPANT_APPLY,
    PARTICIPANT_CANCEL,
    PARTICIPANT_DIGEST,
    PARTICIPANT_ASK,
};

/* Why a refusal is said by the core itself (others come from the edge with STAGED). */
enum refusal { REFUSAL_NONE, REFUSAL_BASE, REFUSAL_STAGING, REFUSAL_BUSY };

struct participant_effect {
    enum participant_effect_type type;
    unsigned task;
    uint32_t gen;    /* with a word: of the decision; 0 for an attempt */
    uint64_t number; /* with a word: attempt of READY, REFUSED, ABORTED; dseq of the others */
    uint64_t scopes; /* mask */
    bool is_revert, is_forced, has_ack;
    bool is_broken; /* word FAILED: and the revert failed too */
    bool is_cut_off; /* word FAILED: it was applied, then no coordinator was heard for too long */
    enum ack_word word;
    enum refusal refusal;
    const struct target *targets; /* lent until the next step */
    unsigned target_count;
};

#define PARTICIPANT_EFFECTS_MAX 512

struct participant_effects {
    size_t count;
    struct participant_effect items[PARTICIPANT_EFFECTS_MAX];
};

/* What a task is doing. One task per PREPARE or decision at work; scopes of tasks that apply are
 * disjoint.
 *
 * STAGING    waits for STAGED.
 * PROMISING  A1 is being saved.
 * SWITCHING  A2 is being saved, or the pointer's way back to the last known good.
 * APPLYING   waits for APPLIED.
 * REVERTING  waits for APPLIED of the last known good.
 * CLOSING    A3, a refusal or the end of a slot is being saved.
 * ABORTING   the end of a slot is being saved; ABORTED is said after it.
 * LEAVING    overtaken by a newer decision while a save was on its way. */
#define TASK_STATES(X)                                                                             \
    X(FREE)                                                                                        \
    X(STAGING) X(PROMISING) X(SWITCHING) X(APPLYING) X(REVERTING) X(CLOSING) X(ABORTING)           \
        X(LEAVING)
enum task_state {
#define X(name) TASK_##name,
    TASK_STATES(X)
#undef X
        TASK_STATE_COUNT
};
const char *task_state_name(enum task_state state);

struct task {
    enum task_state state;
    enum order_kind order; /* ORDER_NONE: a PREPARE */
    uint32_t gen;
    uint64_t number;  /* attempt of a PREPARE, dseq of a decision */
    uint64_t attempt; /* behind an ACTIVATE */
    bool is_eventual;
    uint64_t dseq; /* PREPARE with a decision inside */
    uint32_t isolation_ms; /* PREPARE */
    bool is_cut_off;       /* goes back because no coordinator was heard */
    uint64_t scopes;
    unsigned target_count;
    struct target targets[PARTICIPANT_SCOPES_MAX];
};

#define PARTICIPANT_CLOSED_MAX 8

/* Attempts aborted before their PREPARE came: late on this connection, it opens none of them. */
struct participant_closed {
    uint64_t attempts[PARTICIPANT_CLOSED_MAX];
    unsigned next;
};

struct participant {
    unsigned scope_count;
    struct promise promises[PARTICIPANT_SCOPES_MAX]; /* as durable, or with a SAVE on its way */
    struct task tasks[PARTICIPANT_TASKS_MAX];
    unsigned task_count; /* none is at work from here on */
    bool is_started;
    struct participant_closed closed_before;
    int64_t ask_ms,
        ask_wait_ms; /* STATUS for slots in doubt: every second, doubling to 60 s, ±50 % */
};

/* Loaded promises are copied; STARTED is the first event. */
void participant_init(struct participant *p, unsigned scope_count, const struct promise *loaded);
/* The connection of an earlier participant goes on with this one. */
void participant_carry(struct participant *p, const struct participant_closed *closed);

/* One event. Returns why the rule that fired does what it does, or NULL: nothing to do. Adds to
 * `out`, which the caller empties. */
const char *participant_step(struct participant *p, const struct participant_event *ev,
                             struct participant_effects *out);

/* The scope's record: as durable, or as a save on its way will make it. */
const struct promise *participant_promise(const struct participant *p, unsigned scope);

/* The table of rules, for `make fsm`, the golden matrix and the simulator's coverage: first match
 * wins. `in` is "-" for messages, which no task need be there for. False: no such row. */
struct participant_rule_view {
    const char *in, *on, *guard, *to, *because;
};
bool participant_rule(unsigned index, struct participant_rule_view *out);

#endif

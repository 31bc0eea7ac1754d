/* writer.h - the thread that makes things durable: fenced transactions, first in first out.
 *
 * The loop submits requests and gets results back in the same order; nothing is shared. Saves
 * (C1, C3, C4, moves) are one transaction each. Acknowledgements gather while a transaction
 * commits and are written together with unnest arrays, one transaction per gathering. Every
 * transaction starts with the fence and ends with its audit row.
 *
 * What passes is waited out: a lock or statement time-out, a deadlock, a dead connection, a COMMIT
 * without an answer. The same transaction is tried again for as long as the leadership lasts; the
 * leader's log (fence.h) tells whether an earlier try did commit. Acknowledgements and joins that
 * the database refuses are left out, each by itself. After a refused save, and when the fence is
 * lost, the writer reports WRITER_FAILED once, drops everything after it unsaid (results for them
 * never come) and waits for the next writer_lead: the leader's picture of that rollout is wrong, so
 * the next one reads the truth. What is refused once more then stops its own rollout and nobody
 * else: it is paused with the reason, or ended when it is paused or going back already. An end that
 * is refused is tried without a way back; refused again, its rollout is left out (WRITER_ENDED).
 */
#ifndef COORDINATOR_STORE_LEADER_WRITER_H
#define COORDINATOR_STORE_LEADER_WRITER_H

#include "common/wire/wire.h"
#include "coordinator/core/leader.h"
#include "coordinator/store/leader/clones.h"
#include "coordinator/store/leader/condition.h"
#include "coordinator/store/leader/load.h"

struct writer;

/* One acknowledgement on its way into the database. */
struct held_record {
    int64_t scope_id;
    uint64_t revision;
    struct hash hash;
};
struct ack_record {
    struct ack ack;       /* given back unchanged */
    int64_t server_id;
    uint64_t outbox_id;   /* 0: no receipt wanted */
    uint64_t session;     /* it was said in: the receipt belongs there and nowhere else */
    uint8_t reason, step; /* enum wire_reason, enum wire_step */
    char *text;           /* malloc'ed, NULL: none; the writer frees it */
    char steps[160];      /* "files=3ms reload=12ms", "" none; room for all steps */
    uint32_t held_first, held_count; /* in the batch's held array */
    bool is_recorded;     /* given back: the database knows it (C2), so that it may be counted */
    bool is_foreign;      /* given back: its number is known, and was never meant for this server */
    bool is_ahead;        /* given back: no such number was issued yet; it gets no receipt */
};
struct ack_batch {
    size_t count, capacity;
    struct ack_record *records;
    size_t held_count, held_capacity;
    struct held_record *held;
};
struct ack_batch *ack_batch_new(void);
void ack_batch_free(struct ack_batch *b);
/* Adds one; held is copied; record->text is taken. */
void ack_batch_add(struct ack_batch *b, const struct ack_record *record,
                   const struct held_record *held, uint32_t held_count);

/* A save with the core's sets as database ids. Sets are malloc'ed and taken. */
struct save_request {
    struct save save;       /* its set pointers are ignored */
    int64_t *cohort;        /* ATTEMPT: members that are new to the rollout or asked again */
    size_t cohort_count;
    int64_t *silent;
    size_t silent_count;
    char *cause;    /* what save.because points to, when it is not static; malloc'ed and taken */
    int64_t *unfit; /* ATTEMPT: of the cohort */
    size_t unfit_count;
};

/* A rollout that cannot be read, or that the database refuses to move: it ends where it stands.
 * What was activated somewhere is rolled back (the decision stays owed), nothing else is promised.
 */
struct end_request {
    int64_t rollout_id;
    int64_t command; /* that asked for it, answered in the same transaction; 0: none */
    char why[320];
};

/* What a server told of itself: labels, the agent's version, the scopes it reads that its enrolment
 * allows, and those that it no longer reads. A scope that nobody wrote yet gets its row here (head
 * 0), so that its servers are known before its first write. */
struct join_scope {
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    /* What the server obeyed there before, as its digest says; 0: nothing that is over by now. The
     * new row begins with it when a decision about the scope bears it out: its acknowledgement may
     * have been receipted long ago, and would not be said again. */
    int64_t obeyed, revision;
    struct hash hash;
    const char *outcome; /* static: "ok", "failed", "broken" */
    bool is_recorded; /* said by the writer: it is a membership now, as others may have made it */
};
struct join_request {
    int64_t server_id;
    char *labels, *version; /* malloc'ed, taken; NULL: unchanged */
    size_t scope_count;
    struct join_scope *scopes; /* malloc'ed, taken */
    size_t left_count;
    int64_t *left; /* scope ids, malloc'ed, taken: these memberships end */
};

enum writer_result_kind {
    WRITER_SAVED,  /* save, number, dseq, body: of the request */
    WRITER_ACKS,   /* acks: all of them are recorded (or obsolete); receipts may go out */
    WRITER_JOINED, /* join: what is left of it was tried; each scope says whether it is recorded */
    WRITER_ENDED,  /* rollout_id: ended as it stood, or to be left out */
    WRITER_FAILED, /* reason; ERR_FENCED when a newer leader is there */
};
struct writer_result {
    enum writer_result_kind kind;
    uint64_t epoch;          /* of the leadership that asked: results of an old one are ignored */
    struct save save;        /* SAVED: as requested, sets NULL */
    bool is_at_commit;       /* SAVED: its try came as far as COMMIT, and may have committed */
    uint64_t number;         /* SAVED of ATTEMPT: the attempt's number */
    uint64_t dseq;           /* SAVED of DECISION and of an eventual ATTEMPT */
    uint8_t *body;           /* with dseq: the stored bytes, malloc'ed */
    size_t body_size;
    struct change_row changes[ROLLOUT_SCOPES_MAX]; /* SAVED of ATTEMPT: the fixed base and target */
    size_t change_count;
    struct ack_batch *acks;  /* ACKS: the batch as submitted */
    struct join_request *join;
    int64_t rollout_id; /* ENDED */
    bool is_left_out;   /* ENDED: the database refuses every end; nobody can lead it */
    struct err reason;
};
void writer_result_free(struct writer_result *r);

struct lease;
/* lease: told the backend pid of every connection the writer opens. */
struct writer *writer_start(const char *conninfo, struct lease *lease);
void writer_stop(struct writer *w); /* what was submitted and not begun is dropped */
int writer_fd(const struct writer *w); /* readable when writer_next has something */
struct writer_result *writer_next(struct writer *w); /* NULL: nothing now */

/* A new leadership: forget what is queued, write with this fence from now on. */
void writer_lead(struct writer *w, uint32_t gen, uint64_t epoch);
/* The leadership is over: nothing is tried any more until the next one. */
void writer_rest(struct writer *w);
void writer_save(struct writer *w, struct save_request **request);
void writer_end(struct writer *w, const struct end_request *request);
void writer_acks(struct writer *w, struct ack_batch **batch);
void writer_join(struct writer *w, struct join_request **request);
/* Answer a command that needs no change: state 'done' (answer "repeated") or 'refused' (what is
 * allowed, comma-separated; then perhaps ";" and the limit that is reached). No result comes. */
void writer_answer(struct writer *w, int64_t command_id, bool is_done, const char *answer);
/* A server is not as it should be, or is again (condition.h): note without its text, which is
 * copied. No result. */
void writer_condition(struct writer *w, const struct condition_note *note, const char *text,
                      size_t size);
/* Two machines answer with one key, or no longer. No result. */
void writer_clone(struct writer *w, const struct clone_note *note);
/* last_seen of these servers is now; ids taken. No result comes. */
void writer_seen(struct writer *w, int64_t **server_ids, size_t count);
void writer_seen_one(struct writer *w, int64_t server_id);

#endif

/* world.h - a whole fleet in one process: coordinators, servers, network, faults, and the judge.
 *
 * Nothing is allocated while a schedule runs; a world is a static piece of memory that is wiped
 * between schedules. Chance comes from the seed alone, so that a seed replays its schedule.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "agent/core/participant.h"
#include "tests/sim/database.h"

#define COORDINATORS_MAX 3
#define EVENTS_MAX 8192
#define MESSAGES_MAX 4096
#define QUEUE_MAX 64
#define ORPHANS_MAX 8
#define OUTBOX_MAX 48
#define DEEDS_MAX 1024 /* outcomes of one server: what fails is tried again and again */
#define SAVES_MAX 32
#define LEADER_WORDS 32768
#define HEARTBEAT_MS 1000
#define COORDINATOR_TICK_MS 250
#define GRACE_MS 4000
#define LEASE_MS 3000
#define DUTIES_MAX 96
/* A FINALIZE of each scope, and what the largest rollout may claim: three scopes, three stages. */
#define SMALLEST_TABLE (SCOPES_MAX + SCOPES_MAX * (3 + 1))
#define FOREVER_MS (400 * 1000)
#define BIT(i) (UINT64_C(1) << (i))

enum message_type {
    MESSAGE_HELLO,
    MESSAGE_WELCOME,
    MESSAGE_REJECT,
    MESSAGE_PREPARE,
    MESSAGE_DECISION,
    MESSAGE_ABORT,
    MESSAGE_ACK,
    MESSAGE_RECEIPT,
    MESSAGE_STATUS,
    MESSAGE_ANSWER,
    MESSAGE_PING,
    MESSAGE_PONG,
    MESSAGE_POLL,
    MESSAGE_STALE,
};

struct digest_row {
    uint64_t obeyed, slot;
    bool is_over; /* the outcome of what it obeyed is durable */
    bool is_check_failing, is_failed;
};

struct message {
    enum message_type type;
    uint8_t from, to; /* coordinator and server, by direction */
    bool is_to_server;
    unsigned incarnation; /* of the server at that moment */
    uint64_t epoch, session, boot;
    uint64_t number, attempt, dseq, outbox;
    enum order_kind order;
    enum ack_word word;
    enum refusal refusal;
    enum attempt_fate fate;
    bool is_eventual, is_broken;
    uint32_t isolation_ms;
    uint8_t target_count, scopes;
    uint8_t read; /* what its server read at that moment, for the judge */
    struct target_row targets[SCOPES_MAX];
    struct digest_row digests[SCOPES_MAX];
};

enum event_kind {
    EVENT_ARRIVES,
    EVENT_TICK_COORDINATOR,
    EVENT_TICK_SERVER,
    EVENT_LEASE,
    EVENT_COMMIT,
    EVENT_RESULT,
    EVENT_ORPHAN,
    EVENT_CHOSEN,
    EVENT_DISK,
    EVENT_STAGED,
    EVENT_APPLIED,
    EVENT_START_COORDINATOR,
    EVENT_START_SERVER,
    EVENT_FAULT,
    EVENT_OPERATOR,
    EVENT_LOOK,
    EVENT_HOSTILE,
    EVENT_COMINGS,
};

struct event {
    int64_t at_ms;
    uint32_t order;
    uint8_t kind, who;
    unsigned life;
    uint32_t index; /* message, queue place, task, orphan */
    uint64_t number;
};

struct frame {
    uint64_t number; /* attempt or dseq */
    struct message body;
};

struct coordinator {
    bool is_up, is_leading;
    int64_t led_ms;            /* since when */
    unsigned life, leadership; /* grows with each leadership */
    uint64_t epoch;
    struct leader *leader;
    uint64_t memory[LEADER_WORDS];
    struct request queue[QUEUE_MAX];
    unsigned queue_head, queue_tail; /* head: next to be committed */
    unsigned result_count; /* of the queue: answered */
    bool is_writing;
    int64_t result_ms; /* of the newest result: they come in the order of the writing */
    int64_t cut_until;    /* the database does not answer before */
    int64_t frozen_until; /* stopped in the middle of everything (SIGSTOP) */
    unsigned note_count;
    struct ack_note notes[BATCH_MAX];
    uint64_t sessions[SERVERS_MAX], boots[SERVERS_MAX];
    unsigned frame_count;
    struct frame frames[ATTEMPTS_MAX + DECISIONS_MAX];
    struct digest_row heard[SERVERS_MAX][SCOPES_MAX]; /* in this leadership, as they came */
    uint64_t readers[SCOPES_MAX]; /* servers that its leader knows as members */
    uint64_t offered[COMMANDS_MAX / 64 + 1]; /* commands taken */
    uint64_t known_rollouts;
    int64_t ping_ms;
};

struct outbox_entry {
    uint64_t id, number;
    uint32_t gen;
    enum ack_word word;
    bool is_broken;
    uint64_t scopes;
};

struct disk {
    struct promise promises[SCOPES_MAX];
    unsigned outbox_count;
    struct outbox_entry outbox[OUTBOX_MAX];
    uint64_t next_outbox, seen_epoch;
};

struct pending_save {
    unsigned task;
    uint64_t scopes;
    struct promise promises[SCOPES_MAX];
    bool has_ack;
    struct outbox_entry entry;
    uint64_t seen_epoch;
};

/* What durably happened on a server once, for the judge: it survives a re-imaging. */
struct deed {
    uint64_t number, scopes;
    enum ack_word word;
};

struct server {
    bool is_up, is_there; /* is_there: enrolled and installed by now */
    unsigned life, incarnation;
    uint64_t scopes; /* it reads these */
    struct participant participant;
    struct disk disk;
    struct pending_save saves[SAVES_MAX];
    unsigned save_head, save_tail;
    int64_t disk_free_ms;
    unsigned work[PARTICIPANT_TASKS_MAX]; /* grows with each STAGE, APPLY and CANCEL */
    uint64_t seen_epoch, session, boot;
    unsigned coordinator; /* the one it speaks to */
    bool is_welcome;
    int64_t heard_ms, next_hello_ms, next_outbox_ms;
    unsigned running[SCOPES_MAX]; /* content that programs run */
    uint64_t lost_below;          /* promises up to here went with the disk */
    uint64_t behind;              /* attempt it refused for its base, last */
    unsigned deed_count;
    struct deed deeds[DEEDS_MAX];
};

struct content_row {
    uint8_t bad_staging, bad_applying, bad_check; /* masks of servers */
};

struct faults {
    unsigned loss, repeat, delay_ms; /* per mille, per mille, at most */
    unsigned coordinator_crash_ms, server_crash_ms, cut_ms, part_ms, reimage, at_decision, at_save;
    unsigned flaky_apply; /* per mille, while faults last */
    unsigned flap_ms;     /* nobody leads for longer, and bakes are long: nothing else goes wrong */
    int64_t end_ms;
};

struct tally_row {
    uint64_t schedules, events, rollouts, by_phase[PHASE_COUNT], eventual, two_scopes, retries;
    uint64_t takeovers, crashes, reimages, fenced, conflicts, decisions;
    uint64_t rules[256];
};

/* What the judge keeps of the bake of a rollout. */
struct bake_note {
    int64_t from_ms; /* of the time in which somebody led */
    uint64_t led_count;
    bool was_paused;
};

struct world {
    uint64_t chance;
    int64_t now_ms;
    uint32_t order;
    bool is_traced, is_broken, is_quiet;
    struct faults faults;
    unsigned coordinator_count, server_count, content_count;
    struct database database;
    struct coordinator coordinators[COORDINATORS_MAX];
    struct server servers[SERVERS_MAX];
    struct content_row contents[CONTENTS_MAX];
    uint32_t duties_max[COORDINATORS_MAX]; /* they need not be set up alike */
    uint64_t next_session;
    int64_t parted_until[COORDINATORS_MAX][SERVERS_MAX]; /* nothing passes before */
    uint64_t told[ATTEMPTS_MAX][2]; /* servers told ACTIVATE, ABORT of the attempt row */
    uint8_t moved[ROLLOUTS_MAX][SERVERS_MAX]; /* scopes whose candidate a server obeyed */
    struct bake_note bakes[ROLLOUTS_MAX];
    int64_t unled_ms, unled_since; /* nobody led: in all, and since when (-1: somebody leads) */
    uint64_t led_count;
    uint64_t told_applied[ROLLOUTS_MAX][SERVERS_MAX], told_failed[ROLLOUTS_MAX][SERVERS_MAX];
    uint8_t told_back[ROLLOUTS_MAX][SERVERS_MAX]; /* scopes: went back, or had nothing to */
    uint8_t told_stuck[ROLLOUTS_MAX][SERVERS_MAX];
    struct {
        int64_t since_ms;
        unsigned count;
        uint64_t in_all;
    } chatter[SERVERS_MAX]; /* decisions sent to it in a second */
    uint64_t told_failing; /* servers that ever told of a failing check */
    unsigned event_count;
    struct event events[EVENTS_MAX];
    unsigned free_count;
    uint16_t free_messages[MESSAGES_MAX];
    struct message messages[MESSAGES_MAX];
    struct request orphans[ORPHANS_MAX];
    unsigned orphan_next;
    unsigned rollouts_wanted;
    unsigned hostile; /* the server that lies; SERVERS_MAX: none does */
    uint64_t hostile_chance, comings_chance;
    bool has_exclusions, has_settings, is_unattended; /* nobody asks servers to try again */
    uint64_t settings[SERVERS_MAX]; /* scopes that each server read at first */
    struct tally_row *tally;
    char verdict[256];
};

/* world.c: chance, time, the network, one schedule */
bool world_run(struct world *w, uint64_t seed, bool is_traced, struct tally_row *tally);
unsigned pick(struct world *w, unsigned bound); /* 0 … bound-1 */
bool happens(struct world *w, unsigned per_mille);
bool faults_last(const struct world *w);
void later(struct world *w, struct event e, int64_t delay_ms);
void post(struct world *w, const struct message *m);
void trace(const struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void violated(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct hash content_hash(unsigned content);
unsigned content_of(const struct hash *hash);

/* leading.c */
void coordinator_start(struct world *w, unsigned who);
void coordinator_crash(struct world *w, unsigned who);
void coordinator_step_down(struct world *w, unsigned who, const char *why);
void coordinator_lease(struct world *w, unsigned who);
/* coordinator.c */
void coordinator_receive(struct world *w, unsigned who, const struct message *m);
void coordinator_tick(struct world *w, unsigned who);
void coordinator_commit(struct world *w, unsigned who);
void coordinator_result(struct world *w, unsigned who, unsigned place);
void coordinator_chosen(struct world *w, unsigned who, uint64_t rollout);
void coordinator_revoked(struct world *w, unsigned server);
/* Somebody asks that the server tries again; the leaders of this moment hear of it. */
void coordinator_retried(struct world *w, unsigned server);
void coordinator_add_attempt(struct coordinator *c, const struct attempt_row *a);
void coordinator_add_decision(struct coordinator *c, const struct decision_row *d);
/* loading.c */
bool coordinator_was_promoted(const struct world *w, uint64_t rollout);
bool coordinator_load(struct world *w, unsigned who); /* false: what is open does not fit */
void coordinator_start_rollout(struct world *w, unsigned who, const struct rollout_row *r);
void coordinator_step(struct world *w, unsigned who, struct leader_event *ev);
struct effects *coordinator_effects(void);
void coordinator_perform(struct world *w, unsigned who, struct effects *out);

/* server.c */
void server_start(struct world *w, unsigned who);
void server_crash(struct world *w, unsigned who);
void server_renew(struct world *w, unsigned who, uint64_t scopes);
void server_reimage(struct world *w, unsigned who);
void server_receive(struct world *w, unsigned who, const struct message *m);
void server_tick(struct world *w, unsigned who);
void server_disk(struct world *w, unsigned who);
void server_staged(struct world *w, unsigned who, unsigned task, uint64_t work);
void server_applied(struct world *w, unsigned who, unsigned task, uint64_t work);

/* operator.c: people and misfortune */
void operator_prepare(struct world *w);
void operator_act(struct world *w);
void operator_clear_up(struct world *w);
void misfortune(struct world *w);

/* comings.c */
void comings_prepare(struct world *w, uint64_t seed);
void comings_act(struct world *w);

/* hostile.c */
void hostile_prepare(struct world *w, uint64_t seed);
void hostile_act(struct world *w);
uint64_t hostile_allowed(const struct world *w, unsigned server); /* scopes, by the enrolment */
/* What the shell asks before it joins or sends. */
uint64_t entitled(const struct world *w, unsigned server);
bool entitled_to(const struct world *w, unsigned server, const struct message *frame);
void judge_entitled(struct world *w, const struct message *m);
void judge_counted(struct world *w, unsigned who);

/* judge.c */
void judge_attempt(struct world *w, const struct rollout_row *r, const struct attempt_row *a,
                   enum phase was);
/* Failures of a stage but of those that may have been unfit before. */
unsigned judge_blamed(const struct rollout_row *r, unsigned stage);
unsigned judge_budget(const struct rollout_row *r, unsigned stage);
void judge_passed(struct world *w, const struct rollout_row *r);
/* The open stage, whose attempt ends as an abort because nobody was there. */
void judge_passed_over(struct world *w, const struct rollout_row *r);
void judge_outcome(struct world *w, struct attempt_row *a, enum attempt_outcome outcome);
void judge_decision(struct world *w, const struct rollout_row *r, const struct decision_row *d);
void judge_ack(struct world *w, const struct ack_note *note);
void judge_receipt(struct world *w, unsigned server, uint64_t outbox, unsigned incarnation);
void judge_sent(struct world *w, const struct message *m);
void judge_disk(struct world *w, unsigned server, const struct pending_save *s,
                const struct promise *before);
void judge_apply(struct world *w, unsigned server, uint64_t scopes);
void judge_tick(struct world *w, unsigned server, const struct promise *before);
bool judge_is_quiet(struct world *w, bool says_why);
void judge_open_rollouts(struct world *w);

/* ---- readers.c ---- */

/* The next revision of a scope; readers get it at once where writes are released by themselves. */
unsigned readers_write(struct world *w, unsigned scope);
void readers_settle(struct world *w, unsigned scope);
void readers_take_back(struct world *w, const struct rollout_row *r);
void readers_act(struct world *w);
void judge_duties(struct world *w, const struct leader *l);
/* A failure that somebody asked to be tried again and that should be over. */
bool judge_is_left_failed(struct world *w, unsigned server, unsigned scope);

/* judge_bake.c */
void judge_unled(struct world *w);
void judge_led(struct world *w);
void judge_bake(struct world *w, const struct rollout_row *before, const struct request *q);

/* judge_promise.c */
bool judge_excuses(const struct world *w, unsigned server, uint64_t number);
void judge_activate(struct world *w, const struct rollout_row *r, struct attempt_row *a,
                    uint64_t required);
void judge_unheld(struct world *w, unsigned server, const struct message *m);
void judge_joined(struct world *w, unsigned server, const struct message *m);

/* judge_rows.c */
void judge_told_outcome(struct world *w, const struct ack *a);
void judge_retried(struct world *w, unsigned who, unsigned server, uint64_t before);
void judge_told_back(struct world *w, const struct ack_note *n);
void judge_rows(struct world *w, unsigned who);

/* judge_leader.c */
void judge_heard(struct world *w, unsigned who, const struct message *m);
void judge_reads(struct world *w, unsigned who, unsigned server, unsigned scope, bool is_reading);
void judge_asked(struct world *w, unsigned who, const struct save *s);

/* coverage.c */
void coverage_report(struct world *w, const struct report *r);
void coverage_participant(struct world *w, enum participant_event_type on, const char *because);
unsigned coverage_print(const struct tally_row *tally);

#endif

/* writer_queue.h - what waits for the writer: in order, and as much at once as may go together.
 *
 * Saves and ends are alone. Between two saves the order of acknowledgements, joins, answers and
 * sightings does not matter: they are gathered while a transaction commits, up to a limit.
 */
#ifndef COORDINATOR_STORE_LEADER_WRITER_QUEUE_H
#define COORDINATOR_STORE_LEADER_WRITER_QUEUE_H

#include "coordinator/store/leader/clones.h"
#include "coordinator/store/leader/condition.h"
#include "coordinator/store/leader/fence.h"
#include "coordinator/store/leader/memberships.h"
#include "coordinator/store/leader/writer.h"

/* One transaction: a save, an end, or what was gathered. Owns everything; gathering_fini. */
struct gathering {
    struct fence fence;
    struct save_request *save;
    struct end_request *end;
    bool is_large;
    size_t batch_count, join_count, seen_count, answer_count, condition_count, clone_count;
    struct ack_batch **batches;
    struct join_request **joins;
    int64_t *seen;
    struct cached_reply *answers;
    struct condition_note *conditions;
    struct clone_note *clones;
    size_t split_count; /* of these, in the order of gathering_split, are moved out */
};
void gathering_fini(struct gathering *g);
/* Moves one request of those that were gathered into a gathering of its own; false: none is left.
 * They come in the order in which one transaction writes them, those of one kind as they came. */
bool gathering_split(struct gathering *g, struct gathering *one);
/* Moves the second half of its records into a batch of their own; it has two or more. */
struct ack_batch *ack_batch_halve(struct ack_batch *b);
/* Nothing in it was recorded, and nothing in it is to be receipted. */
void ack_batch_forget(struct ack_batch *b);
/* Nothing of what it told is recorded; whose it was stays. */
void join_request_forget(struct join_request *request);
void join_request_free(struct join_request *request);

struct writer_queue;
struct writer_queue *writer_queue_new(void);
void writer_queue_free(struct writer_queue *q);

/* Forget what waits; take requests for this fence from now on. Before, and after a close, what is
 * submitted is dropped. */
void writer_queue_open(struct writer_queue *q, struct fence fence);
void writer_queue_close(struct writer_queue *q, uint64_t epoch); /* unless a newer one is open */
void writer_queue_close_any(struct writer_queue *q);
/* Is it still this leadership's, and is there somebody to write for? */
bool writer_queue_is_open(struct writer_queue *q, uint64_t epoch);
void writer_queue_stop(struct writer_queue *q);
/* Waits for something to do, for a second or so. */
enum writer_queue_news {
    WRITER_QUEUE_GATHERED, /* *out is the caller's */
    WRITER_QUEUE_IDLE,
    WRITER_QUEUE_STOPPED,
};
enum writer_queue_news writer_queue_gather(struct writer_queue *q, struct gathering *out);

/* All take what they are given. */
void writer_queue_save(struct writer_queue *q, struct save_request *request);
void writer_queue_end(struct writer_queue *q, struct end_request *request);
void writer_queue_acks(struct writer_queue *q, struct ack_batch *batch);
void writer_queue_join(struct writer_queue *q, struct join_request *request);
void writer_queue_answer(struct writer_queue *q, struct cached_reply answer);
void writer_queue_condition(struct writer_queue *q, struct condition_note note);
void writer_queue_clone(struct writer_queue *q, struct clone_note note);
void writer_queue_seen(struct writer_queue *q, int64_t *server_ids, size_t count);

#endif

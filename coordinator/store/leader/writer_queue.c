/* writer_queue.c - the list between the loop and the writer's thread. */
#include "coordinator/store/leader/writer_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/invariant.h"
#include "common/memory.h"
#include "common/pulse.h"

/* So many acknowledgements and joins in one transaction; above LARGE it gets more time. */
#define GATHER_MAX 20000
#define GATHER_LARGE 2000

enum item_kind {
    ITEM_SAVE,
    ITEM_END,
    ITEM_ACKS,
    ITEM_JOIN,
    ITEM_ANSWER,
    ITEM_CONDITION,
    ITEM_CLONE,
    ITEM_SEEN,
};

struct item {
    struct item *next;
    enum item_kind kind;
    struct save_request *save;
    struct end_request *end;
    struct ack_batch *acks;
    struct join_request *join;
    struct cached_reply answer;
    struct condition_note condition;
    struct clone_note clone;
    int64_t *seen;
    size_t seen_count;
};

#define BULK 128           /* acknowledgements in one transaction that tell of a fan-out */
#define MOMENT_NS 10000000 /* about what a transaction costs beside its rows */

struct writer_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open, is_stopped;
    struct fence fence;
    struct item *first, **last;
    bool was_bulk; /* the last gathering was part of a fan-out */
};

/* ---------------------------------------------------------------- what is owned */

static void save_request_free(struct save_request *request)
{
    if (!request)
        return;
    free(request->cohort);
    free(request->silent);
    free(request->unfit);
    free(request->cause);
    free(request);
}

static void join_request_fini(struct join_request *request)
{
    free(request->labels);
    free(request->version);
    free(request->scopes);
    free(request->left);
}

void join_request_free(struct join_request *request)
{
    if (!request)
        return;
    join_request_fini(request);
    free(request);
}

static void free_item(struct item *item)
{
    save_request_free(item->save);
    free(item->end);
    ack_batch_free(item->acks);
    join_request_free(item->join);
    free(item->answer.text);
    free(item->condition.text);
    free(item->seen);
    free(item);
}

void gathering_fini(struct gathering *g)
{
    save_request_free(g->save);
    free(g->end);
    for (size_t i = 0; i < g->batch_count; i++)
        ack_batch_free(g->batches[i]);
    for (size_t i = 0; i < g->join_count; i++)
        join_request_free(g->joins[i]);
    for (size_t i = 0; i < g->answer_count; i++)
        free(g->answers[i].text);
    for (size_t i = 0; i < g->condition_count; i++)
        free(g->conditions[i].text);
    free(g->conditions);
    free(g->clones);
    free(g->batches);
    free(g->joins);
    free(g->answers);
    free(g->seen);
}

/* ---------------------------------------------------------------- the list */

struct writer_queue *writer_queue_new(void)
{
    struct writer_queue *q = calloc(1, sizeof(*q));

    MUST(q && pthread_mutex_init(&q->lock, NULL) == 0);
    MUST(pthread_cond_init(&q->changed, NULL) == 0);
    q->last = &q->first;
    return q;
}

static struct item *unlink_first(struct writer_queue *q)
{
    struct item *item = q->first;

    q->first = item->next;
    if (!q->first)
        q->last = &q->first;
    return item;
}

static void empty(struct writer_queue *q)
{
    while (q->first)
        free_item(unlink_first(q));
}

void writer_queue_free(struct writer_queue *q)
{
    empty(q);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void writer_queue_open(struct writer_queue *q, struct fence fence)
{
    pthread_mutex_lock(&q->lock);
    empty(q);
    q->fence = fence;
    q->is_open = true;
    pthread_mutex_unlock(&q->lock);
}

void writer_queue_close(struct writer_queue *q, uint64_t epoch)
{
    pthread_mutex_lock(&q->lock);
    if (q->fence.epoch == epoch) {
        empty(q);
        q->is_open = false;
    }
    pthread_mutex_unlock(&q->lock);
}

void writer_queue_close_any(struct writer_queue *q)
{
    pthread_mutex_lock(&q->lock);
    empty(q);
    q->is_open = false;
    pthread_mutex_unlock(&q->lock);
}

bool writer_queue_is_open(struct writer_queue *q, uint64_t epoch)
{
    bool is_so;

    pthread_mutex_lock(&q->lock);
    is_so = q->is_open && !q->is_stopped && q->fence.epoch == epoch;
    pthread_mutex_unlock(&q->lock);
    return is_so;
}

void writer_queue_stop(struct writer_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->is_stopped = true;
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

static void append(struct writer_queue *q, struct item item)
{
    struct item *one = malloc(sizeof(*one));

    MUST(one);
    *one = item;
    pthread_mutex_lock(&q->lock);
    if (q->is_open) {
        *q->last = one;
        q->last = &one->next;
        one = NULL;
        pthread_cond_signal(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    if (one)
        free_item(one);
}

void writer_queue_save(struct writer_queue *q, struct save_request *request)
{
    append(q, (struct item){ .kind = ITEM_SAVE, .save = request });
}

void writer_queue_end(struct writer_queue *q, struct end_request *request)
{
    append(q, (struct item){ .kind = ITEM_END, .end = request });
}

void writer_queue_acks(struct writer_queue *q, struct ack_batch *batch)
{
    append(q, (struct item){ .kind = ITEM_ACKS, .acks = batch });
}

void writer_queue_join(struct writer_queue *q, struct join_request *request)
{
    append(q, (struct item){ .kind = ITEM_JOIN, .join = request });
}

void writer_queue_answer(struct writer_queue *q, struct cached_reply answer)
{
    append(q, (struct item){ .kind = ITEM_ANSWER, .answer = answer });
}

void writer_queue_condition(struct writer_queue *q, struct condition_note note)
{
    append(q, (struct item){ .kind = ITEM_CONDITION, .condition = note });
}

void writer_queue_clone(struct writer_queue *q, struct clone_note note)
{
    append(q, (struct item){ .kind = ITEM_CLONE, .clone = note });
}

void writer_queue_seen(struct writer_queue *q, int64_t *server_ids, size_t count)
{
    append(q, (struct item){ .kind = ITEM_SEEN, .seen = server_ids, .seen_count = count });
}

/* ---------------------------------------------------------------- gathering */

/* One more place at the end of an array that grows by one. */
static void *grown(void *array, size_t count, size_t size)
{
    /* Powers of two only: doubling keeps the cost of each place constant. */
    if (count & (count - 1))
        return array;
    array = reallocarray(array, count ? 2 * count : 1, size);
    MUST(array);
    return array;
}

static void take_seen(struct gathering *g, struct item *item)
{
    g->seen = reallocarray(g->seen, g->seen_count + item->seen_count + 1, sizeof(*g->seen));
    MUST(g->seen);
    if (item->seen_count)
        memcpy(g->seen + g->seen_count, item->seen, item->seen_count * sizeof(*g->seen));
    g->seen_count += item->seen_count;
}

/* Moves what the item holds; how much it weighs. */
static size_t take(struct gathering *g, struct item *item)
{
    switch (item->kind) {
    case ITEM_SAVE:
        g->save = MOVE(item->save);
        return 1;
    case ITEM_END:
        g->end = MOVE(item->end);
        return 1;
    case ITEM_ACKS:
        g->batches = grown(g->batches, g->batch_count, sizeof(*g->batches));
        g->batches[g->batch_count++] = item->acks;
        item->acks = NULL;
        return g->batches[g->batch_count - 1]->count;
    case ITEM_JOIN:
        g->joins = grown(g->joins, g->join_count, sizeof(*g->joins));
        g->joins[g->join_count++] = MOVE(item->join);
        return 1;
    case ITEM_ANSWER:
        g->answers = grown(g->answers, g->answer_count, sizeof(*g->answers));
        g->answers[g->answer_count++] = item->answer;
        item->answer.text = NULL;
        return 1;
    case ITEM_CONDITION:
        g->conditions = grown(g->conditions, g->condition_count, sizeof(*g->conditions));
        g->conditions[g->condition_count++] = item->condition;
        item->condition.text = NULL;
        return 1;
    case ITEM_CLONE:
        g->clones = grown(g->clones, g->clone_count, sizeof(*g->clones));
        g->clones[g->clone_count++] = item->clone;
        return 1;
    case ITEM_SEEN:
        take_seen(g, item);
        return item->seen_count;
    }
    MUST(!"a kind of request");
    return 0;
}

/* In the middle of a fan-out a transaction for every few acknowledgements costs more than waiting
 * a moment for the next hundreds. Nothing waits when the last gathering was small, nor a save. */
static void wait_for_more(struct writer_queue *q)
{
    const struct timespec moment = { .tv_nsec = MOMENT_NS };

    if (!q->was_bulk || q->first->kind != ITEM_ACKS)
        return;
    pthread_mutex_unlock(&q->lock);
    nanosleep(&moment, NULL);
    pthread_mutex_lock(&q->lock);
}

/* Take as much of the queue (not empty) as one transaction may hold. */
static void gather(struct writer_queue *q, struct gathering *out)
{
    size_t weight = 0;

    out->fence = q->fence;
    do {
        struct item *item = unlink_first(q);

        weight += take(out, item);
        free_item(item);
    } while (!out->save && !out->end && weight < GATHER_MAX && q->first &&
             q->first->kind != ITEM_SAVE && q->first->kind != ITEM_END);
    out->is_large = weight >= GATHER_LARGE;
    q->was_bulk = weight >= BULK;
}

enum writer_queue_news writer_queue_gather(struct writer_queue *q, struct gathering *out)
{
    enum writer_queue_news news = WRITER_QUEUE_IDLE;

    *out = (struct gathering){ 0 };
    pthread_mutex_lock(&q->lock);
    if (!q->first && !q->is_stopped)
        pulse_wait(&q->changed, &q->lock);
    if (q->first && !q->is_stopped)
        wait_for_more(q); /* a new leadership may empty the queue meanwhile */
    if (q->is_stopped) {
        news = WRITER_QUEUE_STOPPED;
    } else if (q->first) {
        gather(q, out);
        news = WRITER_QUEUE_GATHERED;
    }
    pthread_mutex_unlock(&q->lock);
    return news;
}

/* Is the place among so many? Else it is counted on from behind them. */
static bool is_among(size_t *place, size_t count)
{
    if (*place < count)
        return true;
    *place -= count;
    return false;
}

/* Joins first: what a server acknowledges or tells of a scope is recorded where it is a member. */
bool gathering_split(struct gathering *g, struct gathering *one)
{
    size_t i = g->split_count++;

    *one = (struct gathering){ .fence = g->fence };
    if (is_among(&i, g->join_count)) {
        one->joins = grown(NULL, 0, sizeof(*one->joins));
        one->joins[one->join_count++] = MOVE(g->joins[i]);
    } else if (is_among(&i, g->seen_count > 0)) {
        one->seen = MOVE(g->seen); /* one statement that names them all, and makes no difference */
        one->seen_count = g->seen_count;
    } else if (is_among(&i, g->answer_count)) {
        one->answers = grown(NULL, 0, sizeof(*one->answers));
        one->answers[one->answer_count++] = g->answers[i];
        g->answers[i].text = NULL;
    } else if (is_among(&i, g->batch_count)) {
        one->batches = grown(NULL, 0, sizeof(*one->batches));
        one->batches[one->batch_count++] = MOVE(g->batches[i]);
    } else if (is_among(&i, g->condition_count)) {
        one->conditions = grown(NULL, 0, sizeof(*one->conditions));
        one->conditions[one->condition_count++] = g->conditions[i];
        g->conditions[i].text = NULL;
    } else if (is_among(&i, g->clone_count)) {
        one->clones = grown(NULL, 0, sizeof(*one->clones));
        one->clones[one->clone_count++] = g->clones[i];
    } else {
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------- what was refused */

void join_request_forget(struct join_request *request)
{
    int64_t server_id = request->server_id;

    join_request_fini(request);
    *request = (struct join_request){ .server_id = server_id };
}

void ack_batch_forget(struct ack_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        b->records[i].is_recorded = false;
        b->records[i].outbox_id = 0;
    }
}

/* ---------------------------------------------------------------- batches */

struct ack_batch *ack_batch_new(void)
{
    struct ack_batch *b = memory_new(sizeof(*b));

    return b;
}

void ack_batch_free(struct ack_batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        free(b->records[i].text);
    free(b->records);
    free(b->held);
    free(b);
}

static void *room_for(void *array, size_t needed, size_t *capacity, size_t size)
{
    if (needed <= *capacity)
        return array;
    *capacity = *capacity ? 2 * *capacity : 64;
    if (*capacity < needed)
        *capacity = needed;
    array = reallocarray(array, *capacity, size);
    MUST(array);
    return array;
}

void ack_batch_add(struct ack_batch *b, const struct ack_record *record,
                   const struct held_record *held, uint32_t held_count)
{
    struct ack_record *r;

    b->records = room_for(b->records, b->count + 1, &b->capacity, sizeof(*b->records));
    b->held = room_for(b->held, b->held_count + held_count, &b->held_capacity, sizeof(*b->held));
    r = &b->records[b->count++];
    *r = *record;
    r->held_first = (uint32_t)b->held_count;
    r->held_count = held_count;
    if (held_count)
        memcpy(b->held + b->held_count, held, held_count * sizeof(*held));
    b->held_count += held_count;
}

struct ack_batch *ack_batch_halve(struct ack_batch *b)
{
    struct ack_batch *rest = ack_batch_new();
    size_t kept = b->count / 2;

    for (size_t i = kept; i < b->count; i++)
        ack_batch_add(rest, &b->records[i], b->held + b->records[i].held_first,
                      b->records[i].held_count);
    b->count = kept; /* what was held of the others is freed with the batch */
    return rest;
}

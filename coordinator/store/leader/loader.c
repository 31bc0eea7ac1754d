/* loader.c - two threads, each with a connection and wishes of its own; one list of answers. */
#include "coordinator/store/leader/loader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/store/mailbox.h"
#include "coordinator/store/pg.h"

#define RETRY_S 1

struct loader {
    char *conninfo;
    pthread_t work_thread, document_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    bool is_wanted[2]; /* LOAD_WORK, LOAD_ROSTER */
    struct wishes documents;
    struct mailbox *news; /* of struct loader_news */
};

static void free_news(void *item)
{
    struct loader_news *news = item;

    snapshot_free(news->snapshot);
    free(news->bytes);
    free(news);
}

static void answer(struct loader *l, const struct loader_news *news)
{
    struct loader_news *copy = malloc(sizeof(*copy));

    MUST(copy);
    *copy = *news;
    mailbox_put(l->news, copy);
}

/* What is to be read next; false: the thread ends. */
struct task {
    bool is_document;
    enum load_what what;
    struct parcel parcel;
    uint32_t server; /* who wished for it */
};

/* After a failover every connection leaves the server that was demoted, the idle ones too. */
static void leave_if_broken(struct pg **pg)
{
    if (!*pg || !pg_is_broken(*pg))
        return;
    pg_close(*pg);
    *pg = NULL;
}

static void wait_idly(struct loader *l, struct pg **pg)
{
    pulse_wait(&l->wake, &l->lock);
    leave_if_broken(pg);
}

static bool next_work(struct loader *l, struct pg **pg, struct task *out)
{
    bool is_there;

    pthread_mutex_lock(&l->lock);
    while (!l->is_stopping && !l->is_wanted[LOAD_WORK] && !l->is_wanted[LOAD_ROSTER])
        wait_idly(l, pg);
    is_there = !l->is_stopping;
    if (is_there) {
        *out = (struct task){ .what = l->is_wanted[LOAD_ROSTER] ? LOAD_ROSTER : LOAD_WORK };
        l->is_wanted[out->what] = false;
    }
    pthread_mutex_unlock(&l->lock);
    return is_there;
}

static bool next_document(struct loader *l, struct pg **pg, struct task *out)
{
    bool is_there;

    pthread_mutex_lock(&l->lock);
    while (!l->is_stopping && wishes_is_empty(&l->documents))
        wait_idly(l, pg);
    is_there = !l->is_stopping;
    if (is_there) {
        *out = (struct task){ .is_document = true };
        wishes_take(&l->documents, &out->parcel);
        out->server = l->documents.worker;
    }
    pthread_mutex_unlock(&l->lock);
    return is_there;
}

/* 1: there is no such document. */
static int read_whole(struct pg *pg, const struct hash *hash, struct loader_news *news,
                      struct err *e)
{
    news->parcel = parcel_whole(hash);
    if (load_document(pg, hash, &news->bytes, &news->size, e) == 0)
        return 0;
    return e->kind == ERR_NOT_FOUND ? 1 : -1;
}

/* `out` stays empty when it is not smaller for being packed. */
static void pack(const struct loader_news *whole, const struct loader_news *base,
                 struct buffer *out)
{
    packing_pack(base ? base->bytes : NULL, base ? base->size : 0, whole->bytes, whole->size, out);
    if (out->size >= whole->size)
        buffer_clear(out);
}

/* Packed once for all agents that have the same base. */
static int read_packed(struct loader *l, struct pg *pg, const struct task *t, struct err *e)
{
    const struct parcel *parcel = &t->parcel;
    struct loader_news whole = { .server = t->server }, base = { 0 };
    struct loader_news packed = { .parcel = *parcel, .server = t->server };
    SCOPED_BUFFER struct buffer bytes = { 0 };
    bool is_delta = parcel->packing == PACKING_DELTA;
    int found = read_whole(pg, &parcel->hash, &whole, e), based = 1;

    if (found == 0 && is_delta)
        based = read_whole(pg, &parcel->base, &base, e);
    if (found < 0 || based < 0) {
        free(whole.bytes);
        return -1;
    }
    if (found == 0 && (!is_delta || based == 0))
        pack(&whole, is_delta ? &base : NULL, &bytes);
    free(base.bytes);
    packed.size = bytes.size;
    packed.bytes = (uint8_t *)buffer_take(&bytes);
    packed.bytes = realloc(packed.bytes, packed.size + 1); /* it had room for the whole one */
    MUST(packed.bytes);
    answer(l, &packed);
    if (packed.size == 0)
        answer(l, &whole);
    else
        free(whole.bytes);
    return 0;
}

static int read_document(struct loader *l, struct pg *pg, const struct task *t, struct err *e)
{
    struct loader_news news = { .server = t->server };

    if (t->parcel.packing != PACKING_WHOLE)
        return read_packed(l, pg, t, e);
    if (read_whole(pg, &t->parcel.hash, &news, e) < 0)
        return -1;
    answer(l, &news);
    return 0;
}

static int perform(struct loader *l, struct pg *pg, const struct task *t, struct err *e)
{
    struct loader_news news = { .what = t->what };

    if (t->is_document)
        return read_document(l, pg, t, e);
    if (load_snapshot(pg, t->what, &news.snapshot, e))
        return -1;
    answer(l, &news);
    return 0;
}

/* Asking again helps against a database that is away, and against nothing else: a row that makes
 * no sense stays like that, and everything behind it would wait for ever. Work and roster are
 * asked for again soon, documents by whoever needs them. */
static bool is_worth_insisting(const struct pg *pg, const struct err *e)
{
    return !pg || pg_is_broken(pg) || e->kind == ERR_UNAVAILABLE;
}

/* Until it worked, cannot work, or the thread is to end. */
static void insist(struct loader *l, struct pg **pg, const struct task *t)
{
    struct err e = { 0 };

    for (;;) {
        struct timespec until;

        leave_if_broken(pg);
        if (!*pg && pg_open(l->conninfo, "lockstepd loader", pg, &e) != 0)
            *pg = NULL;
        else if (perform(l, *pg, t, &e) == 0)
            return;
        if (!is_worth_insisting(*pg, &e)) {
            log_error("what was read from the database makes no sense", "reason", e.text);
            return;
        }
        log_warn("reading from the database failed; it is tried again", "reason", e.text);
        pulse_beat();
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += RETRY_S;
        pthread_mutex_lock(&l->lock);
        if (!l->is_stopping)
            pthread_cond_timedwait(&l->wake, &l->lock, &until);
        if (l->is_stopping) {
            pthread_mutex_unlock(&l->lock);
            return;
        }
        pthread_mutex_unlock(&l->lock);
    }
}

/* A process may have no descriptor left when there is work. If this fails, the work tries again. */
static void connect_early(const struct loader *l, struct pg **pg)
{
    struct err e = { 0 };

    pulse_allow(PULSE_WORK_MS);
    if (pg_open(l->conninfo, "lockstepd loader", pg, &e) != 0)
        *pg = NULL;
}

static void *run_work(void *arg)
{
    struct loader *l = arg;
    struct pg *pg = NULL;
    struct task t;

    pulse_begin("loader");
    connect_early(l, &pg);
    while (next_work(l, &pg, &t)) {
        pulse_allow(PULSE_WORK_MS);
        insist(l, &pg, &t);
    }
    pg_close(pg);
    return NULL;
}

static void *run_documents(void *arg)
{
    struct loader *l = arg;
    struct pg *pg = NULL;
    struct task t;

    pulse_begin("documents");
    connect_early(l, &pg);
    while (next_document(l, &pg, &t)) {
        pulse_allow(PULSE_WORK_MS);
        insist(l, &pg, &t);
        pthread_mutex_lock(&l->lock);
        wishes_done(&l->documents);
        pthread_mutex_unlock(&l->lock);
    }
    pg_close(pg);
    return NULL;
}

struct loader *loader_start(const char *conninfo)
{
    struct loader *l = memory_new(sizeof(*l));

    l->conninfo = memory_text(conninfo);
    l->news = mailbox_new();
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    MUST(pthread_create(&l->work_thread, NULL, run_work, l) == 0);
    MUST(pthread_create(&l->document_thread, NULL, run_documents, l) == 0);
    return l;
}

void loader_stop(struct loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->is_stopping = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->work_thread, NULL);
    pthread_join(l->document_thread, NULL);
    mailbox_free(l->news, free_news);
    wishes_fini(&l->documents);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    free(l->conninfo);
    free(l);
}

int loader_fd(const struct loader *l)
{
    return mailbox_fd(l->news);
}

bool loader_next(struct loader *l, struct loader_news *out)
{
    struct loader_news *news = mailbox_take(l->news);

    if (!news)
        return false;
    *out = *news;
    free(news);
    return true;
}

void loader_want(struct loader *l, enum load_what what)
{
    MUST(what == LOAD_WORK || what == LOAD_ROSTER);
    pthread_mutex_lock(&l->lock);
    l->is_wanted[what] = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

void loader_want_document(struct loader *l, const struct parcel *parcel, uint32_t server)
{
    pthread_mutex_lock(&l->lock);
    if (wishes_add(&l->documents, parcel, server))
        pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

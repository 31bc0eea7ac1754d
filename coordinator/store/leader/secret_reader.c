/* secret_reader.c - wishes for secrets, taken in batches, answered from database and keyring. */
#include "coordinator/store/leader/secret_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "common/crypto/seal.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/store/leader/secret_answers.h"
#include "coordinator/store/mailbox.h"
#include "coordinator/store/pg.h"

#define BATCH_MAX 64
#define CHECKS_MAX 1024

struct check {
    uint32_t server;
    uint64_t session;
    struct check *prev, *next;
    uint16_t digest_count;
    struct hash digests[];
};

struct secret_reader {
    char *conninfo;
    struct secret_answers *answers;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool is_stopping, is_look_wanted;
    struct secret_wishes wishes;
    struct check *checks; /* oldest first, one of each server */
    unsigned check_count, answer_count;
    struct mailbox *mail; /* of struct secret_answer; has a lock of its own */
};

static void free_answer(void *item)
{
    struct secret_answer *a = item;

    seal_free(a->body, a->size);
    free(a);
}

static void put_answer(void *ctx, const struct secret_answer *answer)
{
    struct secret_reader *r = ctx;
    struct secret_answer *copy = malloc(sizeof(*copy));

    MUST(copy);
    *copy = *answer;
    pthread_mutex_lock(&r->lock);
    r->answer_count++;
    pthread_mutex_unlock(&r->lock);
    mailbox_put(r->mail, copy);
}

/* ---- the thread ---- */

struct batch {
    bool is_look;
    struct check *check;
    unsigned wish_count;
    struct secret_wish wishes[BATCH_MAX];
};

static bool is_idle(const struct secret_reader *r)
{
    return r->answer_count + BATCH_MAX > SECRET_ANSWERS_MAX ||
           (!r->is_look_wanted && !r->checks && !r->wishes.count);
}

/* False: the thread ends. */
static bool take_batch(struct secret_reader *r, struct batch *out)
{
    bool is_stopping;

    *out = (struct batch){ 0 };
    pthread_mutex_lock(&r->lock);
    while (!r->is_stopping && is_idle(r))
        pulse_wait(&r->wake, &r->lock);
    out->is_look = r->is_look_wanted;
    r->is_look_wanted = false;
    out->check = r->checks;
    if (out->check) {
        DL_DELETE(r->checks, out->check);
        r->check_count--;
    }
    out->wish_count = secret_wishes_take(&r->wishes, out->wishes, BATCH_MAX);
    is_stopping = r->is_stopping;
    pthread_mutex_unlock(&r->lock);
    return !is_stopping;
}

static void perform(struct secret_reader *r, struct pg *pg, struct batch *b)
{
    if (b->wish_count)
        secret_answers_give(r->answers, pg, b->wishes, b->wish_count);
    if (b->check)
        secret_answers_check(r->answers, pg, b->check->server, b->check->session,
                             b->check->digests, b->check->digest_count);
    if (b->is_look)
        secret_answers_look(r->answers, pg);
}

/* Where it fails, it is said to those who asked. */
static void keep_connected(const struct secret_reader *r, struct pg **pg)
{
    struct err e = { 0 };

    if (*pg && pg_is_broken(*pg)) {
        pg_close(*pg);
        *pg = NULL;
    }
    if (!*pg && pg_open(r->conninfo, "lockstepd secrets", pg, &e) != 0)
        *pg = NULL;
}

static void *run(void *arg)
{
    struct secret_reader *r = arg;
    struct pg *pg = NULL;
    struct batch *b = malloc(sizeof(*b));

    MUST(b);
    pulse_begin("secret reader");
    pulse_allow(PULSE_WORK_MS);
    keep_connected(r, &pg); /* a process may have no descriptor left when somebody asks */
    while (take_batch(r, b)) {
        pulse_allow(PULSE_WORK_MS);
        keep_connected(r, &pg);
        perform(r, pg, b);
        free(b->check);
        b->check = NULL;
    }
    free(b->check);
    free(b);
    pg_close(pg);
    return NULL;
}

/* ---- the loop's side ---- */

struct secret_reader *secret_reader_start(const char *conninfo, struct keyring *keyring)
{
    struct secret_reader *r = memory_new(sizeof(*r));

    r->conninfo = memory_text(conninfo);
    r->wishes.max = SECRET_WISHES_MAX;
    r->mail = mailbox_new();
    r->answers = secret_answers_new(keyring, put_answer, r);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    MUST(pthread_create(&r->thread, NULL, run, r) == 0);
    return r;
}

void secret_reader_stop(struct secret_reader *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->is_stopping = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    mailbox_free(r->mail, free_answer);
    while (r->checks) {
        struct check *c = r->checks;

        DL_DELETE(r->checks, c);
        free(c);
    }
    secret_wishes_fini(&r->wishes);
    secret_answers_free(r->answers);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->wake);
    free(r->conninfo);
    free(r);
}

int secret_reader_fd(const struct secret_reader *r)
{
    return mailbox_fd(r->mail);
}

bool secret_reader_next(struct secret_reader *r, struct secret_answer *out)
{
    struct secret_answer *answer = mailbox_take(r->mail);

    if (!answer)
        return false;
    *out = *answer;
    free(answer);
    pthread_mutex_lock(&r->lock);
    r->answer_count--;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    return true;
}

void secret_reader_want(struct secret_reader *r, const struct secret_wish *wish)
{
    pthread_mutex_lock(&r->lock);
    if (secret_wishes_add(&r->wishes, wish))
        pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

/* What it says newly holds instead. */
static void drop_check(struct secret_reader *r, uint32_t server)
{
    struct check *one;

    DL_SEARCH_SCALAR(r->checks, one, server, server);
    if (!one)
        return;
    DL_DELETE(r->checks, one);
    r->check_count--;
    free(one);
}

void secret_reader_check(struct secret_reader *r, uint32_t server, uint64_t session,
                         const struct wire_digests *kept)
{
    size_t size = kept->digest_count * sizeof(kept->digests[0]);
    struct check *c;

    pthread_mutex_lock(&r->lock);
    drop_check(r, server);
    if (r->check_count < CHECKS_MAX && kept->digest_count) {
        c = malloc(sizeof(*c) + size);
        MUST(c);
        c->server = server;
        c->session = session;
        c->digest_count = kept->digest_count;
        memcpy(c->digests, kept->digests, size);
        DL_APPEND(r->checks, c);
        r->check_count++;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
}

void secret_reader_look(struct secret_reader *r)
{
    pthread_mutex_lock(&r->lock);
    r->is_look_wanted = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

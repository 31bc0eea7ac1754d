/* courier.c - the thread: claims messages, runs their transfers, settles what came of them. */
#include "coordinator/courier/courier.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/courier/retry.h"
#include "coordinator/courier/transfer.h"
#include "coordinator/keyring/keyring.h"
#include "coordinator/store/actions.h"
#include "coordinator/store/pg.h"

#define TRANSFERS_MAX 32
#define LOOK_MS 1000
#define CLAIM_MS (TRANSFER_LIMIT_MS + 10000) /* the database may be slow to hear of the end */
#define AWAY_MS 5000      /* until a keyring that is away is asked again */
#define UNSIGNED_MS 60000 /* until a secret that does not open is tried again */
#define SWEEP_MS INT64_C(3600000)
#define KEPT_MS (7 * 24 * SWEEP_MS) /* finished messages stay for a week, for people who ask */

struct courier {
    const char *conninfo;
    struct keyring *keyring;
    struct address_list allowed;
    pthread_t thread;
    CURLM *multi;
    _Atomic bool is_stopping, is_woken;

    /* The thread's own. */
    struct pg *pg; /* NULL: no connection */
    int64_t look_at_ms, sweep_at_ms;
    bool is_out; /* that the database is gone was said */
    bool is_away; /* the keyring, which was said; it is asked again then: */
    int64_t ask_at_ms;
    unsigned running;
    struct transfer transfers[TRANSFERS_MAX];
};

/* ---------------------------------------------------------------- the database */

/* The connection is opened again at the next look. Messages that were claimed come back. */
static void lose(struct courier *c, const struct err *e)
{
    if (!c->is_out)
        log_warn("messages cannot be delivered for now", "reason", e->text);
    c->is_out = true;
    if (c->pg && pg_is_broken(c->pg)) {
        pg_close(c->pg);
        c->pg = NULL;
    }
}

static bool is_connected(struct courier *c)
{
    struct err e;

    if (!c->pg && pg_open(c->conninfo, "lockstepd courier", &c->pg, &e) != 0) {
        lose(c, &e);
        return false;
    }
    return true;
}

static void sweep(struct courier *c, int64_t now_ms)
{
    struct err e;

    if (now_ms < c->sweep_at_ms)
        return;
    c->sweep_at_ms = now_ms + SWEEP_MS;
    if (outbox_sweep(c->pg, KEPT_MS, &e) != 0)
        lose(c, &e);
}

/* ---------------------------------------------------------------- an attempt */

static int settle_as(struct courier *c, const struct outbox_attempt *a, const struct retry *retry,
                     struct err *e)
{
    switch (retry->outcome) {
    case RETRY_DELIVERED:
        return outbox_deliver(c->pg, a, e);
    case RETRY_LATER:
        return outbox_postpone(c->pg, a, retry->wait_ms, e);
    case RETRY_GIVEN_UP:
        return outbox_give_up(c->pg, a, e);
    case RETRY_GONE:
        return outbox_disable(c->pg, a, e);
    }
    MUST(!"an outcome");
    return -1;
}

static void settle(struct courier *c, const struct transfer *t, const struct transfer_result *r)
{
    struct outbox_attempt a = { t->outbox_id, t->attempt, t->subscription_id, r->status,
                                r->reason };
    struct retry_attempt tried = { r->status, t->attempt, r->retry_after_ms, 0 };
    struct retry retry;
    struct err e;

    (void)!getrandom(&tried.chance, sizeof(tried.chance), 0);
    retry = retry_after(&tried);
    if (retry.outcome != RETRY_DELIVERED)
        log_info("a message was not taken", "subscription", t->subscription_id, "attempt",
                 LOG_NUMBER(t->attempt), "reason", r->reason, "again_in_ms",
                 retry.outcome == RETRY_LATER ? LOG_NUMBER(retry.wait_ms) : NULL);
    if (is_connected(c) && settle_as(c, &a, &retry, &e) != 0)
        lose(c, &e);
}

/* ---------------------------------------------------------------- signing secrets */

static void note_away(struct courier *c, const struct err *why)
{
    struct err e;

    if (!c->is_away)
        log_warn("messages whose signing secret is sealed wait", "reason", why->text);
    c->is_away = true;
    c->ask_at_ms = clock_monotonic_ms() + AWAY_MS;
    atomic_store(&c->is_woken, true); /* others may go out in place of those */
    if (is_connected(c) && outbox_note_sealed(c->pg, why->text, &e) != 0)
        lose(c, &e);
}

/* A keyring that was away is asked before messages are claimed that would have to wait. */
static void ask_again(struct courier *c)
{
    char newest[ENVELOPE_KEY_ID_SIZE];
    struct err why;

    if (!c->is_away || clock_monotonic_ms() < c->ask_at_ms)
        return;
    if (keyring_check(c->keyring, newest, &why) != 0) {
        note_away(c, &why);
        return;
    }
    c->is_away = false;
    log_info("messages whose signing secret is sealed go out again");
}

/* That it cannot be signed is not its receiver's failure. When the keyring works for others, this
 * one alone waits. */
static void put_back(struct courier *c, const struct outbox_row *message, const struct err *why)
{
    const struct outbox_attempt a = { message->outbox_id, message->attempt,
                                      message->subscription_id, 0, why->text };
    char newest[ENVELOPE_KEY_ID_SIZE];
    struct err gone, e;

    if (!c->is_away && keyring_check(c->keyring, newest, &gone) != 0)
        note_away(c, &gone);
    else if (!c->is_away)
        log_warn("a signing secret does not open", "subscription", message->subscription_id,
                 "reason", why->text);
    if (is_connected(c) && outbox_put_back(c->pg, &a, c->is_away ? 0 : UNSIGNED_MS, &e) != 0)
        lose(c, &e);
}

/* ---------------------------------------------------------------- claiming */

static void start_one(struct courier *c, const struct outbox_row *message)
{
    struct transfer_result broken = { 0 };
    struct transfer *t = c->transfers;
    struct err e;

    while (t->easy)
        t++;
    if (transfer_open(t, message, &c->allowed, clock_wall_ms(), &e) != 0) {
        log_error("a message cannot be sent", "reason", e.text);
        transfer_close(t);
        return;
    }
    if (curl_multi_add_handle(c->multi, t->easy) == CURLM_OK) {
        c->running++;
        return;
    }
    snprintf(broken.reason, sizeof(broken.reason), "it could not be begun");
    settle(c, t, &broken);
    transfer_close(t);
}

static void open_and_start(struct courier *c, const struct rows *rows, size_t row,
                           struct err *away)
{
    struct outbox_row message = outbox_at(rows, row);
    struct err why;
    char *secret;
    size_t size;

    if (message.is_sealed && c->is_away) {
        put_back(c, &message, away);
    } else if (outbox_open_secret(rows, row, c->keyring, &secret, &size, &why) != 0) {
        put_back(c, &message, &why);
        *away = why;
    } else {
        message.secret = secret;
        start_one(c, &message);
        seal_free(secret, size);
    }
}

static int claim_rows(struct courier *c, struct rows **rows, struct err *e)
{
    const char *receivers[TRANSFERS_MAX], *owners[TRANSFERS_MAX];
    struct outbox_wish wish = { .limit = TRANSFERS_MAX - c->running,
                                .claim_ms = CLAIM_MS,
                                .with_sealed = !c->is_away,
                                .receivers = receivers,
                                .owners = owners };

    for (unsigned i = 0; i < TRANSFERS_MAX; i++)
        if (c->transfers[i].easy) {
            receivers[wish.under_way] = c->transfers[i].receiver;
            owners[wish.under_way++] = c->transfers[i].owner;
        }
    return outbox_claim(c->pg, &wish, rows, e);
}

static void claim(struct courier *c)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t now_ms = clock_monotonic_ms();
    struct err e, away = { 0 };

    if (c->running == TRANSFERS_MAX || (!atomic_exchange(&c->is_woken, false) &&
                                        now_ms < c->look_at_ms))
        return;
    c->look_at_ms = now_ms + LOOK_MS;
    ask_again(c);
    if (!is_connected(c))
        return;
    if (claim_rows(c, &rows, &e) != 0) {
        lose(c, &e);
        return;
    }
    c->is_out = false;
    for (size_t i = 0; i < rows_count(rows); i++)
        open_and_start(c, rows, i, &away);
    sweep(c, now_ms);
}

static void end_one(struct courier *c, CURL *easy, CURLcode code)
{
    struct transfer_result result;
    struct transfer *t;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    transfer_result(t, (int)code, &result);
    MUST(curl_multi_remove_handle(c->multi, easy) == CURLM_OK);
    c->running--;
    settle(c, t, &result);
    transfer_close(t);
    atomic_store(&c->is_woken, true); /* there is room again */
}

/* ---------------------------------------------------------------- the thread */

static void *run(void *arg)
{
    struct courier *c = arg;
    int still, left;
    CURLMsg *m;

    pulse_begin("courier");
    while (!atomic_load(&c->is_stopping)) {
        pulse_beat();
        pulse_allow(PULSE_WORK_MS);
        claim(c);
        MUST(curl_multi_perform(c->multi, &still) == CURLM_OK);
        while ((m = curl_multi_info_read(c->multi, &left)))
            if (m->msg == CURLMSG_DONE)
                end_one(c, m->easy_handle, m->data.result);
        if (!atomic_load(&c->is_woken) || c->running == TRANSFERS_MAX)
            MUST(curl_multi_poll(c->multi, NULL, 0, LOOK_MS, NULL) == CURLM_OK);
    }
    for (unsigned i = 0; i < TRANSFERS_MAX; i++) {
        if (c->transfers[i].easy)
            curl_multi_remove_handle(c->multi, c->transfers[i].easy);
        transfer_close(&c->transfers[i]);
    }
    pg_close(c->pg);
    return NULL;
}

int courier_start(const char *conninfo, const char *allow, struct keyring *keyring,
                  struct courier **out, struct err *e)
{
    struct courier *c = memory_new(sizeof(*c));

    if (address_list_read(allow, &c->allowed, e) != 0) {
        free(c);
        return -1;
    }
    MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
    c->conninfo = conninfo;
    c->keyring = keyring;
    c->multi = curl_multi_init();
    MUST(c->multi && pthread_create(&c->thread, NULL, run, c) == 0);
    *out = c;
    return 0;
}

void courier_stop(struct courier *c)
{
    if (!c)
        return;
    atomic_store(&c->is_stopping, true);
    curl_multi_wakeup(c->multi);
    pthread_join(c->thread, NULL);
    curl_multi_cleanup(c->multi);
    curl_global_cleanup();
    free(c);
}

/* Messages are written by saves of rollouts; acknowledgements, which are many, write none. */
void courier_hear(void *ctx, uint64_t audit_number, const char *action)
{
    struct courier *c = ctx;

    (void)audit_number;
    if (!(action_wakes(action) & ACTION_WAKES_MESSAGES))
        return;
    atomic_store(&c->is_woken, true);
    curl_multi_wakeup(c->multi);
}

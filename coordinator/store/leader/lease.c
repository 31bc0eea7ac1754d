/* lease.c - looks after the leader's row: takes it, keeps it, says when it is gone. */
#include "coordinator/store/leader/lease.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/store/mailbox.h"
#include "coordinator/store/pg.h"

#define BACKENDS_MAX 32
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 2000
#define TROUBLE_EVERY_MS 10000
/* Loading the snapshot of a large fleet takes longer than a look at one row. */
#define LOAD_PATIENCE_MS 60000

struct lease {
    struct lease_settings settings;
    pthread_t thread;
    struct mailbox *news;
    int wake_fd;

    pthread_mutex_t lock; /* of the next eight */
    bool is_stopping;
    uint64_t abdicated; /* epoch to be given up; 0: none */
    int64_t abdicated_quiet_ms;
    int32_t backends[BACKENDS_MAX]; /* the newest of this process */
    size_t backend_count;
    bool is_loaded; /* the loading ended: with a snapshot, or with an error */
    struct snapshot *loaded;
    struct err load_error;

    /* the thread's own */
    struct pg *pg;
    pthread_t loading; /* runs while is_loading; of load_epoch */
    bool is_loading;
    uint64_t load_epoch;
    bool is_known; /* this connection stands in `backends` */
    bool is_leading;
    uint32_t gen;
    uint64_t epoch, other_epoch;
    int64_t end_ms;     /* of the lease, by the local clock: counted from before it was asked for */
    int64_t quiet_ms;   /* after an abdication: no take-over before, somebody else may be better */
    int64_t retry_ms, trouble_ms;
};

static int64_t third(const struct lease *l)
{
    return l->settings.lease_ms / 3;
}

/* ---------------------------------------------------------------- news */

static struct lease_news *news_of(enum lease_news_kind kind)
{
    struct lease_news *n = memory_new(sizeof(*n));

    n->kind = kind;
    return n;
}

static void free_news(void *item)
{
    struct lease_news *n = item;

    snapshot_free(n->snapshot);
    free(n);
}

static void say_lost(struct lease *l, const struct err *reason)
{
    struct lease_news *n = news_of(LEASE_LOST);

    n->gen = l->gen;
    n->epoch = l->epoch;
    n->reason = *reason;
    l->is_leading = false;
    l->other_epoch = 0;
    mailbox_put(l->news, n);
}

static void say_trouble(struct lease *l, const struct err *reason)
{
    struct lease_news *n;
    int64_t now_ms = clock_monotonic_ms();

    l->other_epoch = 0; /* who leads is said anew when the trouble is over */
    if (l->trouble_ms && now_ms - l->trouble_ms < TROUBLE_EVERY_MS)
        return;
    l->trouble_ms = now_ms;
    n = news_of(LEASE_TROUBLE);
    n->reason = *reason;
    mailbox_put(l->news, n);
}

static void say_other(struct lease *l, uint32_t gen, uint64_t epoch, const char *http,
                      const char *router)
{
    struct lease_news *n;

    if (l->other_epoch == epoch)
        return;
    l->other_epoch = epoch;
    n = news_of(LEASE_OTHER);
    n->gen = gen;
    n->epoch = epoch;
    snprintf(n->http_address, sizeof(n->http_address), "%s", http);
    snprintf(n->router_address, sizeof(n->router_address), "%s", router);
    mailbox_put(l->news, n);
}

/* ---------------------------------------------------------------- the row */

static struct param backends_param(struct lease *l, struct buffer *memory)
{
    struct param p;

    pthread_mutex_lock(&l->lock);
    p = pg_array_int4(l->backends, l->backend_count, memory);
    pthread_mutex_unlock(&l->lock);
    return p;
}

/* Time that a leader saw goes on its account, never more than one lease at once: somebody may set
 * the database's clock forward. $1 to $3 are gen, epoch and holder, $4 the length of the lease. */
#define SEEN                                                                                       \
    " observed_ms = observed_ms + greatest(0, least($4::bigint,"                                   \
    " (extract(epoch FROM now() - seen_at) * 1000)::bigint)), seen_at = now()"

/* The lease counts from before the question: the database's now() is later than that. */
static int renew(struct lease *l, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t asked_ms = clock_monotonic_ms(), left_ms = l->end_ms - asked_ms;

    if (left_ms <= 0)
        return err_set(e, ERR_FENCED, "the lease ran out before it could be renewed");
    pg_set_patience(l->pg, left_ms);
    if (PG_QUERY(l->pg,
                 "UPDATE leader SET lease_until = now() + $4 * interval '1 millisecond',"
                 " backend_pids = $5::integer[]," SEEN
                 " WHERE gen = $1 AND epoch = $2 AND holder = $3",
                 &rows, e, PARAM_INT(l->gen), PARAM_INT(l->epoch), PARAM_TEXT(l->settings.holder),
                 PARAM_INT(l->settings.lease_ms), backends_param(l, &memory)))
        return err_wrap(e, "renew the lease");
    if (rows_affected(rows) != 1)
        return err_set(e, ERR_FENCED, "another coordinator took over");
    l->end_ms = asked_ms + l->settings.lease_ms;
    return 0;
}

static void give_up(struct lease *l)
{
    struct err ignored;

    if (!l->pg)
        return;
    if (PG_QUERY(l->pg,
                 "UPDATE leader SET lease_until = now()," SEEN " WHERE gen = $1 AND epoch = $2"
                 " AND holder = $3",
                 NULL, &ignored, PARAM_INT(l->gen), PARAM_INT(l->epoch),
                 PARAM_TEXT(l->settings.holder), PARAM_INT(l->settings.lease_ms)))
        l->other_epoch = 0; /* then it runs out by itself */
}

/* End the connections that the former holder named in its row: a stopped process holds the row's
 * lock for as long as its connection lives. */
static int end_old_backends(struct lease *l, struct err *e)
{
    return PG_QUERY(l->pg,
                    "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a, leader"
                    " WHERE a.pid = ANY (leader.backend_pids) AND leader.epoch = $1"
                    " AND leader.lease_until < now() AND a.usename = current_user"
                    " AND a.datname = current_database() AND a.pid <> pg_backend_pid()",
                    NULL, e, PARAM_INT(l->epoch));
}

/* epoch + 1, when nobody was faster. 1: taken. 0: somebody else's. The time since the
 * last renewal was seen by nobody for certain: it is not counted. */
static int update_row(struct lease *l, const char *lock_timeout, struct err *e)
{
    SCOPED_BUFFER struct buffer memory = { 0 };
    SCOPED(rows_free) struct rows *rows = NULL;

    if (pg_exec(l->pg, lock_timeout, e) ||
        PG_QUERY(l->pg,
                 "UPDATE leader SET epoch = epoch + 1, holder = $3, address = $4, router = $5,"
                 " backend_pids = $6, lease_until = now() + $7 * interval '1 millisecond',"
                 " seen_at = now()"
                 " WHERE gen = $1 AND epoch = $2 AND lease_until < now() RETURNING epoch",
                 &rows, e, PARAM_INT(l->gen), PARAM_INT(l->epoch), PARAM_TEXT(l->settings.holder),
                 PARAM_TEXT(l->settings.http_address), PARAM_TEXT(l->settings.router_address),
                 backends_param(l, &memory), PARAM_INT(l->settings.lease_ms)) ||
        PG_QUERY(l->pg,
                 "SELECT audit_append('lockstepd', 'leader.take', NULL, NULL, NULL,"
                 " jsonb_build_object('gen', gen, 'epoch', epoch, 'holder', holder))"
                 " FROM leader WHERE $1 > 0",
                 NULL, e, PARAM_INT(rows ? (int64_t)rows_affected(rows) : 0)) ||
        pg_exec(l->pg, "COMMIT", e)) {
        pg_rollback(l->pg);
        return -1;
    }
    return rows_affected(rows) == 1;
}

/* A session that is none of a coordinator's is not ended, and one whose process is stopped does not
 * end: nobody leads until somebody ends it, who must know which. */
static void name_holder(struct lease *l, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    struct err ignored;

    if (e->kind != ERR_UNAVAILABLE || pg_is_broken(l->pg) ||
        PG_QUERY(l->pg,
                 "SELECT a.pid, a.application_name, a.state,"
                 " extract(epoch FROM now() - a.xact_start)::bigint"
                 " FROM pg_locks AS k JOIN pg_stat_activity AS a USING (pid)"
                 " WHERE k.relation = 'leader'::regclass AND a.datname = current_database()"
                 " AND k.granted AND k.mode <> 'AccessShareLock' AND a.pid <> pg_backend_pid()"
                 " ORDER BY a.xact_start LIMIT 1",
                 &rows, &ignored) ||
        rows_count(rows) != 1)
        return;
    err_set(e, ERR_UNAVAILABLE,
            "session %lld of PostgreSQL (%s; %s, %lld s) holds the leader's row and does not end: "
            "end it with pg_terminate_backend(), or its process on the database's host",
            (long long)rows_int(rows, 0, 0), rows_text(rows, 0, 1), rows_text(rows, 0, 2),
            (long long)rows_int(rows, 0, 3));
}

/* First politely; whoever still holds the row is ended, and then it is waited for. The clock reads
 * the time before the row was asked for. */
static int take(struct lease *l, int64_t *asked_ms, struct err *e)
{
    int status;

    *asked_ms = clock_monotonic_ms();
    status = update_row(l, "BEGIN; SET LOCAL lock_timeout = '500ms'", e);
    if (status >= 0 || pg_is_broken(l->pg))
        return status;
    if (end_old_backends(l, e))
        return -1;
    *asked_ms = clock_monotonic_ms();
    status = update_row(l, "BEGIN; SET LOCAL lock_timeout = '2s'", e);
    if (status < 0)
        name_holder(l, e);
    return status;
}

/* ---------------------------------------------------------------- leading and following */

static void wake(struct lease *l);

/* Reading all a leader must know may take longer than the lease: it is renewed meanwhile. */
static void *load(void *arg)
{
    struct lease *l = arg;
    struct snapshot *s = NULL;
    struct pg *pg = NULL;
    struct err e = { 0 };

    pulse_begin("lease loader");
    pulse_allow(PULSE_WORK_MS);
    if (pg_open(l->settings.conninfo, "lockstepd lease loader", &pg, &e) == 0) {
        pg_set_patience(pg, LOAD_PATIENCE_MS);
        if (load_snapshot(pg, LOAD_WHOLE, &s, &e))
            s = NULL;
    }
    pg_close(pg);
    pthread_mutex_lock(&l->lock);
    l->is_loaded = true;
    l->loaded = s;
    l->load_error = e;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    return NULL;
}

static void lead(struct lease *l, int64_t asked_ms)
{
    MUST(!l->is_loading);
    l->epoch++;
    l->end_ms = asked_ms + l->settings.lease_ms;
    l->is_leading = true;
    l->is_loading = true;
    l->load_epoch = l->epoch;
    MUST(pthread_create(&l->loading, NULL, load, l) == 0);
}

static struct snapshot *end_loading(struct lease *l, struct err *e)
{
    pthread_join(l->loading, NULL);
    l->is_loading = l->is_loaded = false;
    *e = l->load_error;
    return MOVE(l->loaded);
}

static bool is_loaded(struct lease *l)
{
    bool is_so;

    pthread_mutex_lock(&l->lock);
    is_so = l->is_loading && l->is_loaded;
    pthread_mutex_unlock(&l->lock);
    return is_so;
}

/* Announce the leadership, unless it ended meanwhile. */
static int announce(struct lease *l, struct err *e)
{
    SCOPED(snapshot_free) struct snapshot *s = end_loading(l, e);
    struct lease_news *n;

    if (!l->is_leading || l->load_epoch != l->epoch)
        return 0;
    if (!s) {
        l->is_leading = false;
        give_up(l);
        return err_wrap(e, "load what a leader must know");
    }
    n = news_of(LEASE_GAINED);
    n->gen = l->gen;
    n->epoch = l->epoch;
    n->snapshot = MOVE(s);
    mailbox_put(l->news, n);
    return 0;
}

/* One look at the row. *wait_ms: until the next. */
static int follow(struct lease *l, int64_t *wait_ms, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t asked_ms, left_ms;
    int status;

    pg_set_patience(l->pg, l->settings.lease_ms);
    if (PG_QUERY(l->pg,
                 "SELECT gen, epoch, address, router, greatest(0, least(86400000, floor(1000 *"
                 " extract(epoch FROM lease_until - now()))))::bigint FROM leader"
                 " WHERE lease_until > '-infinity' UNION ALL"
                 " SELECT gen, epoch, address, router, 0 FROM leader"
                 " WHERE lease_until = '-infinity'",
                 &rows, e) ||
        rows_count(rows) != 1)
        return rows ? err_set(e, ERR_CORRUPT, "the leader's row is missing") : -1;
    left_ms = rows_int(rows, 0, 4);
    *wait_ms = left_ms && left_ms < third(l) ? left_ms + 1 : third(l);
    l->gen = (uint32_t)rows_int(rows, 0, 0);
    l->epoch = (uint64_t)rows_int(rows, 0, 1);
    if (left_ms > 0) {
        say_other(l, l->gen, l->epoch, rows_text(rows, 0, 2), rows_text(rows, 0, 3));
        return 0;
    }
    if (clock_monotonic_ms() < l->quiet_ms || l->is_loading)
        return 0;
    status = take(l, &asked_ms, e);
    if (status < 0)
        return -1;
    if (status > 0) {
        lead(l, asked_ms);
        return 0;
    }
    *wait_ms = 0; /* somebody was faster: look who */
    return 0;
}

static bool is_abdicated(struct lease *l, int64_t *quiet_ms_out)
{
    bool is_so;

    pthread_mutex_lock(&l->lock);
    is_so = l->is_leading && l->abdicated == l->epoch;
    l->abdicated = 0;
    *quiet_ms_out = l->abdicated_quiet_ms;
    pthread_mutex_unlock(&l->lock);
    return is_so;
}

static void abdicate(struct lease *l, int64_t quiet_ms)
{
    struct err reason;

    err_set(&reason, ERR_FENCED, "this coordinator gave the leadership up");
    give_up(l);
    say_lost(l, &reason);
    l->quiet_ms = clock_monotonic_ms() + quiet_ms;
}

static bool is_stopping(struct lease *l)
{
    bool is_so;

    pthread_mutex_lock(&l->lock);
    is_so = l->is_stopping;
    pthread_mutex_unlock(&l->lock);
    return is_so;
}

/* One turn of the thread; how long to wait before the next. */
static int64_t turn(struct lease *l)
{
    int64_t wait_ms = third(l), quiet_ms;
    struct err e = { 0 };
    int status;

    if (!l->pg && pg_open(l->settings.conninfo, "lockstepd lease", &l->pg, &e)) {
        say_trouble(l, &e);
        l->retry_ms = l->retry_ms ? l->retry_ms * 2 : RETRY_FIRST_MS;
        return l->retry_ms = l->retry_ms < RETRY_LAST_MS ? l->retry_ms : RETRY_LAST_MS;
    }
    if (!l->is_known) {
        l->is_known = true;
        lease_add_backend(l, pg_backend_pid(l->pg));
    }
    if (is_abdicated(l, &quiet_ms))
        abdicate(l, quiet_ms);
    status = is_loaded(l) ? announce(l, &e) : 0;
    if (status == 0)
        status = l->is_leading ? renew(l, &e) : follow(l, &wait_ms, &e);
    if (status == 0) {
        l->retry_ms = l->trouble_ms = 0;
        return wait_ms;
    }
    if (l->is_leading)
        say_lost(l, &e);
    if (e.kind != ERR_FENCED)
        say_trouble(l, &e);
    if (pg_is_broken(l->pg)) {
        pg_close(l->pg);
        l->pg = NULL;
        l->is_known = false;
    }
    return RETRY_FIRST_MS;
}

static void *run(void *arg)
{
    struct lease *l = arg;
    uint64_t ignored;

    pulse_begin("lease");
    while (!is_stopping(l)) {
        struct pollfd p = { .fd = l->wake_fd, .events = POLLIN };
        int64_t wait_ms = turn(l);

        pulse_beat();
        pulse_allow(wait_ms + PULSE_IDLE_MS);
        if (poll(&p, 1, (int)wait_ms) > 0)
            MUST(read(l->wake_fd, &ignored, sizeof(ignored)) > 0 || errno == EAGAIN);
    }
    if (l->is_loading)
        snapshot_free(end_loading(l, &(struct err){ 0 }));
    if (l->is_leading)
        give_up(l);
    pg_close(l->pg);
    return NULL;
}

/* ---------------------------------------------------------------- the loop's side */

static void wake(struct lease *l)
{
    const uint64_t one = 1;

    MUST(write(l->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

struct lease *lease_start(const struct lease_settings *settings)
{
    struct lease *l = calloc(1, sizeof(*l));

    MUST(l && settings->lease_ms >= 30);
    l->settings = *settings;
    l->news = mailbox_new();
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(l->wake_fd >= 0);
    MUST(pthread_mutex_init(&l->lock, NULL) == 0);
    MUST(pthread_create(&l->thread, NULL, run, l) == 0);
    return l;
}

void lease_stop(struct lease *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->is_stopping = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    pthread_join(l->thread, NULL);
    mailbox_free(l->news, free_news);
    close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int lease_fd(const struct lease *l)
{
    return mailbox_fd(l->news);
}

bool lease_next(struct lease *l, struct lease_news *out)
{
    struct lease_news *n = mailbox_take(l->news);

    if (!n)
        return false;
    *out = *n;
    free(n);
    return true;
}

void lease_abdicate(struct lease *l, uint64_t epoch, int64_t quiet_ms)
{
    pthread_mutex_lock(&l->lock);
    l->abdicated = epoch;
    l->abdicated_quiet_ms = quiet_ms < 0 ? third(l) : quiet_ms;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

void lease_add_backend(struct lease *l, int backend_pid)
{
    pthread_mutex_lock(&l->lock);
    if (l->backend_count == BACKENDS_MAX) {
        memmove(l->backends, l->backends + 1, sizeof(l->backends) - sizeof(l->backends[0]));
        l->backend_count--;
    }
    l->backends[l->backend_count++] = backend_pid;
    pthread_mutex_unlock(&l->lock);
    wake(l); /* the row learns of it with the next renewal: now */
}

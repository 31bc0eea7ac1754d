/* pg.c - one PostgreSQL connection through libpq: never blocks for ever, errors as values. */
#include "coordinator/store/pg.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/pulse.h"
#include "coordinator/store/pg_internal.h"

/* Longer than the session's statement_timeout: normally the server speaks first. */
#define PATIENCE_MS 60000
#define CONNECT_MS 10000
#define PARAMS_MAX 32
#define CONSTRAINT_SIZE 64
#define PROVE_MS 2000 /* so old may the knowledge be that a server takes writes */
#define PROVE_PATIENCE_MS 5000 /* a server that hangs answers nobody */

SCOPED_FREE(PGresult, PQclear)
SCOPED_FREE(PQconninfoOption, PQconninfoFree)

/* A statement this connection has prepared, known by the address of its text. */
struct prepared {
    const char *sql;
    char *copy; /* proves that the address still holds the same text */
};

struct pg {
    PGconn *conn;
    bool is_broken, is_passing;
    unsigned born; /* what `demotions` was when it was opened */
    int64_t patience_ms, proven_ms;
    char constraint[CONSTRAINT_SIZE];
    size_t prepared_count, prepared_capacity; /* capacity: a power of two */
    struct prepared *prepared;
};

/* How often a server was found to take no writes any more: news for every connection. */
static _Atomic unsigned demotions;

/* libpq's texts end with a line end and may have several lines: one line for a person. */
static void one_line(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; *text && n + 1 < size; text++) {
        bool is_space = *text == '\n' || *text == '\t' || *text == ' ';

        if (is_space && (n == 0 || out[n - 1] == ' '))
            continue;
        out[n++] = is_space ? ' ' : *text;
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = 0;
}

__attribute__((format(printf, 3, 4)))
static int inner(struct err *e, enum err_kind kind, const char *fmt, ...)
{
    char text[sizeof(e->text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_set(e, kind, "%s", text);
    e->is_inner = true;
    return -1;
}

static int say_connection(struct pg *pg, const char *doing, struct err *e)
{
    char text[320];
    const char *host = PQhost(pg->conn), *port = PQport(pg->conn), *db = PQdb(pg->conn);

    one_line(PQerrorMessage(pg->conn), text, sizeof(text));
    pg->is_broken = pg->is_passing = true;
    return inner(e, ERR_UNAVAILABLE, "%s database %s at %s:%s: %s", doing, db ? db : "",
                 host ? host : "", port ? port : "", text[0] ? text : "no answer");
}

/* ---------------------------------------------------------------- waiting */

/* Wait until the socket is ready for `events`. 1 ready, 0 time is up, -1 poll failed. */
static int wait_socket(const PGconn *conn, short events, int64_t deadline_ms)
{
    struct pollfd p = { .fd = PQsocket(conn), .events = events };
    int n;

    if (p.fd < 0)
        return -1;
    do {
        int64_t left = deadline_ms - clock_monotonic_ms();

        n = poll(&p, 1, left > 0 ? (int)left : 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : n;
}

/* Until when the server may answer; a thread that waits for it is no thread that hangs. */
static int64_t begin_call(const struct pg *pg)
{
    pulse_allow(pg->patience_ms + PULSE_IDLE_MS);
    return clock_monotonic_ms() + pg->patience_ms;
}

static int say_lost(struct pg *pg, struct err *e)
{
    pg->is_passing = true;
    return err_set(e, ERR_UNAVAILABLE, "the connection to the database was lost");
}

static int say_impatient(struct pg *pg, struct err *e)
{
    pg->is_broken = pg->is_passing = true;
    return inner(e, ERR_UNAVAILABLE, "database %s at %s:%s does not answer (waited %lld ms)",
                 PQdb(pg->conn), PQhost(pg->conn), PQport(pg->conn), (long long)pg->patience_ms);
}

static int flush(struct pg *pg, int64_t deadline_ms, struct err *e)
{
    for (;;) {
        int left = PQflush(pg->conn);

        if (left == 0)
            return 0;
        if (left < 0)
            return say_connection(pg, "send to", e);
        /* The server may be waiting for us to read: take its input as well. */
        if (wait_socket(pg->conn, POLLIN | POLLOUT, deadline_ms) <= 0)
            return say_impatient(pg, e);
        if (!PQconsumeInput(pg->conn))
            return say_connection(pg, "send to", e);
    }
}

/* The next result of what was sent; *out NULL: there are no more. */
static int next_result(struct pg *pg, int64_t deadline_ms, PGresult **out, struct err *e)
{
    while (PQisBusy(pg->conn)) {
        if (wait_socket(pg->conn, POLLIN, deadline_ms) <= 0)
            return say_impatient(pg, e);
        if (!PQconsumeInput(pg->conn))
            return say_connection(pg, "read from", e);
    }
    *out = PQgetResult(pg->conn);
    return 0;
}

/* The last result of what was sent, or the first failed one; always reads to the end. */
static int last_result(struct pg *pg, int64_t deadline_ms, PGresult **out, struct err *e)
{
    SCOPED(PQclear) PGresult *last = NULL;
    bool is_failed = false;

    if (flush(pg, deadline_ms, e))
        return -1;
    for (;;) {
        PGresult *next = NULL;

        if (next_result(pg, deadline_ms, &next, e))
            return -1;
        if (!next)
            break;
        if (is_failed) {
            PQclear(next);
            continue;
        }
        PQclear(last);
        last = next;
        is_failed = PQresultStatus(next) == PGRES_FATAL_ERROR;
    }
    if (!last)
        return say_connection(pg, "read from", e);
    *out = MOVE(last);
    return 0;
}

/* ---------------------------------------------------------------- what went wrong */

static bool is_lost(const char *state)
{
    return strncmp(state, "08", 2) == 0 || strcmp(state, "25006") == 0 ||
           strcmp(state, "57P01") == 0 || strcmp(state, "57P02") == 0 ||
           strcmp(state, "57P03") == 0 || strcmp(state, "25P03") == 0;
}

/* Lock and statement time-outs, serialization, deadlocks, the server's own shortages. */
static bool is_passing(const char *state)
{
    return is_lost(state) || strcmp(state, "55P03") == 0 || strcmp(state, "57014") == 0 ||
           strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 ||
           strncmp(state, "53", 2) == 0;
}

/* Only those opened before go: one that is opened to a server which takes no writes, because the
 * connection string says so, would otherwise end all the others again and again. */
static void note_demotion(struct pg *pg)
{
    unsigned born = pg->born;

    pg->is_broken = true;
    atomic_compare_exchange_strong(&demotions, &born, born + 1);
}

static enum err_kind kind_of(const char *state)
{
    static const char *const conflicts[] = { "23505", "23P01", "40001", "40P01" };
    static const char *const waits[] = { "55P03", "57014", "53300" };

    for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++)
        if (strcmp(state, conflicts[i]) == 0)
            return ERR_CONFLICT;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        if (strcmp(state, waits[i]) == 0)
            return ERR_UNAVAILABLE;
    return ERR_SYSTEM;
}

/* Takes nothing; 0 when the result is good. */
static int judge(struct pg *pg, const PGresult *result, struct err *e)
{
    ExecStatusType status = PQresultStatus(result);
    const char *state, *name, *message;
    char text[320];

    pg->is_passing = false;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
        return 0;
    state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    name = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(pg->constraint, sizeof(pg->constraint), "%s", name ? name : "");
    pg->is_passing = !state || is_passing(state);
    if (state && strcmp(state, "25006") == 0)
        note_demotion(pg);
    if (!state || is_lost(state) || PQstatus(pg->conn) == CONNECTION_BAD) {
        one_line(message ? message : PQresultErrorMessage(result), text, sizeof(text));
        pg->is_broken = true;
        return inner(e, ERR_UNAVAILABLE, "database %s at %s:%s: %s", PQdb(pg->conn),
                     PQhost(pg->conn), PQport(pg->conn), text[0] ? text : "connection lost");
    }
    one_line(message ? message : "", text, sizeof(text));
    return inner(e, kind_of(state), "database: %s (SQLSTATE %s)", text, state);
}

/* ---------------------------------------------------------------- opening */

/* A broken connection string is described without being quoted: it may hold a password. */
int pg_check_conninfo(const char *conninfo, struct err *e)
{
    char *message = NULL;
    SCOPED(PQconninfoFree) PQconninfoOption *options = PQconninfoParse(conninfo, &message);

    if (message)
        PQfreemem(message);
    if (options)
        return 0;
    return err_set(e, ERR_INVALID,
                   "database connection string cannot be read: write key=value pairs "
                   "(host=… dbname=… user=…) or a postgresql:// address");
}

static int await_connection(struct pg *pg, struct err *e)
{
    int64_t deadline_ms = clock_monotonic_ms() + CONNECT_MS;

    pulse_allow(CONNECT_MS + PULSE_IDLE_MS);
    /* Before the first poll libpq wants to be treated as if it waited for writing. */
    for (PostgresPollingStatusType s = PGRES_POLLING_WRITING; s != PGRES_POLLING_OK;
         s = PQconnectPoll(pg->conn)) {
        if (s == PGRES_POLLING_FAILED)
            return say_connection(pg, "connect to", e);
        if (wait_socket(pg->conn, s == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms) <= 0)
            return say_connection(pg, "connect to", e);
    }
    if (PQstatus(pg->conn) != CONNECTION_OK)
        return say_connection(pg, "connect to", e);
    return 0;
}

/* Notices are of no interest, but for the server's last words on an idle connection. */
static void on_notice(void *ctx, const PGresult *result)
{
    struct pg *pg = ctx;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (state && is_lost(state))
        pg->is_broken = true;
}

static int set_up_session(struct pg *pg, struct err *e)
{
    if (PQsetnonblocking(pg->conn, 1))
        return say_connection(pg, "connect to", e);
    PQsetNoticeReceiver(pg->conn, on_notice, pg);
    /* A process that is stopped inside a transaction must not hold everybody else up for long.
     * synchronous_commit: a stronger setting of the administrator stays as it is. */
    return pg_exec(pg,
                   "SET statement_timeout = '30s'; SET timezone = 'UTC';"
                   "SET idle_in_transaction_session_timeout = '5s';"
                   "SET client_encoding = 'UTF8'; SET bytea_output = 'hex';"
                   "SELECT set_config('synchronous_commit', 'on', false)"
                   " WHERE current_setting('synchronous_commit') IN ('off', 'local')",
                   e);
}

int pg_open(const char *conninfo, const char *application_name, struct pg **out, struct err *e)
{
    const char *const keys[] = { "tcp_user_timeout", "keepalives_idle", "target_session_attrs",
                                 "dbname", "application_name", NULL };
    const char *const values[] = { "10000", "10", "read-write", conninfo, application_name, NULL };
    SCOPED(pg_close) struct pg *pg = NULL;

    if (pg_check_conninfo(conninfo, e))
        return -1;
    pg = memory_new(sizeof(*pg));
    pg->patience_ms = PATIENCE_MS;
    pg->born = atomic_load(&demotions); /* before: news that comes meanwhile is for this one, too */
    pg->conn = PQconnectStartParams(keys, values, 1);
    MUST(pg->conn);
    if (PQstatus(pg->conn) == CONNECTION_BAD)
        return say_connection(pg, "connect to", e);
    if (await_connection(pg, e) || set_up_session(pg, e))
        return -1;
    pg->proven_ms = clock_monotonic_ms();
    *out = MOVE(pg);
    return 0;
}

void pg_close(struct pg *pg)
{
    if (!pg)
        return;
    for (size_t i = 0; i < pg->prepared_capacity; i++)
        free(pg->prepared[i].copy);
    free(pg->prepared);
    PQfinish(pg->conn);
    free(pg);
}

void pg_spoil(struct pg *pg)
{
    pg->is_broken = true;
}

bool pg_is_broken(const struct pg *pg)
{
    return pg->is_broken || PQstatus(pg->conn) == CONNECTION_BAD ||
           pg->born != atomic_load(&demotions);
}

bool pg_is_passing(const struct pg *pg)
{
    return pg->is_passing;
}

void pg_interrupt(const struct pg *pg)
{
    int fd = PQsocket(pg->conn);

    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
}

int pg_prove_writable(struct pg *pg, struct err *e)
{
    SCOPED(rows_free) struct rows *rows = NULL;
    int64_t now_ms = clock_monotonic_ms(), patience_ms = pg->patience_ms;
    int rc;

    if (pg_is_broken(pg) || now_ms - pg->proven_ms < PROVE_MS)
        return 0;
    pg->proven_ms = now_ms;
    pg->patience_ms = PROVE_PATIENCE_MS;
    rc = pg_exec_rows(
        pg, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool", &rows,
        e);
    pg->patience_ms = patience_ms;
    if (rc == 0 && rows_count(rows) == 1 && rows_bool(rows, 0, 0))
        note_demotion(pg);
    return rc < 0 && clock_monotonic_ms() >= now_ms + PROVE_PATIENCE_MS ? -1 : 0;
}

int pg_backend_pid(const struct pg *pg)
{
    return PQbackendPID(pg->conn);
}

const char *pg_constraint(const struct pg *pg)
{
    return pg->constraint;
}

bool pg_is_in_transaction(const struct pg *pg)
{
    return PQtransactionStatus(pg->conn) != PQTRANS_IDLE;
}

void pg_set_patience(struct pg *pg, int64_t wait_ms)
{
    pg->patience_ms = wait_ms;
}

/* ---------------------------------------------------------------- statements */

static struct prepared *find_prepared(struct pg *pg, const char *sql)
{
    size_t mask = pg->prepared_capacity - 1;
    size_t i = (size_t)(((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u) & mask;

    while (pg->prepared[i].sql && pg->prepared[i].sql != sql)
        i = (i + 1) & mask;
    return &pg->prepared[i];
}

static void grow_prepared(struct pg *pg)
{
    struct prepared *old = pg->prepared;
    size_t old_capacity = pg->prepared_capacity;

    if (pg->prepared_count * 2 < old_capacity)
        return;
    pg->prepared_capacity = old_capacity ? old_capacity * 2 : 64;
    pg->prepared = memory_array(pg->prepared_capacity, sizeof(*pg->prepared));
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].sql)
            *find_prepared(pg, old[i].sql) = old[i];
    free(old);
}

/* The server's name of a statement: the address of its text, unique in this process. */
static int prepare(struct pg *pg, const char *sql, char name[24], int64_t deadline_ms,
                   struct err *e)
{
    SCOPED(PQclear) PGresult *result = NULL;
    struct prepared *p;

    snprintf(name, 24, "s%zx", (size_t)(uintptr_t)sql);
    grow_prepared(pg);
    p = find_prepared(pg, sql);
    if (p->sql) {
        MUST(strcmp(p->copy, sql) == 0);
        return 0;
    }
    if (!PQsendPrepare(pg->conn, name, sql, 0, NULL))
        return say_connection(pg, "send to", e);
    if (last_result(pg, deadline_ms, &result, e) || judge(pg, result, e))
        return -1;
    p->sql = sql;
    p->copy = memory_text(sql);
    pg->prepared_count++;
    return 0;
}

static int hand_out(PGresult **result, struct rows **out)
{
    if (!out)
        return 0;
    *out = malloc(sizeof(**out));
    MUST(*out);
    (*out)->result = MOVE(*result);
    return 0;
}

int pg_query(struct pg *pg, const char *sql, const struct param *params, size_t count,
             struct rows **out, struct err *e)
{
    const char *values[PARAMS_MAX];
    int sizes[PARAMS_MAX], formats[PARAMS_MAX];
    char name[24];
    int64_t deadline_ms = begin_call(pg);
    SCOPED(PQclear) PGresult *result = NULL;

    MUST(count <= PARAMS_MAX);
    if (pg_is_broken(pg))
        return say_lost(pg, e);
    pg->constraint[0] = 0;
    if (prepare(pg, sql, name, deadline_ms, e))
        return -1;
    for (size_t i = 0; i < count; i++) {
        values[i] = params[i].value;
        sizes[i] = params[i].size;
        formats[i] = params[i].is_binary;
    }
    if (!PQsendQueryPrepared(pg->conn, name, (int)count, values, sizes, formats, 0))
        return say_connection(pg, "send to", e);
    if (last_result(pg, deadline_ms, &result, e) || judge(pg, result, e))
        return -1;
    return hand_out(&result, out);
}

int pg_exec_rows(struct pg *pg, const char *sql, struct rows **out, struct err *e)
{
    int64_t deadline_ms = begin_call(pg);
    SCOPED(PQclear) PGresult *result = NULL;

    if (pg_is_broken(pg))
        return say_lost(pg, e);
    pg->constraint[0] = 0;
    if (!PQsendQuery(pg->conn, sql))
        return say_connection(pg, "send to", e);
    if (last_result(pg, deadline_ms, &result, e) || judge(pg, result, e))
        return -1;
    return hand_out(&result, out);
}

int pg_exec(struct pg *pg, const char *sql, struct err *e)
{
    return pg_exec_rows(pg, sql, NULL, e);
}

void pg_rollback(struct pg *pg)
{
    bool is_passing = pg->is_passing;
    struct err ignored;

    if (pg_is_broken(pg) || !pg_is_in_transaction(pg))
        return;
    if (pg_exec(pg, "ROLLBACK", &ignored))
        pg->is_broken = true;
    pg->is_passing |= is_passing; /* of what failed, not of this */
}

/* ---------------------------------------------------------------- notifications */

int pg_wait(struct pg *pg, int wake_fd, int64_t wait_ms, struct err *e)
{
    struct pollfd p[] = { { .fd = PQsocket(pg->conn), .events = POLLIN },
                          { .fd = wake_fd, .events = POLLIN } };

    if (pg_is_broken(pg))
        return err_set(e, ERR_UNAVAILABLE, "the connection to the database was lost");
    if (poll(p, 2, wait_ms > 0 ? (int)wait_ms : 0) < 0 && errno != EINTR)
        return say_connection(pg, "wait for", e);
    if (!PQconsumeInput(pg->conn))
        return say_connection(pg, "read from", e);
    (void)PQisBusy(pg->conn); /* looks at what was read: it may be the server's last words */
    if (pg_is_broken(pg))
        return err_set(e, ERR_UNAVAILABLE, "the database ended the connection");
    return 0;
}

char *pg_next_notification(struct pg *pg)
{
    PGnotify *n = PQnotifies(pg->conn);
    char *payload;

    if (!n)
        return NULL;
    payload = memory_text(n->extra);
    PQfreemem(n);
    return payload;
}

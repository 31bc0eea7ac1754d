/* pg.h - one PostgreSQL connection: parameters in, rows out, errors as values. The only face of
 * libpq.
 *
 * A connection belongs to one thread at a time. Statements are given with their text; each
 * connection prepares a text once (keyed by its address: pass string literals) and reuses it.
 * A server that takes no writes is not connected to, unless the connection string says otherwise
 * (target_session_attrs). libpq never reconnects by itself: on CONNECTION_BAD and SQLSTATE 25006,
 * 57P01-57P03, 08xxx the call fails with ERR_UNAVAILABLE and pg_is_broken says so; the owner closes
 * and opens another. Other SQLSTATEs: 23505 unique, 23P01, 40001, 40P01 -> ERR_CONFLICT
 * (pg_constraint names which); 55P03, 57014 -> ERR_UNAVAILABLE; anything else ERR_SYSTEM.
 */
#ifndef COORDINATOR_STORE_PG_H
#define COORDINATOR_STORE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/hash.h"
#include "common/err.h"
#include "common/scoped.h"

struct pg;
struct rows; /* a result */

/* conninfo as libpq takes it, several hosts included. The message names host, port, database and
 * the reason, never the password. Every session gets application_name, statement_timeout 30 s,
 * idle_in_transaction_session_timeout 5 s, and time zone UTC. */
int pg_open(const char *conninfo, const char *application_name, struct pg **out, struct err *e)
    __attribute__((warn_unused_result));
/* Can it be read? Nothing is connected to. */
int pg_check_conninfo(const char *conninfo, struct err *e) __attribute__((warn_unused_result));
void pg_close(struct pg *pg);
SCOPED_FREE(struct pg, pg_close)
/* Broken, too, is a connection whose server cannot be written to (any more), and every other one
 * that was opened before the process learnt so from one of them: after a failover all go and look
 * for the new primary, not only the one that wanted to write. */
bool pg_is_broken(const struct pg *pg);
/* Asks the server whether it can be written to, when it was not asked for a while. For connections
 * that only read: nobody else would ever tell them. -1: it does not answer at all; it is broken. */
int pg_prove_writable(struct pg *pg, struct err *e);
/* Its session is in a state that nobody else may get: broken from now on. */
void pg_spoil(struct pg *pg);
int pg_backend_pid(const struct pg *pg);
/* The last statement failed for something that passes: a wait that took too long, a deadlock, a
 * server that is going down or cannot be reached. The same may work in a moment. */
bool pg_is_passing(const struct pg *pg);
/* From any thread: whoever waits for this connection waits no more; it is broken. The caller sees
 * to it that the connection is not closed meanwhile. */
void pg_interrupt(const struct pg *pg);
/* Constraint or index of the last ERR_CONFLICT, "" when unknown. */
const char *pg_constraint(const struct pg *pg);

/* Parameters: text form, or binary for bytea and arrays (pg_array_*). */
struct param {
    const char *value; /* NULL: SQL NULL */
    int size;          /* binary only */
    bool is_binary;
};
#define PARAM_TEXT(text) ((struct param){ .value = (text) })
#define PARAM_NULL ((struct param){ .value = NULL })
#define PARAM_BOOL(b) ((struct param){ .value = (b) ? "t" : "f" })
#define PARAM_INT(n) PARAM_TEXT(pg_int((int64_t)(n), (char[24]){ 0 }))
#define PARAM_BYTES(at, length)                                                                    \
    ((struct param){ .value = (const char *)(at), .size = (int)(length), .is_binary = true })
/* A hash; the zero hash is SQL NULL (revision 0). */
struct param pg_hash(const struct hash *hash);
const char *pg_int(int64_t n, char out[24]);

/* Binary arrays (int8[], int4[], text[], bytea[]) for unnest; zero texts are SQL NULLs. The buffer
 * grows and belongs to the caller. */
struct buffer;
struct param pg_array_int8(const int64_t *values, size_t count, struct buffer *memory);
struct param pg_array_int4(const int32_t *values, size_t count, struct buffer *memory);
struct param pg_array_text(const char *const *values, size_t count, struct buffer *memory);
struct param pg_array_bytea(const struct param *values, size_t count, struct buffer *memory);

/* One statement. *out may be NULL when no rows matter. Returns -1 on any error. */
int pg_query(struct pg *pg, const char *sql, const struct param *params, size_t count,
             struct rows **out, struct err *e) __attribute__((warn_unused_result));
#define PG_QUERY(pg, sql, out, e, ...)                                                             \
    pg_query(pg, sql, (const struct param[]){ __VA_ARGS__ },                                       \
             sizeof((const struct param[]){ __VA_ARGS__ }) / sizeof(struct param), out, e)
/* Without parameters, possibly several statements (migrations, BEGIN, SET LOCAL). */
int pg_exec(struct pg *pg, const char *sql, struct err *e) __attribute__((warn_unused_result));
/* The same; *out has the rows of the last statement. For a whole BEGIN … in one round trip. */
int pg_exec_rows(struct pg *pg, const char *sql, struct rows **out, struct err *e)
    __attribute__((warn_unused_result));
/* Always ends an open transaction; errors are of no interest (the connection is marked broken). */
void pg_rollback(struct pg *pg);
bool pg_is_in_transaction(const struct pg *pg);

/* The caller's patience with one call, in place of the usual minute: a server that is stopped, or
 * a network that is cut, answers never. A call that takes longer breaks the connection. */
void pg_set_patience(struct pg *pg, int64_t wait_ms);

/* LISTEN: after pg_exec(pg, "LISTEN lockstep"), wait at most wait_ms for the server to say
 * something or for wake_fd (-1: none) to become readable. -1: the connection is broken. Then take
 * the payloads one by one; the text is malloc'ed; NULL: no more. */
int pg_wait(struct pg *pg, int wake_fd, int64_t wait_ms, struct err *e)
    __attribute__((warn_unused_result));
char *pg_next_notification(struct pg *pg);

void rows_free(struct rows *rows);
SCOPED_FREE(struct rows, rows_free)
size_t rows_count(const struct rows *rows);
size_t rows_affected(const struct rows *rows);
bool rows_is_null(const struct rows *rows, size_t row, int column);
const char *rows_text(const struct rows *rows, size_t row, int column); /* lent; "" for NULL */
size_t rows_size(const struct rows *rows, size_t row, int column);
/* The column is a number; NULL is 0; one beyond the range is the end of the range. */
int64_t rows_int(const struct rows *rows, size_t row, int column);
bool rows_bool(const struct rows *rows, size_t row, int column);
/* A bytea column that was selected as encode(column, 'hex'). NULL gives the zero hash; what is no
 * hash, because somebody wrote it by hand, gives one of all ones, which nothing has. */
struct hash rows_hash(const struct rows *rows, size_t row, int column);
/* Any bytea column (text format \x…): decoded, malloc'ed. */
char *rows_bytes(const struct rows *rows, size_t row, int column, size_t *size_out);

/* A pool for threads that answer requests: take waits at most wait_ms for a free or a new
 * connection; give puts it back, or closes it when broken or inside a transaction. The texts of
 * pg_pool_new are lent while the pool lives. */
struct pg_pool;
struct pg_pool *pg_pool_new(const char *conninfo, const char *application_name, unsigned max);
void pg_pool_free(struct pg_pool *pool);
int pg_pool_take(struct pg_pool *pool, int64_t wait_ms, struct pg **out, struct err *e)
    __attribute__((warn_unused_result));
void pg_pool_give(struct pg_pool *pool, struct pg **pg);

#endif

/* err.h - how a function says what went wrong in the world outside the program. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdbool.h>

/* kind, HTTP status, problem code, what it means */
#define ERR_KINDS(X)                                                                               \
    X(NONE, 500, "internal")           /* nothing went wrong (yet) */                              \
    X(MALFORMED, 400, "malformed")     /* not even readable: broken JSON, YAML, frame */           \
    X(INVALID, 422, "invalid")         /* readable and wrong; trying again cannot help */          \
    X(UNAUTHORIZED, 401, "unauthorized")                                                           \
    X(FORBIDDEN, 403, "forbidden")                                                                 \
    X(NOT_FOUND, 404, "not_found")                                                                 \
    X(CONFLICT, 409, "conflict")       /* someone else changed it first, or it is not the time */  \
    X(GONE, 410, "gone")               /* it was there, and is not for ever */                     \
    X(STALE, 412, "precondition_failed")                                                           \
    X(TOO_LARGE, 413, "too_large")                                                                 \
    X(THROTTLED, 429, "too_many_requests") /* may work in a moment */                              \
    X(UNAVAILABLE, 503, "unavailable") /* may work later */                                        \
    X(FENCED, 503, "not_leader")       /* a newer leader took over; nothing was written */         \
    X(CORRUPT, 500, "corrupt")         /* stored data contradicts itself */                        \
    X(SYSTEM, 500, "system")           /* the machine said no: disk, memory map, descriptor */

enum err_kind {
#define X(name, status, code) ERR_##name,
    ERR_KINDS(X)
#undef X
};

/* text is one sentence for a person: the field, the reason, the remedy. code, when set, is a
 * static string and overrides the kind's problem code in the API (e.g. "scope_busy"). */
struct err {
    enum err_kind kind;
    const char *code;
    bool is_inner; /* the text has the words, hosts or paths of a server behind us: for the log */
    char text[480];
};

/* Fill `e` and return -1, so that `return err_set(...)` is the whole error path. */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with a problem code of its own. */
int err_code(struct err *e, enum err_kind kind, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Put the caller's context in front of the text already in `e`; return -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int err_status(enum err_kind kind);                 /* HTTP status of a kind */
const char *err_problem_code(const struct err *e); /* never NULL */

#endif

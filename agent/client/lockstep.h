/* lockstep.h - liblockstep: typed, local reads of the configuration that this server's agent publishes.
 *
 * An agent publishes the active revision of each of its scopes as an immutable file, mapped into
 * every process that reads it. Reading takes no lock and makes no system call; it never waits for
 * the agent, and goes on with what was published last while the agent is down.
 *
 *     struct lockstep *config;
 *
 *     if (lockstep_open(&config, "payments/prod", 5000) < 0)
 *         return 1;
 *     limit = lockstep_int(config, "limits.rps", 100);
 *
 * Threads: every function may be called from every thread, on the same handle too; only
 * lockstep_close must be the last call on its handle. None may be called from a signal handler.
 * Fork: the child reads on with the same handle. The notification and the registration as a
 * consumer stay the parent's: a child that wants its own opens the scope again.
 * Values below zero are errors: -EINVAL, -ENOMEM and others of errno.h.
 *
 * See liblockstep(3) and the README beside this file.
 */
#ifndef AGENT_CLIENT_LOCKSTEP_H
#define AGENT_CLIENT_LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOCKSTEP_VERSION "0.1.0"
#define LOCKSTEP_HASH_SIZE 65 /* 64 hexadecimal digits and the terminating zero */

/* Not an error: there is no document yet. Gets give their defaults until there is one. */
#define LOCKSTEP_NOT_LOADED 1
/* Not an error: the agent is not there. What was said is kept and said when it is back. */
#define LOCKSTEP_UNREACHED 2

#if defined(__GNUC__)
#define LOCKSTEP_API __attribute__((visibility("default")))
#else
#define LOCKSTEP_API
#endif

struct lockstep;          /* one scope, open for reading */
struct lockstep_snapshot; /* one revision of it, whole and unchanging while it is held */

/* ---- opening ---- */

/* Opens SERVICE/ENVIRONMENT and waits up to wait_ms (0: not at all, -1: for ever) for a first
 * document. 0: loaded. LOCKSTEP_NOT_LOADED: *out is open all the same, and loads when the agent has
 * published. Below zero: *out is NULL. The folder is $LOCKSTEP_DIR, or /var/lib/lockstep. */
LOCKSTEP_API int lockstep_open(struct lockstep **out, const char *scope, int wait_ms);
/* The same below another folder: the agent's publish_dir. */
LOCKSTEP_API int lockstep_open_at(struct lockstep **out, const char *folder, const char *scope,
                                  int wait_ms);
/* Waits once more, as lockstep_open does. */
LOCKSTEP_API int lockstep_wait(struct lockstep *config, int wait_ms);
/* Snapshots that are still held stay valid. NULL is fine. */
LOCKSTEP_API void lockstep_close(struct lockstep *config);
/* Why the newest state could not be loaded, as a sentence; empty when it could. Returns `out`. */
LOCKSTEP_API const char *lockstep_trouble(struct lockstep *config, char *out, size_t size);

/* ---- reading one value of the newest revision ---- */

/* The default is returned when the key is absent, is a secret, or is nothing of that type: an int
 * is a whole number that fits, whatever type was declared for the key ("3600" counts); true, 1, yes
 * and on are true, false, 0, no and off are false, in any case. */
LOCKSTEP_API int64_t lockstep_int(struct lockstep *config, const char *key, int64_t preset);
LOCKSTEP_API double lockstep_double(struct lockstep *config, const char *key, double preset);
LOCKSTEP_API bool lockstep_bool(struct lockstep *config, const char *key, bool preset);
/* Any value as it was written, copied into `out` and cut to `size` - 1 bytes; returns its whole
 * length, as snprintf does. A NULL preset is an empty text. */
LOCKSTEP_API size_t lockstep_string(struct lockstep *config, const char *key, const char *preset,
                                    char *out, size_t size);
/* The same for values that are JSON texts: of type json, number or boolean. */
LOCKSTEP_API size_t lockstep_json(struct lockstep *config, const char *key, const char *preset,
                                  char *out, size_t size);
/* What is being read at this moment; 0: no document. */
LOCKSTEP_API uint64_t lockstep_revision(struct lockstep *config);

/* ---- reading several values of one revision ---- */

/* The newest revision, held until it is released: all its values belong together. Never NULL;
 * before a first document it is empty, of revision 0. */
LOCKSTEP_API const struct lockstep_snapshot *lockstep_hold(struct lockstep *config);
LOCKSTEP_API void lockstep_release(const struct lockstep_snapshot *snapshot);

LOCKSTEP_API int64_t lockstep_held_int(const struct lockstep_snapshot *snapshot, const char *key,
                                       int64_t preset);
LOCKSTEP_API double lockstep_held_double(const struct lockstep_snapshot *snapshot, const char *key,
                                         double preset);
LOCKSTEP_API bool lockstep_held_bool(const struct lockstep_snapshot *snapshot, const char *key,
                                     bool preset);
/* Lent by the snapshot, not copied. */
LOCKSTEP_API const char *lockstep_held_string(const struct lockstep_snapshot *snapshot,
                                              const char *key, const char *preset);
LOCKSTEP_API const char *lockstep_held_json(const struct lockstep_snapshot *snapshot,
                                            const char *key, const char *preset);

LOCKSTEP_API uint64_t lockstep_held_revision(const struct lockstep_snapshot *snapshot);
/* 64 hexadecimal digits, lent by the snapshot: SHA-256 of the canonical document; "" without. */
LOCKSTEP_API const char *lockstep_held_hash(const struct lockstep_snapshot *snapshot);

enum lockstep_type {
    LOCKSTEP_STRING,
    LOCKSTEP_NUMBER,
    LOCKSTEP_BOOLEAN,
    LOCKSTEP_JSON,
    LOCKSTEP_YAML,
    LOCKSTEP_SECRET, /* the key is there, its value is not: it is encrypted, and not for here */
};

struct lockstep_item {
    const char *key;
    enum lockstep_type type;
    const char *text; /* as written; NULL for a secret */
    size_t size;      /* of text, without the terminating zero */
    bool is_int, is_double, is_bool; /* which of the following hold something */
    int64_t int_value;
    double double_value;
    bool bool_value;
};

/* Keys in the order of their bytes, 0 … count - 1; false: no such key. All is lent by the
 * snapshot. */
LOCKSTEP_API size_t lockstep_held_count(const struct lockstep_snapshot *snapshot);
LOCKSTEP_API bool lockstep_held_at(const struct lockstep_snapshot *snapshot, size_t index,
                                   struct lockstep_item *out);
LOCKSTEP_API bool lockstep_held_find(const struct lockstep_snapshot *snapshot, const char *key,
                                     struct lockstep_item *out);

/* ---- learning of changes ---- */

/* A descriptor for poll, select, epoll or an event loop: readable when there may be news. It
 * belongs to the handle. Below zero: it cannot be had, or lockstep_watch is at work (-EBUSY). */
LOCKSTEP_API int lockstep_fd(struct lockstep *config);
/* Makes the descriptor quiet again, and looks: 1 when the agent switched to another revision since
 * the call before (the first time: since the scope was opened), 0 when not. Without the descriptor
 * it may also be called from time to time. */
LOCKSTEP_API int lockstep_changed(struct lockstep *config);

/* A thread of the library's own that calls `fn` at once with what there is, and then after every
 * change. The snapshot is held during the call. `fn` must not call lockstep_unwatch or
 * lockstep_close. One watch per handle. */
typedef void lockstep_watch_fn(struct lockstep *config, const struct lockstep_snapshot *snapshot,
                               void *context);
LOCKSTEP_API int lockstep_watch(struct lockstep *config, lockstep_watch_fn *fn, void *context);
/* After it no call of `fn` runs or begins. */
LOCKSTEP_API void lockstep_unwatch(struct lockstep *config);

/* ---- saying what this process runs ---- */

/* Registers this process as a consumer of the scope: the agent will not call a change applied
 * before every registered consumer, or as many as its settings say, has confirmed it. The process
 * counts until it ends or closes the handle. `name` is for people; NULL: the program's own.
 * 0: told. LOCKSTEP_UNREACHED: the agent is not there; it is told when it is, provided that the
 * process has a watch or calls lockstep_changed. -EACCES: it said no; lockstep_trouble has why. */
LOCKSTEP_API int lockstep_register(struct lockstep *config, const char *name);
/* This process now runs what is in the snapshot; or it cannot, and `why_not` (else NULL) is the
 * sentence that operators will read: then the change fails on this server and is taken back.
 * Registers when that was not done. Never waits, and returns as lockstep_register does. */
LOCKSTEP_API int lockstep_confirm(struct lockstep *config,
                                  const struct lockstep_snapshot *snapshot, const char *why_not);

#ifdef __cplusplus
}
#endif

#endif

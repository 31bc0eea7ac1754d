/* log_limit.c - warnings that others can cause without end: the first, then how many, then the last. */
#include "common/log_limit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/table.h"

#define QUIET_MS 60000
#define LINES_MAX 4096 /* causes and peers remembered at once: 1 MB and their reasons */
#define PEER_SIZE 128
#define OTHERS "others"

struct line_key {
    const char *message;
    char peer[PEER_SIZE];
};

struct line {
    struct line_key key; /* zeroed before it is filled: it is hashed as bytes */
    char *reason; /* the newest */
    uint64_t count; /* since the line that was written last */
    int64_t due_ms;
    UT_hash_handle hh;
};

struct log_limit {
    struct line *lines; /* in the order of their beginning */
};

struct log_limit *log_limit_new(void)
{
    struct log_limit *l = memory_new(sizeof(*l));

    return l;
}

static void say(const struct line *line)
{
    log_warn(line->key.message, "peer", line->key.peer[0] ? line->key.peer : NULL, "reason",
             line->reason[0] ? line->reason : NULL, "again",
             line->count ? LOG_NUMBER(line->count) : NULL);
}

static void keep_reason(struct line *line, const char *reason)
{
    free(line->reason);
    line->reason = memory_text(reason);
}

static void drop(struct log_limit *l, struct line *line)
{
    HASH_DEL(l->lines, line);
    free(line->reason);
    free(line);
}

void log_limit_free(struct log_limit *l)
{
    if (!l)
        return;
    while (l->lines) {
        if (l->lines->count)
            say(l->lines);
        drop(l, l->lines);
    }
    free(l);
}

static struct line *find(struct log_limit *l, const char *message, const char *peer,
                         struct line_key *key)
{
    struct line *found;

    memset(key, 0, sizeof(*key));
    key->message = message;
    snprintf(key->peer, sizeof(key->peer), "%s", peer);
    HASH_FIND(hh, l->lines, key, sizeof(*key), found);
    return found;
}

static void note(struct line *line, const char *reason)
{
    line->count++;
    keep_reason(line, reason);
}

void log_limit_warn(struct log_limit *l, int64_t now_ms, const char *message, const char *peer,
                    const char *reason)
{
    struct line_key key;
    struct line *line;

    if (!l)
        return;
    line = find(l, message, peer, &key);
    if (!line && HASH_COUNT(l->lines) >= LINES_MAX)
        line = find(l, message, OTHERS, &key);
    if (line) {
        note(line, reason);
        return;
    }
    line = memory_new(sizeof(*line));
    memcpy(&line->key, &key, sizeof(key));
    keep_reason(line, reason);
    line->due_ms = now_ms + QUIET_MS;
    HASH_ADD(hh, l->lines, key, sizeof(line->key), line);
    say(line);
}

void log_limit_over(struct log_limit *l, const char *peer)
{
    struct line *line, *next;

    if (!l)
        return;
    HASH_ITER(hh, l->lines, line, next)
    {
        if (strcmp(line->key.peer, peer) != 0)
            continue;
        if (line->count)
            say(line);
        drop(l, line);
    }
}

/* A line begins a minute when it is written, so the oldest are due first. */
void log_limit_tick(struct log_limit *l, int64_t now_ms)
{
    while (l->lines && l->lines->due_ms <= now_ms) {
        struct line *line = l->lines;

        if (!line->count) {
            drop(l, line);
            continue;
        }
        say(line);
        line->count = 0;
        line->due_ms = now_ms + QUIET_MS;
        HASH_DEL(l->lines, line);
        HASH_ADD(hh, l->lines, key, sizeof(line->key), line);
    }
}

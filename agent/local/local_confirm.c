/* local_confirm.c - POST …/confirm: a process says over local HTTP which content it runs. */
#include "agent/local/local_confirm.h"

#include <jansson.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/publish/consumers.h"
#include "common/invariant.h"

#define CONFIRMERS_MAX 64
#define NAME_SIZE 40

/* One process and the handle that speaks for it. */
struct confirmer {
    struct lockstep *config; /* NULL: the place is free */
    int pid_fd;              /* readable when the process has ended */
    pid_t pid;
    uid_t uid;
    char scope[SCOPE_BUFFER];
};

struct confirmers {
    pthread_mutex_t lock;
    char *folder;
    struct confirmer all[CONFIRMERS_MAX];
};

struct word {
    const char *hash, *error, *name; /* lent by the body; NULL: not said */
    pid_t pid;
};

struct confirmers *confirmers_new(const char *publish_dir)
{
    struct confirmers *c = calloc(1, sizeof(*c));

    MUST(c && (c->folder = strdup(publish_dir)));
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void part(struct confirmer *who)
{
    lockstep_close(who->config);
    close(who->pid_fd);
    *who = (struct confirmer){ 0 };
}

void confirmers_free(struct confirmers *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CONFIRMERS_MAX; i++)
        if (c->all[i].config)
            part(&c->all[i]);
    pthread_mutex_destroy(&c->lock);
    free(c->folder);
    free(c);
}

static bool has_ended(const struct confirmer *who)
{
    struct pollfd fd = { .fd = who->pid_fd, .events = POLLIN };

    return poll(&fd, 1, 0) != 0;
}

void confirmers_look(struct confirmers *c)
{
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < CONFIRMERS_MAX; i++) {
        struct confirmer *who = &c->all[i];

        if (who->config && has_ended(who))
            part(who);
        else if (who->config)
            (void)lockstep_changed(who->config); /* what the agent has not heard is said again */
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- what is said ---- */

static int read_text(const json_t *body, const char *name, const char **out, struct err *e)
{
    const json_t *field = json_object_get(body, name);

    *out = json_string_value(field);
    if (field && !*out && !json_is_null(field))
        return err_set(e, ERR_INVALID, "%s must be a string", name);
    return 0;
}

static int check_fields(const json_t *body, struct err *e)
{
    static const char *const known[] = { "hash", "error", "name", "pid" };
    void *at = json_object_iter((json_t *)body);

    for (; at; at = json_object_iter_next((json_t *)body, at)) {
        bool is_known = false;

        for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            is_known |= strcmp(json_object_iter_key(at), known[i]) == 0;
        if (!is_known)
            return err_set(e, ERR_INVALID, "\"%.100s\" is no field of this request: there are "
                           "hash, error, name and pid", json_object_iter_key(at));
    }
    return 0;
}

/* Another process than the connection's must be one of the same user. */
static int read_pid(const struct local_request *rq, const json_t *body, pid_t *out, struct err *e)
{
    const json_t *field = json_object_get(body, "pid");
    char path[64];
    struct stat st;

    *out = rq->peer->pid;
    if (!field)
        return 0;
    if (!json_is_integer(field) || json_integer_value(field) < 1 ||
        json_integer_value(field) > INT32_MAX)
        return err_set(e, ERR_INVALID, "pid must be the number of a process");
    *out = (pid_t)json_integer_value(field);
    snprintf(path, sizeof(path), "/proc/%d", (int)*out);
    if (stat(path, &st) || (rq->peer->uid != 0 && st.st_uid != rq->peer->uid))
        return err_set(e, ERR_FORBIDDEN, "pid %d is no process of this user", (int)*out);
    return 0;
}

static int read_word(const struct local_request *rq, const json_t *body, struct word *out,
                     struct err *e)
{
    if (!json_is_object(body))
        return err_set(e, ERR_MALFORMED, "the body must be a JSON object like {\"hash\":\"…\"}");
    if (check_fields(body, e) || read_text(body, "hash", &out->hash, e) ||
        read_text(body, "error", &out->error, e) || read_text(body, "name", &out->name, e) ||
        read_pid(rq, body, &out->pid, e))
        return -1;
    if (out->error && !out->hash)
        return err_set(e, ERR_INVALID, "error needs hash: which content it cannot run");
    return 0;
}

/* As with liblockstep: who may hold up a change is named. */
static int check_may(const struct local_request *rq, const struct local_scope *scope,
                     struct err *e)
{
    unsigned count = atomic_load(&scope->consumer_user_count);
    uid_t users[AGENT_CONSUMER_USERS_MAX];

    for (unsigned i = 0; i < count; i++)
        users[i] = atomic_load(&scope->consumer_users[i]);
    if (rq->peer->is_known && consumers_may(users, count, rq->peer->uid) &&
        local_request_may_read(rq, scope))
        return 0;
    return err_set(e, ERR_FORBIDDEN, "only root, the agent's user and the consumer_users of the "
                   "scope in the agent's settings may confirm, over the Unix socket");
}

/* ---- whose word it is ---- */

static struct confirmer *find(struct confirmers *c, pid_t pid, const char *scope)
{
    for (unsigned i = 0; i < CONFIRMERS_MAX; i++)
        if (c->all[i].config && c->all[i].pid == pid && strcmp(c->all[i].scope, scope) == 0 &&
            !has_ended(&c->all[i]))
            return &c->all[i];
    return NULL;
}

/* NULL: there is none, or none left for this user. */
static struct confirmer *find_place(struct confirmers *c, uid_t uid, struct err *e)
{
    struct confirmer *unused = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < CONFIRMERS_MAX; i++)
        if (c->all[i].config)
            count += c->all[i].uid == uid;
        else
            unused = &c->all[i];
    if (unused && count < CONFIRMERS_MAX / 2)
        return unused;
    err_set(e, ERR_UNAVAILABLE, "%s processes are registered over HTTP already: %d of all users, "
            "or %d of one", unused ? "this user's" : "too many", CONFIRMERS_MAX,
            CONFIRMERS_MAX / 2);
    return NULL;
}

static struct confirmer *come_in(struct confirmers *c, const struct word *word, uid_t uid,
                                 const char *scope, struct err *e)
{
    char name[NAME_SIZE + 24];
    struct confirmer *who = find_place(c, uid, e);

    if (!who)
        return NULL;
    *who = (struct confirmer){ .pid = word->pid, .uid = uid,
                               .pid_fd = (int)syscall(SYS_pidfd_open, word->pid, 0) };
    if (who->pid_fd < 0 || lockstep_open_at(&who->config, c->folder, scope, 0) < 0) {
        err_set(e, ERR_CONFLICT, "process %d has ended, or %s cannot be read", (int)word->pid,
                scope);
        if (who->pid_fd >= 0)
            close(who->pid_fd);
        *who = (struct confirmer){ 0 };
        return NULL;
    }
    snprintf(who->scope, sizeof(who->scope), "%s", scope);
    snprintf(name, sizeof(name), "%.*s (pid %d)", NAME_SIZE, word->name ? word->name : "http",
             (int)word->pid);
    (void)lockstep_register(who->config, name);
    return who;
}

static int speak(struct confirmer *who, const struct word *word, struct local_answer *answer,
                 struct err *e)
{
    const struct lockstep_snapshot *s = lockstep_hold(who->config);
    const char *hash = lockstep_held_hash(s);
    int rc = 0;

    if (word->hash && strcmp(word->hash, hash) != 0)
        rc = err_set(e, ERR_CONFLICT, "%s runs %s now, not %.64s; read it and confirm that",
                     who->scope, *hash ? hash : "no configuration", word->hash);
    else if (word->hash && lockstep_confirm(who->config, s, word->error) < 0)
        rc = err_set(e, ERR_UNAVAILABLE, "the agent took no confirmation for %s; ask again",
                     who->scope);
    if (rc == 0) {
        local_answer_with(answer, "application/json");
        buffer_printf(&answer->body, "{\"revision\":%" PRIu64 ",\"hash\":\"%s\",\"pid\":%d,"
                      "\"confirmed\":%s}\n", lockstep_held_revision(s), hash, (int)who->pid,
                      word->hash && !word->error ? "true" : "false");
    }
    lockstep_release(s);
    return rc;
}

int local_post_confirm(struct local_request *rq, struct err *e)
{
    struct local_scope *scope = local_request_scope(rq, e);
    struct confirmers *c = rq->house->confirmers;
    struct confirmer *who;
    struct word word;
    json_t *body;
    int rc = -1;

    if (!scope || LOCAL_QUERY_ONLY(rq, e) || check_may(rq, scope, e))
        return -1;
    body = json_loadb(rq->body.data ? rq->body.data : "", rq->body.size, JSON_REJECT_DUPLICATES,
                      NULL);
    if (read_word(rq, body, &word, e) == 0) {
        pthread_mutex_lock(&c->lock);
        who = find(c, word.pid, scope->name);
        if (!who)
            who = come_in(c, &word, rq->peer->uid, scope->name, e);
        rc = who ? speak(who, &word, &rq->answer, e) : -1;
        pthread_mutex_unlock(&c->lock);
    }
    json_decref(body);
    return rc;
}

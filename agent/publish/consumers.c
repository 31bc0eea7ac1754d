/* consumers.c - processes that registered as consumers of a scope, and what each says it runs. */
#include "agent/publish/consumers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/client/report.h"
#include "agent/disk/disk.h"
#include "common/clock.h"
#include "common/invariant.h"
#include "common/log.h"
#include "common/memory.h"

#define EVENTS_MAX 32
#define ARRIVALS_MAX 32 /* in one step, too */
#define PACKETS_MAX 8 /* of one process in one step: the others are heard too */
#define SAY_MS 1000 /* between two lines about rejections: anybody may knock, as fast as he likes */

struct consumer {
    int fd; /* -1: the place is free */
    struct ucred who;
    char scope[REPORT_SCOPE_SIZE]; /* empty until it registered */
    char name[REPORT_NAME_SIZE];
    bool has_run, has_refused;
    struct hash runs, refuses; /* the newest content that it confirmed; that it cannot run */
    char why_not[REPORT_TEXT_SIZE];
};

struct consumers {
    int listener, epoll;
    int64_t said_ms; /* when a rejection was logged last */
    uint64_t unsaid; /* rejections since */
    struct consumer all[AGENT_CONSUMERS_MAX];
};

/* ---- the socket ---- */

/* By way of the folder's descriptor: an address has 107 bytes at most, a path more. */
static int address_of(const char *folder, struct sockaddr_un *out, struct err *e)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return disk_trouble(e, "opening the folder", folder);
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" PUBLISHED_SOCKET, fd);
    return fd;
}

static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_there = fd >= 0 && connect(fd, (const void *)address, sizeof(*address)) == 0;

    if (fd >= 0)
        close(fd);
    return is_there;
}

/* What a crashed agent left is replaced; a living one's is not. Everybody may knock: who may
 * register is decided by what the kernel says of them. */
static int listen_at(struct consumers *c, const struct sockaddr_un *address, struct err *e)
{
    if (is_answered(address))
        return err_set(e, ERR_CONFLICT, "[agent] publish_dir: another agent serves this folder; "
                       "give each its own");
    if (unlink(address->sun_path) && errno != ENOENT)
        return disk_trouble(e, "removing", PUBLISHED_SOCKET);
    c->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listener < 0 || bind(c->listener, (const void *)address, sizeof(*address)) ||
        chmod(address->sun_path, 0666) || listen(c->listener, AGENT_CONSUMERS_MAX))
        return disk_trouble(e, "listening on", PUBLISHED_SOCKET);
    return 0;
}

static int watch_for(const struct consumers *c, int fd, uint32_t index)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = index };

    return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event);
}

int consumers_open(const char *publish_dir, struct consumers **out, struct err *e)
{
    struct consumers *c = memory_new(sizeof(*c));
    struct sockaddr_un address;
    int folder = address_of(publish_dir, &address, e), rc = -1;

    for (unsigned i = 0; i < AGENT_CONSUMERS_MAX; i++)
        c->all[i].fd = -1;
    c->listener = -1;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    MUST(c->epoll >= 0);
    if (folder >= 0) {
        rc = listen_at(c, &address, e);
        close(folder);
    }
    if (rc) {
        consumers_close(c);
        return -1;
    }
    MUST(watch_for(c, c->listener, AGENT_CONSUMERS_MAX) == 0);
    *out = c;
    return 0;
}

void consumers_close(struct consumers *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < AGENT_CONSUMERS_MAX; i++)
        if (c->all[i].fd >= 0)
            close(c->all[i].fd);
    if (c->listener >= 0)
        close(c->listener);
    close(c->epoll);
    free(c);
}

int consumers_fd(const struct consumers *c)
{
    return c->epoll;
}

/* ---- who may ---- */

bool consumers_may(const uid_t *users, unsigned count, uid_t uid)
{
    bool may = uid == 0 || uid == geteuid();

    for (unsigned i = 0; i < count; i++)
        may |= users[i] == uid;
    return may;
}

/* NULL, or why not. */
static const char *refusal(const struct consumer *who, const struct agent_settings *settings,
                           const char *scope)
{
    for (unsigned i = 0; i < settings->scope_count; i++) {
        const struct agent_scope *s = settings->scopes[i];

        if (strcmp(s->name, scope) != 0)
            continue;
        return consumers_may(s->consumer_users, s->consumer_user_count, who->who.uid)
                   ? NULL
                   : "its user is not named in consumer_users of this scope";
    }
    return "the agent does not read this scope";
}

/* ---- coming, speaking, leaving ---- */

/* Who confirms over local HTTP is spoken for by this process, and his own number is in his name. */
static const char *pid_of(const struct consumer *who, char out[24])
{
    return who->who.pid == getpid() ? NULL : log_number(who->who.pid, out);
}

static void part(struct consumer *who, const char *why)
{
    char pid[24];

    if (who->scope[0])
        log_info("consumer left", "scope", who->scope, "name", who->name, "pid", pid_of(who, pid),
                 "reason", why);
    close(who->fd);
    *who = (struct consumer){ .fd = -1 };
}

static void log_rejection(struct consumers *c, const struct consumer *who, const char *why)
{
    int64_t now_ms = clock_monotonic_ms();

    if (c->said_ms && now_ms - c->said_ms < SAY_MS) {
        c->unsaid++;
        return;
    }
    log_warn("consumer rejected", "pid", LOG_NUMBER((uint64_t)who->who.pid), "uid",
             LOG_NUMBER((uint64_t)who->who.uid), "reason", why, "unsaid",
             c->unsaid ? LOG_NUMBER(c->unsaid) : NULL);
    c->said_ms = now_ms;
    c->unsaid = 0;
}

static void reject(struct consumers *c, struct consumer *who, const char *why)
{
    struct report r = { .magic = REPORT_MAGIC, .kind = REPORT_REJECTED };

    snprintf(r.text, sizeof(r.text), "%s", why);
    (void)send(who->fd, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL);
    log_rejection(c, who, why);
    part(who, why);
}

static bool is_report(const struct report *r, ssize_t size)
{
    return size == (ssize_t)sizeof(*r) && r->magic == REPORT_MAGIC &&
           !r->scope[sizeof(r->scope) - 1] && !r->name[sizeof(r->name) - 1] &&
           !r->text[sizeof(r->text) - 1];
}

static void enter(struct consumers *c, struct consumer *who,
                  const struct agent_settings *settings, const struct report *r)
{
    const char *why = who->scope[0] ? "it registered twice" : refusal(who, settings, r->scope);
    char pid[24];

    if (why) {
        reject(c, who, why);
        return;
    }
    snprintf(who->scope, sizeof(who->scope), "%s", r->scope);
    snprintf(who->name, sizeof(who->name), "%s", r->name);
    name_clean_utf8(who->name, strlen(who->name));
    log_info("consumer registered", "scope", who->scope, "name", who->name, "pid",
             pid_of(who, pid));
}

static void take_word(struct consumer *who, const struct report *r)
{
    struct hash hash;

    memcpy(hash.bytes, r->hash, sizeof(hash.bytes));
    who->has_refused = r->kind == REPORT_CANNOT;
    if (!who->has_refused) {
        who->has_run = true;
        who->runs = hash;
        return;
    }
    who->refuses = hash;
    snprintf(who->why_not, sizeof(who->why_not), "%s", r->text);
    name_clean_utf8(who->why_not, strlen(who->why_not));
}

static void hear(struct consumers *c, struct consumer *who, const struct agent_settings *settings)
{
    for (unsigned i = 0; i < PACKETS_MAX && who->fd >= 0; i++) {
        struct report r;
        ssize_t size = recv(who->fd, &r, sizeof(r), MSG_DONTWAIT);

        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0)
            part(who, "it hung up");
        else if (!is_report(&r, size))
            reject(c, who, "it does not speak this agent's language");
        else if (r.kind == REPORT_REGISTER)
            enter(c, who, settings, &r);
        else if (who->scope[0] && (r.kind == REPORT_RUNS || r.kind == REPORT_CANNOT))
            take_word(who, &r);
        else
            reject(c, who, "it did not register first");
    }
}

/* A free place; or that of somebody who came and never said what for: anybody may knock, and must
 * not keep others out. A user that has its share of the places gives one of its own. */
static struct consumer *place_for_one(struct consumers *c, uid_t uid)
{
    struct consumer *unused = NULL, *silent = NULL, *own_silent = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < AGENT_CONSUMERS_MAX; i++) {
        struct consumer *who = &c->all[i];

        if (who->fd < 0) {
            unused = unused ? unused : who;
            continue;
        }
        count += who->who.uid == uid;
        if (!who->scope[0])
            silent = who;
        if (!who->scope[0] && who->who.uid == uid)
            own_silent = who;
    }
    if (count >= CONSUMERS_USER_MAX)
        unused = NULL;
    if (count >= CONSUMERS_USER_MAX || own_silent)
        silent = own_silent;
    if (unused)
        return unused;
    if (silent)
        part(silent, "it kept silent");
    return silent;
}

/* Whoever comes has mostly spoken already. */
static void come_in(struct consumers *c, const struct agent_settings *settings)
{
    for (unsigned i = 0; i < ARRIVALS_MAX; i++) {
        int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct consumer *place = NULL;
        socklen_t size = sizeof(struct ucred);
        struct ucred who;

        if (fd < 0)
            return;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0)
            place = place_for_one(c, who.uid);
        if (!place || watch_for(c, fd, (uint32_t)(place - c->all))) {
            close(fd);
            continue;
        }
        place->fd = fd;
        place->who = who;
        hear(c, place, settings);
    }
}

bool consumers_step(struct consumers *c, const struct agent_settings *settings)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(c->epoll, events, EVENTS_MAX, 0);

    for (int i = 0; i < count; i++) {
        uint32_t index = events[i].data.u32;

        if (index == AGENT_CONSUMERS_MAX)
            come_in(c, settings);
        else if (c->all[index].fd >= 0)
            hear(c, &c->all[index], settings);
    }
    return count > 0;
}

unsigned consumers_count(const struct consumers *c, const char *scope)
{
    unsigned count = 0;

    for (unsigned i = 0; i < AGENT_CONSUMERS_MAX; i++)
        count += c->all[i].fd >= 0 && strcmp(c->all[i].scope, scope) == 0;
    return count;
}

/* ---- judging ---- */

static unsigned needed_of(const struct agent_scope *scope, unsigned registered, bool is_revert)
{
    unsigned amount = scope->consumers_amount;

    switch (scope->consumers_rule) {
    case AGENT_CONSUMERS_NONE:
        return 0;
    case AGENT_CONSUMERS_COUNT: /* who left since does not keep the server from going back */
        return is_revert && amount > registered ? registered : amount;
    case AGENT_CONSUMERS_PERCENT:
        return (registered * amount + 99) / 100;
    case AGENT_CONSUMERS_ALL:
        break;
    }
    return registered;
}

static bool has_confirmed(const struct consumer *who, const struct hash *hash, bool is_revert)
{
    return who->has_run ? hash_equal(&who->runs, hash) : is_revert;
}

static void name_missing(const struct consumer *who, struct consumers_tally *out)
{
    size_t size = strlen(out->reason);

    if (size < sizeof(out->reason) - 100)
        snprintf(out->reason + size, sizeof(out->reason) - size, "%s%s (pid %d)",
                 size ? ", " : "", who->name, (int)who->who.pid);
}

void consumers_judge(const struct consumers *c, const struct agent_scope *scope,
                     const struct hash *hash, unsigned expected, bool is_revert,
                     struct consumers_tally *out)
{
    *out = (struct consumers_tally){ 0 };
    for (unsigned i = 0; i < AGENT_CONSUMERS_MAX && !out->is_refused; i++) {
        const struct consumer *who = &c->all[i];

        if (who->fd < 0 || strcmp(who->scope, scope->name) != 0)
            continue;
        out->registered++;
        if (!is_revert && who->has_refused && hash_equal(&who->refuses, hash) &&
            scope->consumers_rule != AGENT_CONSUMERS_NONE) {
            out->is_refused = true;
            snprintf(out->reason, sizeof(out->reason), "consumer %s (pid %d) cannot run it: %.450s",
                     who->name, (int)who->who.pid, who->why_not);
        } else if (has_confirmed(who, hash, is_revert)) {
            out->confirmed++;
        } else {
            name_missing(who, out);
        }
    }
    out->needed = needed_of(scope, out->registered > expected ? out->registered : expected,
                            is_revert);
}

void consumers_forget_refusals(struct consumers *c, const char *scope)
{
    for (unsigned i = 0; i < AGENT_CONSUMERS_MAX; i++)
        if (c->all[i].fd >= 0 && strcmp(c->all[i].scope, scope) == 0)
            c->all[i].has_refused = false;
}

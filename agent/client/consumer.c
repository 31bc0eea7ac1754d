/* consumer.c - telling the agent what this process runs, again when it did not hear.
 *
 * Nothing here waits: a connection that cannot be made at once is none, and is tried again at the
 * next occasion. The agent wakes those who watch a scope when it starts.
 */
#include "agent/client/client_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/client/report.h"

struct consumer {
    pid_t pid; /* who registered: a child of a fork is another consumer */
    int fd;    /* -1: the agent is not there */
    bool is_rejected;
    char name[REPORT_NAME_SIZE];
    bool has_word;
    struct report word; /* the newest confirmation */
};

static struct report report_of(const struct lockstep *ls, enum report_kind kind)
{
    struct report r = { .magic = REPORT_MAGIC, .kind = kind };

    snprintf(r.scope, sizeof(r.scope), "%s", ls->scope);
    snprintf(r.name, sizeof(r.name), "%s", ls->consumer->name);
    return r;
}

static void hang_up(struct consumer *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* The agent only speaks to say no; else the line is open, or it is not. Its no is read also when
 * the line was cut with something unheard on it. */
static void listen_to_agent(struct lockstep *ls)
{
    struct consumer *c = ls->consumer;
    struct report r;
    ssize_t size = recv(c->fd, &r, sizeof(r), MSG_DONTWAIT);

    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size < 0 && errno == ECONNRESET)
        size = recv(c->fd, &r, sizeof(r), MSG_DONTWAIT);
    hang_up(c);
    if (size == (ssize_t)sizeof(r) && r.magic == REPORT_MAGIC && r.kind == REPORT_REJECTED) {
        c->is_rejected = true;
        r.text[sizeof(r.text) - 1] = '\0';
        snprintf(ls->trouble, sizeof(ls->trouble), "the agent does not count this process as a "
                 "consumer: %.400s", r.text);
    }
}

static bool say(struct lockstep *ls, const struct report *r)
{
    struct consumer *c = ls->consumer;

    if (send(c->fd, r, sizeof(*r), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*r))
        return true;
    listen_to_agent(ls);
    hang_up(c);
    return false;
}

/* By way of the folder's descriptor: an address has 107 bytes at most, a path more. */
static int dial(const char *root)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" PUBLISHED_SOCKET,
             folder);
    if (folder >= 0 && fd >= 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    if (folder >= 0)
        close(folder);
    return fd;
}

static void reach(struct lockstep *ls)
{
    struct consumer *c = ls->consumer;
    struct report hello = report_of(ls, REPORT_REGISTER);

    if (c->fd >= 0)
        listen_to_agent(ls);
    if (c->fd >= 0 || c->is_rejected)
        return;
    c->fd = dial(ls->root);
    if (c->fd >= 0 && say(ls, &hello) && c->has_word)
        say(ls, &c->word);
}

static int answer(const struct consumer *c)
{
    return c->is_rejected ? -EACCES : c->fd >= 0 ? 0 : LOCKSTEP_UNREACHED;
}

void consumer_retry(struct lockstep *ls)
{
    if (ls->consumer && ls->consumer->pid == getpid())
        reach(ls);
}

/* Under the lock. */
static int begin(struct lockstep *ls, const char *name)
{
    if (ls->consumer && ls->consumer->pid == getpid())
        return 0;
    consumer_close(ls); /* the parent's, in a child */
    ls->consumer = calloc(1, sizeof(*ls->consumer));
    if (!ls->consumer)
        return -ENOMEM;
    ls->consumer->pid = getpid();
    ls->consumer->fd = -1;
    snprintf(ls->consumer->name, sizeof(ls->consumer->name), "%s",
             name ? name : program_invocation_short_name);
    return 0;
}

int lockstep_register(struct lockstep *ls, const char *name)
{
    int rc;

    client_lock();
    rc = begin(ls, name);
    if (rc == 0) {
        reach(ls);
        rc = answer(ls->consumer);
    }
    client_unlock();
    return rc;
}

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10) & 15;
}

static struct report word_of(const struct lockstep *ls, const struct lockstep_snapshot *s,
                             const char *why_not)
{
    struct report r = report_of(ls, why_not ? REPORT_CANNOT : REPORT_RUNS);

    r.revision = s->revision;
    for (unsigned i = 0; i < sizeof(r.hash) && s->hash[0]; i++)
        r.hash[i] = (uint8_t)(digit(s->hash[2 * i]) << 4 | digit(s->hash[2 * i + 1]));
    snprintf(r.text, sizeof(r.text), "%s", why_not ? why_not : "");
    return r;
}

int lockstep_confirm(struct lockstep *ls, const struct lockstep_snapshot *snapshot,
                     const char *why_not)
{
    struct consumer *c;
    int rc;

    client_lock();
    rc = begin(ls, NULL);
    if (rc == 0) {
        c = ls->consumer;
        reach(ls); /* says the word before, if need be */
        c->word = word_of(ls, snapshot, why_not);
        c->has_word = true;
        if (c->fd >= 0 && !say(ls, &c->word))
            reach(ls);
        rc = answer(c);
    }
    client_unlock();
    return rc;
}

void consumer_close(struct lockstep *ls)
{
    if (!ls->consumer)
        return;
    hang_up(ls->consumer);
    free(ls->consumer);
    ls->consumer = NULL;
}

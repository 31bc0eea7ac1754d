/* front.c - what the loop shows to its server: local HTTP and a file of metrics, told every second. */
#include "agent/front.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/local/local.h"
#include "agent/local/local_desk.h"
#include "agent/tasks/secrets.h"
#include "common/document/document.h"
#include "common/log.h"

#define TELL_MS 1000
#define ASKS_AT_ONCE 4

void front_open(struct front *f, const struct agent *a)
{
    const struct local_settings *s = &a->settings->local;
    struct err e;

    f->settings = a->settings;
    f->told_ms = f->written_ms = 0;
    if (s->is_socket_too_long)
        log_warn("no local HTTP on a Unix socket: its path in publish_dir is too long; name a "
                 "shorter one as socket in [local]", "publish_dir", a->settings->publish_dir);
    if (!s->socket && !s->listen_text)
        return;
    if (local_start(a->settings, &f->local, &e))
        log_error("local HTTP is not served", "reason", e.text);
    else
        log_info("local HTTP", "socket", s->socket, "listen", s->listen_text);
}

void front_follow(struct front *f, const struct agent *a)
{
    if (f->local && local_settings_equal(&f->settings->local, &a->settings->local) &&
        strcmp(f->settings->publish_dir, a->settings->publish_dir) == 0) {
        local_follow(f->local, a->settings);
        f->settings = a->settings;
        f->told_ms = 0;
        return;
    }
    front_close(f);
    front_open(f, a);
}

void front_close(struct front *f)
{
    local_stop(f->local);
    f->local = NULL;
}

/* A scraper sees the old file or the new one. It is not synced: the next one is seconds away. */
static int write_whole(const char *path, const struct buffer *text)
{
    char aside[PATH_MAX];
    int fd, rc;

    if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside))
        return errno = ENAMETOOLONG, -1;
    /* The folder may be the scraper's: a pipe that lies there would hold the agent up. */
    if (unlink(aside) && errno != ENOENT)
        return -1;
    fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -1;
    rc = write(fd, text->data, text->size) == (ssize_t)text->size && fchmod(fd, 0644) == 0 ? 0 : -1;
    close(fd);
    return rc || rename(aside, path) ? -1 : 0;
}

static void write_metrics(struct front *f, const struct status *status, int64_t now_ms)
{
    const struct local_settings *s = &f->settings->local;
    SCOPED_BUFFER struct buffer text = { 0 };
    int rc;

    if (!s->metrics_file || now_ms < f->written_ms)
        return;
    f->written_ms = now_ms + s->metrics_interval_ms;
    status_metrics(status, &text);
    rc = write_whole(s->metrics_file, &text);
    if (rc && !f->is_write_failing)
        log_warn("the file of metrics cannot be written", "path", s->metrics_file, "reason",
                 strerror(errno));
    f->is_write_failing = rc != 0;
}

int front_fd(const struct front *f)
{
    return f->local ? desk_fd(local_desk(f->local)) : -1;
}

/* The value that the document of the ask holds, as long as that is what runs. */
static int open_secret(struct agent *a, struct desk_ask *ask, struct err *e)
{
    SCOPED(document_free) struct document *document = NULL;
    struct document_item item;
    unsigned i = 0;

    while (i < a->settings->scope_count && strcmp(a->settings->scopes[i]->name, ask->scope) != 0)
        i++;
    if (i == a->settings->scope_count || !hash_equal(&a->durable[i].active.hash, &ask->hash))
        return err_set(e, ERR_UNAVAILABLE, "%s changes at this moment; ask again", ask->scope);
    if (secrets_document(a, &a->durable[i].active, &document, e))
        return -1;
    if (!document || !document_get(document, ask->key, &item))
        return err_set(e, ERR_NOT_FOUND, "%s has no key \"%.200s\"", ask->scope, ask->key);
    ask->revision = a->durable[i].active.revision;
    ask->type = item.type;
    buffer_add_text(&ask->value, item.text);
    return 0;
}

/* A few at a time: the agent's own work comes in between. */
static void serve_desk(struct front *f, struct agent *a)
{
    struct desk *desk = local_desk(f->local);
    struct desk_ask *ask;

    for (unsigned n = 0; n < ASKS_AT_ONCE && (ask = desk_take(desk)) != NULL; n++) {
        ask->is_refused = open_secret(a, ask, &ask->problem) != 0;
        desk_answer(desk, ask);
    }
}

/* Who asks right after a rollout is not told that it still goes on. */
static bool is_due(const struct front *f, const struct agent *a, int64_t now_ms)
{
    return now_ms >= f->told_ms || f->told_saves != a->save_count ||
           f->was_welcomed != a->session.is_welcomed;
}

void front_step(struct front *f, struct agent *a, int64_t now_ms)
{
    struct status *status;

    if (f->local)
        serve_desk(f, a);
    if (!is_due(f, a, now_ms) || (!f->local && !f->settings->local.metrics_file))
        return;
    f->told_ms = now_ms + (f->settings->local.metrics_interval_ms < TELL_MS
                               ? f->settings->local.metrics_interval_ms
                               : TELL_MS);
    f->told_saves = a->save_count;
    f->was_welcomed = a->session.is_welcomed;
    status = status_take(a);
    write_metrics(f, status, now_ms);
    if (f->local)
        local_tell(f->local, &status);
    status_release(status);
}

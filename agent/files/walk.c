/* walk.c - the way to a destination's folder, part by part, by descriptor, links judged one by one. */
#include "agent/files/walk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINKS_MAX 40 /* the kernel follows no more either */

/* A link of somebody leads to what is his: due where the rest of the way has this length. */
struct due {
    size_t rest;
    uid_t user;
    char link[256];
};

struct walk {
    const char *path;    /* as the settings have it */
    char rest[PATH_MAX]; /* parts that are still to go */
    struct place *place; /* where it stands: its folder is the one reached */
    struct stat st;      /* of that folder */
    unsigned links, due_count;
    struct due dues[LINKS_MAX];
    struct err *e;
};

static bool is_trusted(uid_t user)
{
    return user == 0 || user == geteuid();
}

/* May others rename and replace what root or the agent's user have in this folder? */
static bool is_writable_by_others(const struct stat *st)
{
    return !is_trusted(st->st_uid) || ((st->st_mode & 0022) && !(st->st_mode & S_ISVTX));
}

/* ---- standing in a folder ---- */

static void take_part(char *rest, char part[NAME_MAX + 2])
{
    const char *begin = rest + strspn(rest, "/"), *end = begin + strcspn(begin, "/");
    const char *next = end + strspn(end, "/");

    /* One too long stays too long. */
    snprintf(part, NAME_MAX + 2, "%.*s", (int)(end - begin), begin);
    memmove(rest, next, strlen(next) + 1);
}

/* Add a part to the text of the folder, or take one off for "..". */
static int step_text(struct walk *w, const char *part)
{
    char *folder = w->place->folder;
    size_t size = strlen(folder);

    if (strcmp(part, "..") == 0) {
        char *slash = strrchr(folder, '/');

        folder[slash > folder ? slash - folder : 1] = '\0';
        return 0;
    }
    return snprintf(folder + size, PATH_MAX - size, "%s%s", size > 1 ? "/" : "", part) <
                   (int)(PATH_MAX - size)
               ? 0
               : err_code(w->e, ERR_INVALID, "io", "the path of %.200s is too long", w->path);
}

/* The folder `fd` is where the walk stands now. */
static int stand(struct walk *w, int fd)
{
    if (w->place->fd >= 0)
        close(w->place->fd);
    w->place->fd = fd;
    if (fstat(fd, &w->st))
        return disk_trouble(w->e, "looking at the folder", w->place->folder);
    w->place->is_shared |= is_writable_by_others(&w->st);
    return 0;
}

static int begin_at_root(struct walk *w)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    snprintf(w->place->folder, PATH_MAX, "/");
    return fd < 0 ? disk_trouble(w->e, "opening", "/") : stand(w, fd);
}

/* ---- links ---- */

static int not_followed(struct walk *w, const char *link, const char *why)
{
    return err_code(w->e, ERR_INVALID, "io", "the link %.200s %s; it is not followed: let root own "
                    "it, in a folder that only root writes (chown -h, chmod go-w), or name the "
                    "place itself", link, why);
}

/* Who could have turned it: its owner, and the owner of the folder that it lies in. */
static int judge_link(struct walk *w, const char *link, const struct stat *st)
{
    struct due *due = &w->dues[w->due_count];
    bool by_owner = !is_trusted(st->st_uid), by_folder = !is_trusted(w->st.st_uid);
    uid_t user = by_owner ? st->st_uid : w->st.st_uid;

    if ((w->st.st_mode & 0022) && !(w->st.st_mode & S_ISVTX))
        return not_followed(w, link, "lies in a folder that others may write");
    if (!by_owner && !by_folder)
        return 0;
    if ((by_owner && by_folder && st->st_uid != w->st.st_uid) ||
        (w->place->is_led && w->place->led_by != user))
        return not_followed(w, link, "is in the hands of several users");
    w->place->is_led = true;
    w->place->led_by = user;
    due->rest = strlen(w->rest);
    due->user = user;
    snprintf(due->link, sizeof(due->link), "%.250s", link);
    w->due_count++;
    return 0;
}

/* `owner` owns what the links that end here name. */
static int check_dues(struct walk *w, uid_t owner)
{
    char why[160];

    while (w->due_count && w->dues[w->due_count - 1].rest >= strlen(w->rest)) {
        const struct due *due = &w->dues[--w->due_count];

        if (owner == due->user)
            continue;
        snprintf(why, sizeof(why), "belongs to user %u, or lies in a folder of that user, and what "
                 "it names does not", (unsigned)due->user);
        return not_followed(w, due->link, why);
    }
    return 0;
}

static int follow(struct walk *w, const char *part, const struct stat *st)
{
    char to[PATH_MAX], rest[PATH_MAX], link[PATH_MAX];
    ssize_t size = readlinkat(w->place->fd, part, to, sizeof(to) - 1);

    if (snprintf(link, sizeof(link), "%s/%s", w->place->folder[1] ? w->place->folder : "", part) >=
        (int)sizeof(link))
        return err_code(w->e, ERR_INVALID, "io", "the path of %.200s is too long", w->path);
    if (size <= 0)
        return disk_trouble(w->e, "reading the link", link);
    to[size] = '\0';
    if (++w->links > LINKS_MAX)
        return err_code(w->e, ERR_INVALID, "io", "%.300s: too many links", w->path);
    if (judge_link(w, link, st))
        return -1;
    memcpy(rest, w->rest, sizeof(rest));
    if (snprintf(w->rest, sizeof(w->rest), "%s%s%s", to + strspn(to, "/"), rest[0] ? "/" : "",
                 rest) >= (int)sizeof(w->rest))
        return err_code(w->e, ERR_INVALID, "io", "the path of %.200s is too long", w->path);
    return to[0] == '/' ? begin_at_root(w) : 0;
}

/* ---- walking ---- */

static int no_folder(struct walk *w, const char *part)
{
    const char *slash = strrchr(w->path, '/');
    char at[PATH_MAX];

    if (errno != ENOENT && errno != ENOTDIR) {
        snprintf(at, sizeof(at), "%.3000s/%.255s", w->place->folder, part);
        return disk_trouble(w->e, "opening the folder", at);
    }
    return err_code(w->e, ERR_SYSTEM, "io", "the folder %.*s, where %.150s is to lie, is not "
                    "there: make it on this server",
                    slash - w->path < 200 ? (int)(slash - w->path) : 200, w->path, slash + 1);
}

/* Into the folder `part`, or along it where it is a link. What is looked at may be another thing
 * than is opened then; what counts is the folder that was opened, which is no link. */
static int enter(struct walk *w, const char *part)
{
    struct stat st;
    int fd;

    if (strcmp(part, ".") == 0)
        return 0;
    if (fstatat(w->place->fd, part, &st, AT_SYMLINK_NOFOLLOW))
        return no_folder(w, part);
    if (S_ISLNK(st.st_mode))
        return follow(w, part, &st);
    fd = openat(w->place->fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return no_folder(w, part);
    return step_text(w, part) || stand(w, fd) || check_dues(w, w->st.st_uid) ? -1 : 0;
}

/* At the destination itself. Where that is a link it has no name yet, and there is a way to go. */
static int arrive(struct walk *w, const char *part)
{
    struct stat st;

    if (!part[0] || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return err_code(w->e, ERR_INVALID, "io", "%.300s leads to a folder above, which is no "
                        "place for it", w->path);
    if (strlen(part) > NAME_MAX) {
        errno = ENAMETOOLONG;
        return disk_trouble(w->e, "looking at", w->path);
    }
    if (fstatat(w->place->fd, part, &st, AT_SYMLINK_NOFOLLOW)) {
        if (errno != ENOENT)
            return disk_trouble(w->e, "looking at", w->path);
        if (w->due_count)
            return disk_trouble(w->e, "following the link", w->dues[w->due_count - 1].link);
    } else if (S_ISLNK(st.st_mode)) {
        return follow(w, part, &st);
    } else if (check_dues(w, st.st_uid)) {
        return -1;
    }
    snprintf(w->place->name, sizeof(w->place->name), "%s", part);
    return 0;
}

/* What was reached by its name only so far is opened: for syncing it. */
static int hold(struct walk *w)
{
    int fd = openat(w->place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return disk_trouble(w->e, "opening the folder", w->place->folder);
    if (stand(w, fd))
        return -1;
    w->place->owner = w->st.st_uid;
    w->place->is_owners = !(w->st.st_mode & 0022) || (w->st.st_mode & S_ISVTX);
    w->place->is_shared |= (w->st.st_mode & 0022) != 0; /* also where what is theirs is theirs */
    return 0;
}

int walk_to(const char *path, struct place *out, struct err *e)
{
    struct walk w = { .path = path, .place = out, .e = e };
    char part[NAME_MAX + 2];
    int rc;

    *out = (struct place){ .fd = -1 };
    snprintf(w.rest, sizeof(w.rest), "%s", path);
    rc = begin_at_root(&w);
    while (rc == 0 && !out->name[0]) {
        take_part(w.rest, part);
        rc = w.rest[0] ? enter(&w, part) : arrive(&w, part);
    }
    if (rc == 0 && hold(&w) == 0)
        return 0;
    place_close(out);
    return -1;
}

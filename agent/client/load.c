/* load.c - opening a scope, following its control file, and replacing what gets read. */
#include "agent/client/client_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 100       /* a get tries again what failed at most so often */
#define LOOK_MS 10         /* while waiting for a first document */
#define NEVER_TRIED UINT64_MAX
#define NAME_MAX_BYTES 100 /* of a service and of an environment */

int64_t client_coarse_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the control file ---- */

static bool say(struct lockstep *ls, const char *path, const char *why)
{
    snprintf(ls->trouble, sizeof(ls->trouble), "%.380s %s", path, why);
    return false;
}

static bool map_control(struct lockstep *ls, int fd, const char *path, const struct stat *st)
{
    struct published_control seen;
    ssize_t size = pread(fd, &seen, sizeof(seen), 0);
    const char *why = size < 0 ? strerror(errno) : published_check_control(&seen, (size_t)size);

    if (!why && st->st_size < PUBLISHED_CONTROL_SIZE)
        why = "is too short";
    if (why)
        return say(ls, path, why);
    /* At the same address: readers on other threads find the one or the other. */
    if (mmap((void *)(uintptr_t)ls->control, PUBLISHED_CONTROL_SIZE, PROT_READ,
             MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return say(ls, path, strerror(errno));
    ls->is_attached = true;
    ls->device = st->st_dev;
    ls->inode = st->st_ino;
    return true;
}

/* True: a control file is mapped, perhaps an old one. */
static bool attach(struct lockstep *ls)
{
    char path[PATH_MAX + 16];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "%s/" PUBLISHED_CONTROL, ls->folder);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        say(ls, path, errno == EACCES ? "may not be read by this user"
            : errno == ENOENT ? "is not there: does the agent publish this scope?"
                              : strerror(errno));
        return ls->is_attached;
    }
    if (fstat(fd, &st) == 0 &&
        (!ls->is_attached || st.st_ino != ls->inode || st.st_dev != ls->device))
        map_control(ls, fd, path, &st);
    close(fd);
    return ls->is_attached;
}

/* ---- replacing ---- */

/* What no thread is reading any more goes. */
static void reap(struct lockstep *ls)
{
    struct lockstep_snapshot **link = &ls->retired;

    if (!ls->retired || !hazard_barrier())
        return;
    while (*link) {
        struct lockstep_snapshot *s = *link;

        if (hazard_names(s)) {
            link = &s->next_retired;
            continue;
        }
        *link = s->next_retired;
        snapshot_drop(s);
    }
}

static void replace(struct lockstep *ls, struct lockstep_snapshot *s)
{
    struct lockstep_snapshot *old = atomic_exchange(&ls->current, s);

    if (old != &client_nothing) {
        old->next_retired = ls->retired;
        ls->retired = old;
    }
    reap(ls);
}

/* A revision that is replaced while it is being loaded is no failure: its file may be gone. */
static bool load_newest(struct lockstep *ls)
{
    struct published_current current;
    struct lockstep_snapshot *s;

    do {
        if (!published_read_current(ls->control, &current)) {
            if (!published_sequence(ls->control)) {
                atomic_store(&ls->tried, 0);
                return say(ls, ls->scope, "was not published yet by the agent");
            }
            return say(ls, ls->scope, "has a damaged control file, which the agent mends");
        }
        s = snapshot_load(ls, &current);
    } while (!s && published_sequence(ls->control) != current.sequence);
    if (!s)
        return false;
    replace(ls, s);
    atomic_store(&ls->tried, current.sequence);
    ls->trouble[0] = '\0';
    return true;
}

static void refresh(struct lockstep *ls, bool must)
{
    int64_t now_ms = client_coarse_ms();

    if ((must || !ls->is_attached) && !attach(ls))
        atomic_store(&ls->retry_ms, now_ms + RETRY_MS);
    else if (published_sequence(ls->control) != atomic_load(&ls->tried)) /* or it is another now */
        atomic_store(&ls->retry_ms, load_newest(ls) || (attach(ls) && load_newest(ls))
                                        ? 0 : now_ms + RETRY_MS);
    else
        reap(ls);
}

void client_refresh(struct lockstep *ls)
{
    if (client_coarse_ms() < atomic_load(&ls->retry_ms) || !client_try_lock())
        return;
    refresh(ls, false);
    client_unlock();
}

void client_refresh_now(struct lockstep *ls)
{
    refresh(ls, true);
}

/* ---- opening and closing ---- */

/* SERVICE/ENVIRONMENT, and no way out of the folder. */
static bool is_scope(const char *scope)
{
    const char *slash = strchr(scope, '/');
    size_t left = slash ? (size_t)(slash - scope) : 0;
    size_t right = slash ? strlen(slash + 1) : 0;

    return left && left <= NAME_MAX_BYTES && right && right <= NAME_MAX_BYTES &&
           strspn(scope, "abcdefghijklmnopqrstuvwxyz0123456789._-") == left &&
           strspn(slash + 1, "abcdefghijklmnopqrstuvwxyz0123456789._-") == right &&
           !strchr("._-", scope[0]) && !strchr("._-", slash[1]);
}

/* A page of zeros stands where the control file will be. */
static int make(struct lockstep **out, const char *folder, const char *scope)
{
    struct lockstep *ls;
    void *page = mmap(NULL, PUBLISHED_CONTROL_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -ENOMEM;
    ls = aligned_alloc(_Alignof(struct lockstep), sizeof(*ls));
    if (!ls) {
        munmap(page, PUBLISHED_CONTROL_SIZE);
        return -ENOMEM;
    }
    memset(ls, 0, sizeof(*ls));
    ls->control = page;
    atomic_init(&ls->current, &client_nothing);
    atomic_init(&ls->tried, NEVER_TRIED);
    snprintf(ls->root, sizeof(ls->root), "%s", folder);
    snprintf(ls->folder, sizeof(ls->folder), "%s/%s", folder, scope);
    snprintf(ls->scope, sizeof(ls->scope), "%s", scope);
    *out = ls;
    return 0;
}

int lockstep_open(struct lockstep **out, const char *scope, int wait_ms)
{
    const char *folder = secure_getenv("LOCKSTEP_DIR");

    return lockstep_open_at(out, folder && *folder ? folder : PUBLISHED_FOLDER, scope, wait_ms);
}

int lockstep_open_at(struct lockstep **out, const char *folder, const char *scope, int wait_ms)
{
    int rc;

    *out = NULL;
    if (!folder || !scope || !is_scope(scope))
        return -EINVAL;
    if (strlen(folder) + strlen(scope) + LOCKSTEP_HASH_SIZE + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    rc = make(out, folder, scope);
    if (rc)
        return rc;
    rc = lockstep_wait(*out, wait_ms);
    (*out)->reported = atomic_load(&(*out)->current)->sequence;
    return rc;
}

int lockstep_wait(struct lockstep *ls, int wait_ms)
{
    int64_t until_ms = client_coarse_ms() + wait_ms;

    for (;;) {
        client_lock();
        client_refresh_now(ls);
        client_unlock();
        if (lockstep_revision(ls))
            return 0;
        if (wait_ms >= 0 && client_coarse_ms() >= until_ms)
            return LOCKSTEP_NOT_LOADED;
        poll(NULL, 0, LOOK_MS);
    }
}

void lockstep_close(struct lockstep *ls)
{
    if (!ls)
        return;
    notice_close(ls);
    consumer_close(ls);
    client_lock();
    for (struct lockstep_snapshot *s = ls->retired, *next; s; s = next) {
        next = s->next_retired;
        snapshot_drop(s);
    }
    snapshot_drop(atomic_load(&ls->current));
    client_unlock();
    munmap((void *)(uintptr_t)ls->control, PUBLISHED_CONTROL_SIZE);
    free(ls);
}

const char *lockstep_trouble(struct lockstep *ls, char *out, size_t size)
{
    if (!size)
        return out;
    client_lock();
    snprintf(out, size, "%s", ls->trouble);
    client_unlock();
    return out;
}

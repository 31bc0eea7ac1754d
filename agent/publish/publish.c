/* publish.c - the files that local readers map: written, switched and swept for each scope. */
#include "agent/publish/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/client/published.h"
#include "agent/disk/disk.h"
#include "agent/publish/image.h"
#include "common/buffer.h"
#include "common/clock.h"
#include "common/crypto/digest.h"
#include "common/memory.h"

#define FILE_MODE 0640
#define FOLDER_MODE 0750
#define ABOVE_MODE 0755

/* One scope's control file, open and mapped. */
struct outlet {
    char folder[PATH_MAX];
    gid_t group;
    int fd;
    struct published_control *control;
    bool is_dirty; /* switched since it was last synced */
};

struct publisher {
    char *root;
    unsigned count;
    struct outlet outlets[AGENT_SCOPES_MAX];
};

/* ---- paths ---- */

static int path_of(const struct outlet *o, const char *name, char out[PATH_MAX], struct err *e)
{
    if (snprintf(out, PATH_MAX, "%s/%s", o->folder, name) >= PATH_MAX)
        return err_set(e, ERR_INVALID, "[agent] publish_dir: the path is too long");
    return 0;
}

/* Written beside the folders of the services, so that nobody who watches a scope sees it. */
static int path_aside(const struct publisher *p, unsigned scope, char out[PATH_MAX], struct err *e)
{
    if (snprintf(out, PATH_MAX, "%s/.new.%u", p->root, scope) >= PATH_MAX)
        return err_set(e, ERR_INVALID, "[agent] publish_dir: the path is too long");
    return 0;
}

static struct disk_access access_of(const struct outlet *o)
{
    return (struct disk_access){ .mode = FILE_MODE, .uid = geteuid(), .gid = o->group };
}

/* ---- folders ---- */

static int set_group(const struct outlet *o, struct err *e)
{
    struct stat st;

    if (stat(o->folder, &st))
        return disk_trouble(e, "looking at the folder", o->folder);
    if (st.st_gid != o->group && chown(o->folder, (uid_t)-1, o->group))
        return disk_trouble(e, "giving to the readers' group", o->folder);
    return 0;
}

static int make_folders(const struct publisher *p, const struct agent_scope *scope,
                        struct outlet *o, struct err *e)
{
    if (snprintf(o->folder, sizeof(o->folder), "%s/%s", p->root, scope->service) >=
        (int)sizeof(o->folder) - NAME_BUFFER)
        return err_set(e, ERR_INVALID, "[agent] publish_dir: the path is too long");
    if (disk_make_folder(o->folder, ABOVE_MODE, e))
        return -1;
    snprintf(o->folder, sizeof(o->folder), "%s/%s/%s", p->root, scope->service,
             scope->environment);
    return disk_make_folder(o->folder, FOLDER_MODE, e) || set_group(o, e) ? -1 : 0;
}

/* ---- the control file ---- */

/* Numbers go on from the clock: a reader that knows an older file sees that this is another. */
static int create_control(const struct publisher *p, unsigned scope, const char *path,
                          struct err *e)
{
    const struct disk_access access = access_of(&p->outlets[scope]);
    char page[PUBLISHED_CONTROL_SIZE] = "", aside[PATH_MAX];
    struct published_control control = { .magic = PUBLISHED_CONTROL_MAGIC,
                                         .version = PUBLISHED_VERSION,
                                         .size = PUBLISHED_CONTROL_SIZE };

    memcpy(page, &control, sizeof(control));
    if (path_aside(p, scope, aside, e) || disk_write(aside, page, sizeof(page), &access, e) ||
        disk_remove(path, e))
        return -1;
    if (link(aside, path)) /* seen by who watches for it: a rename would look like a document */
        return disk_trouble(e, "making", path);
    return disk_remove(aside, e) || disk_sync_folder_of(path, e) ? -1 : 0;
}

static bool is_sound(const struct published_control *control, const struct stat *st)
{
    struct published_current current;

    return st->st_size == PUBLISHED_CONTROL_SIZE && st->st_uid == geteuid() &&
           !published_check_control(control, sizeof(*control)) &&
           (!published_sequence(control) || published_read_current(control, &current));
}

static void let_go(struct outlet *o)
{
    if (o->control)
        munmap(o->control, PUBLISHED_CONTROL_SIZE);
    if (o->fd >= 0)
        close(o->fd);
    o->control = NULL;
    o->fd = -1;
}

/* False: there is none, or it is damaged. */
static bool take_control(struct outlet *o, const char *path)
{
    struct stat st;
    void *memory;

    let_go(o);
    o->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (o->fd < 0)
        return false;
    if (fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == PUBLISHED_CONTROL_SIZE) {
        memory = mmap(NULL, PUBLISHED_CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd, 0);
        o->control = memory == MAP_FAILED ? NULL : memory;
        if (o->control && is_sound(o->control, &st))
            return true;
        if (o->control && !published_check_control(o->control, sizeof(*o->control)))
            published_forsake(o->control); /* it is about to be replaced */
    }
    let_go(o);
    return false;
}

static int open_control(struct publisher *p, unsigned scope, struct err *e)
{
    struct outlet *o = &p->outlets[scope];
    const struct disk_access access = access_of(o);
    char path[PATH_MAX];

    if (path_of(o, PUBLISHED_CONTROL, path, e))
        return -1;
    if (take_control(o, path))
        return disk_set_access(path, &access, e);
    if (create_control(p, scope, path, e))
        return -1;
    return take_control(o, path) ? 0 : disk_trouble(e, "opening", path);
}

/* ---- opening ---- */

static int open_outlet(struct publisher *p, const struct agent_scope *scope, unsigned index,
                       struct err *e)
{
    struct outlet *o = &p->outlets[index];

    o->group = scope->has_readers_group ? scope->readers_group : getegid();
    return make_folders(p, scope, o, e) || open_control(p, index, e) ? -1 : 0;
}

int publish_open(const struct agent_settings *settings, struct publisher **out, struct err *e)
{
    struct publisher *p = memory_new(sizeof(*p));

    p->root = memory_text(settings->publish_dir);
    for (unsigned i = 0; i < AGENT_SCOPES_MAX; i++)
        p->outlets[i].fd = -1;
    p->count = settings->scope_count;
    if (access(p->root, F_OK) != 0 && disk_make_folder(p->root, ABOVE_MODE, e)) {
        publish_close(p);
        return err_wrap(e, "[agent] publish_dir");
    }
    for (unsigned i = 0; i < settings->scope_count; i++)
        if (open_outlet(p, settings->scopes[i], i, e)) {
            publish_close(p);
            return err_wrap(e, "[agent] publish_dir");
        }
    *out = p;
    return 0;
}

void publish_close(struct publisher *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->count; i++)
        let_go(&p->outlets[i]);
    free(p->root);
    free(p);
}

/* ---- documents ---- */

static bool is_whole(const char *path, const struct hash *hash)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    void *memory = MAP_FAILED;
    bool is_good = false;
    struct stat st;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) {
        is_good = !published_check_document(memory, (size_t)st.st_size, hash->bytes);
        munmap(memory, (size_t)st.st_size);
    }
    close(fd);
    return is_good;
}

static int document_path(const struct publisher *p, unsigned scope, const struct hash *hash,
                         char out[PATH_MAX], struct err *e)
{
    char hex[HASH_HEX_SIZE];

    hash_to_hex(hash, hex);
    return path_of(&p->outlets[scope], hex, out, e);
}

bool publish_has(const struct publisher *p, unsigned scope, const struct hash *hash)
{
    char path[PATH_MAX];
    struct err e;

    return document_path(p, scope, hash, path, &e) == 0 && is_whole(path, hash);
}

int publish_write(struct publisher *p, unsigned scope, const struct document *document,
                  const struct hash *hash, struct err *e)
{
    const struct disk_access access = access_of(&p->outlets[scope]);
    SCOPED_BUFFER struct buffer image = { 0 };
    char path[PATH_MAX], aside[PATH_MAX];

    if (document_path(p, scope, hash, path, e))
        return -1;
    if (is_whole(path, hash))
        return disk_set_access(path, &access, e);
    image_build(document, hash, &image);
    if (path_aside(p, scope, aside, e) ||
        disk_write(aside, image.data, image.size, &access, e) || disk_rename(aside, path, e))
        return -1;
    return disk_sync_folder_of(path, e);
}

/* ---- what is current ---- */

/* Somebody may have removed or replaced the file below us: readers would open another. */
static bool is_in_place(const struct outlet *o)
{
    char path[PATH_MAX];
    struct stat ours, found;
    struct err e;

    return o->control && path_of(o, PUBLISHED_CONTROL, path, &e) == 0 &&
           fstat(o->fd, &ours) == 0 && stat(path, &found) == 0 && ours.st_ino == found.st_ino &&
           ours.st_dev == found.st_dev && ours.st_size == PUBLISHED_CONTROL_SIZE;
}

static bool is_current(const struct outlet *o, const struct content *content)
{
    struct published_current current;

    return published_read_current(o->control, &current) &&
           current.revision == content->revision &&
           memcmp(current.hash, content->hash.bytes, HASH_SIZE) == 0;
}

bool publish_shows(const struct publisher *p, unsigned scope, const struct content *content)
{
    const struct outlet *o = &p->outlets[scope];

    return is_in_place(o) && is_current(o, content) &&
           (hash_is_zero(&content->hash) || publish_has(p, scope, &content->hash));
}

void publish_wake(struct publisher *p, unsigned scope)
{
    const struct outlet *o = &p->outlets[scope];
    uint32_t bell;

    if (!o->control)
        return;
    bell = o->control->bell + 1;
    /* Stores into a mapping are nothing that inotify tells of; a write is. */
    (void)!pwrite(o->fd, &bell, sizeof(bell), offsetof(struct published_control, bell));
}

int publish_switch(struct publisher *p, unsigned scope, const struct content *content,
                   struct err *e)
{
    struct outlet *o = &p->outlets[scope];
    struct published_current next = { .revision = content->revision,
                                      .wall_ms = (uint64_t)clock_wall_ms() };

    if (!is_in_place(o)) {
        if (o->control)
            published_forsake(o->control);
        if (open_control(p, scope, e))
            return -1;
    }
    if (is_current(o, content))
        return 0;
    memcpy(next.hash, content->hash.bytes, HASH_SIZE);
    published_switch(o->control, &next, (uint64_t)clock_wall_ms() * 1000);
    publish_wake(p, scope);
    o->is_dirty = true;
    return 0;
}

/* ---- sweeping ---- */

static bool is_kept(const char *name, const struct hash *keep, unsigned count)
{
    char hex[HASH_HEX_SIZE];

    for (unsigned i = 0; i < count; i++) {
        hash_to_hex(&keep[i], hex);
        if (strcmp(name, hex) == 0)
            return true;
    }
    return false;
}

static void remove_others(const struct outlet *o, const struct hash *keep, unsigned count,
                          const struct hash *shown)
{
    DIR *dir = opendir(o->folder);
    const struct dirent *entry;
    char path[PATH_MAX];
    struct hash named;
    struct err e;

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (hash_from_hex(entry->d_name, &named) == 0 && !is_kept(entry->d_name, shown, 1) &&
            !is_kept(entry->d_name, keep, count) && path_of(o, entry->d_name, path, &e) == 0)
            unlink(path);
    closedir(dir);
}

/* After a power cut the control file must not name what was removed: it is synced first. */
void publish_sweep(struct publisher *p, unsigned scope, const struct hash *keep, unsigned count)
{
    struct outlet *o = &p->outlets[scope];
    struct published_current current;
    struct hash shown = { { 0 } };

    if (!o->control || (o->is_dirty && fdatasync(o->fd)))
        return;
    o->is_dirty = false;
    if (published_read_current(o->control, &current))
        memcpy(shown.bytes, current.hash, HASH_SIZE);
    remove_others(o, keep, count, &shown);
}

/* ---- consumers ---- */

uint32_t publish_consumers(const struct publisher *p, unsigned scope)
{
    const struct outlet *o = &p->outlets[scope];

    return o->control ? o->control->consumer_count : 0;
}

void publish_set_consumers(struct publisher *p, unsigned scope, uint32_t count)
{
    if (p->outlets[scope].control)
        p->outlets[scope].control->consumer_count = count;
}

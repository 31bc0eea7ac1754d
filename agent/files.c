/* files.c - a scope's files on this server: candidates beside them, replaced as a group, put back. */
#include "agent/files.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/disk.h"
#include "agent/originals.h"
#include "agent/render.h"
#include "common/buffer.h"
#include "common/digest.h"

#define CANDIDATE_PREFIX ".lockstep-"
#define HASH_DIGITS 16
#define ORIGINAL_SUFFIX "original" /* on its way back to its place */

/* Where the destination really is: a link stays a link, and what it names is replaced. */
static int resolve(const char *path, char out[PATH_MAX], struct err *e)
{
    struct stat st;

    if (lstat(path, &st) || !S_ISLNK(st.st_mode)) {
        snprintf(out, PATH_MAX, "%s", path);
        return 0;
    }
    return realpath(path, out) ? 0 : disk_trouble(e, "following the link", path);
}

static void beside(const char *path, const char *suffix, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    /* Cut rather than overflow: settings keep paths far below PATH_MAX. */
    if (snprintf(out, PATH_MAX, "%.*s" CANDIDATE_PREFIX "%s.%s", (int)(slash - path) + 1, path,
                 slash + 1, suffix) >= PATH_MAX)
        out[PATH_MAX - 1] = '\0';
}

int files_candidate(const struct agent_file *file, const struct hash *hash, char out[PATH_MAX],
                    struct err *e)
{
    char path[PATH_MAX], hex[HASH_HEX_SIZE];

    if (resolve(file->path, path, e))
        return -1;
    hash_to_hex(hash, hex);
    hex[HASH_DIGITS] = '\0';
    beside(path, hex, out);
    return 0;
}

static int wanted_access(const struct agent_file *file, const struct document *document,
                         struct disk_access *out, struct err *e)
{
    struct stat st;

    *out = (struct disk_access){ .mode = 0644, .uid = geteuid(), .gid = getegid() };
    if (stat(file->path, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            return err_code(e, ERR_INVALID, "io", "%s is not a regular file", file->path);
        *out = (struct disk_access){ st.st_mode & 07777, st.st_uid, st.st_gid };
    } else if (errno != ENOENT) {
        return disk_trouble(e, "looking at", file->path);
    }
    if (file->has_mode)
        out->mode = file->mode;
    else if (render_is_secret(file, document))
        out->mode = 0600;
    if (file->has_owner) {
        out->uid = file->uid;
        out->gid = file->gid;
    }
    return 0;
}

int files_keep_originals(const struct agent_scope *scope, const char *state_dir, bool again,
                         struct err *e)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        const char *path = scope->files[i].path;

        if ((again || originals_look(state_dir, path) == ORIGINAL_UNKNOWN) &&
            originals_keep(state_dir, path, e))
            return -1;
    }
    return 0;
}

bool files_have_originals(const struct agent_scope *scope, const char *state_dir)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (originals_look(state_dir, scope->files[i].path) == ORIGINAL_FILE)
            return true;
    return false;
}

static int check_tmpfs(const struct agent_file *file, const char *candidate, struct err *e)
{
    char folder[PATH_MAX];
    struct statfs fs;

    if (!file->is_tmpfs)
        return 0;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(candidate, '/') - candidate) + 1,
             candidate);
    if (statfs(folder, &fs))
        return disk_trouble(e, "looking at the file system of", folder);
    if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
        return 0;
    return err_code(e, ERR_INVALID, "io", "%s is marked tmpfs, and its folder lies on a disk: move "
                    "it below /run, or take the mark away", file->path);
}

/* One candidate, unless it is there already. Of an optional key that is absent there is none. */
static int stage_file(const struct agent_file *file, const struct document *document,
                      const struct hash *hash, struct err *e)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    char candidate[PATH_MAX];
    struct disk_access access;
    bool is_absent;

    if (render_file(file, document, &content, &is_absent, e) ||
        files_candidate(file, hash, candidate, e) || wanted_access(file, document, &access, e))
        return -1;
    if (is_absent)
        return 0;
    if (check_tmpfs(file, candidate, e))
        return -1;
    if (disk_holds(candidate, content.data ? content.data : "", content.size))
        return disk_set_access(candidate, &access, e);
    return disk_write(candidate, content.data ? content.data : "", content.size, &access, e);
}

static void unstage(const struct agent_scope *scope, const struct hash *hash)
{
    char candidate[PATH_MAX];
    struct err e;

    for (unsigned i = 0; i < scope->file_count; i++)
        if (files_candidate(&scope->files[i], hash, candidate, &e) == 0)
            unlink(candidate);
}

int files_stage(const struct agent_scope *scope, const struct document *document,
                const struct hash *hash, struct err *e)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        if (stage_file(&scope->files[i], document, hash, e)) {
            unstage(scope, hash);
            return -1;
        }
    for (unsigned i = 0; i < scope->file_count; i++) {
        char candidate[PATH_MAX];

        if (files_candidate(&scope->files[i], hash, candidate, e) ||
            disk_sync_folder_of(candidate, e))
            return -1;
    }
    return 0;
}

static void empty_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    char path[PATH_MAX];
    const struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < (int)sizeof(path))
            unlink(path); /* fails for . and .. */
    closedir(dir);
}

void files_unlink(const char *folder)
{
    empty_folder(folder);
    rmdir(folder);
}

int files_link(const struct agent_scope *scope, const struct hash *hash, const char *folder,
               struct err *e)
{
    char candidate[PATH_MAX], link[PATH_MAX];

    if (disk_make_folder(folder, 0700, e))
        return -1;
    empty_folder(folder);
    for (unsigned i = 0; i < scope->file_count; i++) {
        const char *name = strrchr(scope->files[i].path, '/') + 1;

        if (files_candidate(&scope->files[i], hash, candidate, e))
            return -1;
        if (access(candidate, F_OK) != 0)
            continue; /* optional, and not in this document */
        if (snprintf(link, sizeof(link), "%s/%s", folder, name) >= (int)sizeof(link))
            return err_code(e, ERR_INVALID, "io", "the path of %s is too long", name);
        if (symlink(candidate, link) && errno != EEXIST)
            return disk_trouble(e, "linking", link);
    }
    return 0;
}

static int restore_file(const struct agent_file *file, const char *state_dir, struct err *e)
{
    char to[PATH_MAX], aside[PATH_MAX];

    if (resolve(file->path, to, e))
        return -1;
    beside(to, ORIGINAL_SUFFIX, aside);
    return originals_restore(state_dir, file->path, to, aside, e);
}

static bool is_in_place(const struct agent_file *file, const struct document *document)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    char path[PATH_MAX];
    bool is_absent;
    struct err e;

    return render_file(file, document, &content, &is_absent, &e) == 0 && !is_absent &&
           resolve(file->path, path, &e) == 0 &&
           disk_holds(path, content.data ? content.data : "", content.size);
}

/* The destination becomes the document's; nothing is touched where it is so already. */
static int replace_file(const struct agent_file *file, const char *state_dir,
                        const struct document *document, const struct hash *hash, struct err *e)
{
    SCOPED_BUFFER struct buffer content = { 0 };
    char candidate[PATH_MAX], path[PATH_MAX];
    struct disk_access access;
    bool is_absent;

    if (render_file(file, document, &content, &is_absent, e))
        return -1;
    if (is_absent)
        return restore_file(file, state_dir, e);
    if (files_candidate(file, hash, candidate, e) || resolve(file->path, path, e) ||
        wanted_access(file, document, &access, e))
        return -1;
    if (disk_holds(path, content.data ? content.data : "", content.size))
        return disk_set_access(path, &access, e) || disk_remove(candidate, e) ? -1 : 0;
    return disk_rename(candidate, path, e) || disk_sync_folder_of(path, e) ? -1 : 0;
}

int files_apply(const struct agent_scope *scope, const char *state_dir,
                const struct document *document, const struct hash *hash, struct err *e)
{
    if (!document) {
        for (unsigned i = 0; i < scope->file_count; i++)
            if (restore_file(&scope->files[i], state_dir, e))
                return -1;
        return 0;
    }
    if (files_keep_originals(scope, state_dir, false, e))
        return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (!is_in_place(&scope->files[i], document) &&
            stage_file(&scope->files[i], document, hash, e))
            return -1;
    for (unsigned i = 0; i < scope->file_count; i++)
        if (replace_file(&scope->files[i], state_dir, document, hash, e))
            return -1;
    return 0;
}

static bool is_volatile(const struct agent_file *file, const struct document *document)
{
    return file->is_tmpfs || render_is_secret(file, document);
}

int files_refill(const struct agent_scope *scope, const char *state_dir,
                 const struct document *document, const struct hash *hash, struct err *e)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        const struct agent_file *file = &scope->files[i];

        if (is_volatile(file, document) && access(file->path, F_OK) != 0 && errno == ENOENT &&
            (stage_file(file, document, hash, e) ||
             replace_file(file, state_dir, document, hash, e)))
            return -1;
    }
    return 0;
}

int files_verify(const struct agent_scope *scope, const struct document *document, struct err *e)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        SCOPED_BUFFER struct buffer content = { 0 };
        char path[PATH_MAX];
        bool is_absent;

        if (render_file(&scope->files[i], document, &content, &is_absent, e) ||
            resolve(scope->files[i].path, path, e))
            return -1;
        if (!is_absent && !disk_holds(path, content.data ? content.data : "", content.size))
            return err_set(e, ERR_CONFLICT, "%s does not hold what the active revision says",
                           scope->files[i].path);
    }
    return 0;
}

/* What stands behind the name of the destination. Anything longer belongs to a neighbour: of
 * `app.conf`, when `app` is swept. */
static bool is_victim(const char *suffix, const struct hash *keep, unsigned keep_count)
{
    char hex[HASH_HEX_SIZE];

    if (strcmp(suffix, ORIGINAL_SUFFIX) == 0)
        return true;
    if (strlen(suffix) != HASH_DIGITS || strspn(suffix, "0123456789abcdef") != HASH_DIGITS)
        return false;
    for (unsigned i = 0; i < keep_count; i++) {
        hash_to_hex(&keep[i], hex);
        if (strncmp(suffix, hex, HASH_DIGITS) == 0)
            return false;
    }
    return true;
}

static void sweep_file(const struct agent_file *file, const struct hash *keep,
                       unsigned keep_count)
{
    char path[PATH_MAX], pattern[PATH_MAX], victim[PATH_MAX];
    const struct dirent *entry;
    const char *base;
    struct err e;
    size_t size;
    DIR *dir;

    if (resolve(file->path, path, &e))
        return;
    beside(path, "", pattern); /* FOLDER/.lockstep-NAME. */
    base = strrchr(pattern, '/') + 1;
    size = strlen(base);
    pattern[base - pattern - 1] = '\0';
    dir = opendir(*pattern ? pattern : "/");
    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, base, size) == 0 &&
            is_victim(entry->d_name + size, keep, keep_count) &&
            snprintf(victim, sizeof(victim), "%s/%s", pattern, entry->d_name) <
                (int)sizeof(victim))
            unlink(victim);
    closedir(dir);
}

void files_sweep(const struct agent_scope *scope, const struct hash *keep, unsigned keep_count)
{
    for (unsigned i = 0; i < scope->file_count; i++)
        sweep_file(&scope->files[i], keep, keep_count);
}

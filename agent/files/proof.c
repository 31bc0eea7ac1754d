/* proof.c - that what lies at a destination can be replaced: asked of the kernel before a promise. */
#include "agent/files/proof.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *remedy(int trouble)
{
    switch (trouble) {
    case EBUSY:
        return "it is a mount point: mount its folder instead, or write the file into another one";
    case EXDEV:
        return "it belongs to another file system, layer or quota than its folder: make it anew on "
               "this server";
    case EROFS:
        return "its file system is mounted read-only";
    case EACCES:
        return "this user may not write its folder";
    default:
        return "it or its folder may be immutable or append-only (lsattr, chattr -ia), or in a "
               "sticky folder another user's";
    }
}

/* The proof leaves everything as it was: a rename that went wrong is undone. */
static int moved(const struct spot *from, const struct spot *to, struct err *e)
{
    (void)renameat2(to->at, to->name, from->at, from->name, RENAME_NOREPLACE);
    return err_code(e, ERR_SYSTEM, "io", "%.300s changed while it was looked at; try again",
                    from->path);
}

static int try_move(const struct spot *from, const struct spot *onto, struct err *e)
{
    int trouble;

    if (renameat(from->at, from->name, onto->at, onto->name) == 0)
        return moved(from, onto, e);
    trouble = errno;
    if (trouble == EISDIR || trouble == ENOTEMPTY || trouble == EEXIST || trouble == ENOENT)
        return 0;
    return err_code(e, ERR_INVALID, "io", "%.250s cannot be replaced (%s): %s", from->path,
                    strerror(trouble), remedy(trouble));
}

/* A file is refused at a folder's place before the kernel looks for mounts. */
static int check_mount(const struct spot *s, struct err *e)
{
    return spot_is_mount(s) ? err_code(e, ERR_INVALID, "io", "%.250s cannot be replaced: %s",
                                       s->path, remedy(EBUSY))
                            : 0;
}

/* A folder that is not empty, which no file and no folder can replace. */
static int build(const struct place *p, const struct spot *wall, struct stat *st, struct err *e)
{
    SCOPED_FD int fd = -1;

    if (spot_make_folder(wall, &fd, e))
        return -1;
    place_mark(p, fd);
    return fstat(fd, st) || mkdirat(fd, "x", 0700) ? disk_trouble(e, "making a folder in",
                                                                  wall->path)
                                                   : 0;
}

int proof_replace(const struct place *p, const struct spot *destination,
                  const struct spot *candidate, struct err *e)
{
    struct stat st = { 0 };
    struct err ignored;
    struct named wall;
    int rc;

    place_beside(p, PLACE_SPENT, &wall);
    if (check_mount(destination, e) || place_remove(p, &wall.spot, NULL, e))
        return -1;
    rc = build(p, &wall.spot, &st, e) || try_move(destination, &wall.spot, e) ||
         (candidate && try_move(candidate, &wall.spot, e)) ? -1 : 0;
    (void)!place_remove(p, &wall.spot, &st, &ignored);
    return rc;
}

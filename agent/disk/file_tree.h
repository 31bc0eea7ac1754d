/* file_tree.h - whole trees of files: copied, compared, removed. Links are never followed.
 *
 * By way of descriptors, from folder to folder: whoever may write in one of them could put a link
 * in the place of another one meanwhile. What is mounted somewhere in a tree is no part of it: such
 * a tree is not copied, and nothing below a mount point is removed.
 */
#ifndef AGENT_DISK_FILE_TREE_H
#define AGENT_DISK_FILE_TREE_H

#include <stdbool.h>

#include "agent/disk/spot.h"
#include "common/err.h"

#define FILE_TREE_BYTES_MAX ((size_t)64 << 20)
#define FILE_TREE_ENTRIES_MAX 10000

/* What may be done in a folder of others: folders of others in it stay, with what is in them. Those
 * that are made get a mark (mark.h) before there is anything in them, until the owner has them. */
struct file_tree_right {
    bool has_owner; /* his folders may go: nobody else could have put them there */
    uid_t owner;
    bool has_known; /* this one as well, but not the folders in it */
    dev_t device;
    ino_t inode;
    size_t *entries_left; /* that may still be removed; NULL: FILE_TREE_ENTRIES_MAX */
};

/* A file or a folder and everything in it, with modes, owners and what else they carry, synced;
 * `to` must not be there, and what was made of it is removed again on -1. may_link: files become
 * second names of the same file where the file system allows it, which needs no space for their
 * contents. right NULL: `to` lies in a folder of the agent's own. Of sockets, pipes and devices,
 * and above FILE_TREE_BYTES_MAX (when copied) or FILE_TREE_ENTRIES_MAX, -1 with code "io". */
int file_tree_copy_at(const struct spot *from, const struct spot *to, bool may_link,
                      const struct file_tree_right *right, struct err *e)
    __attribute__((warn_unused_result));
int file_tree_copy(const char *from, const char *to, bool may_link, struct err *e)
    __attribute__((warn_unused_result));

/* Same names, kinds, contents, modes, owners and attributes. */
bool file_tree_equal_at(const struct spot *a, const struct spot *b);
bool file_tree_equal(const char *a, const char *b);

/* Absent already is fine. right NULL: all; else the folders it allows, those that are marked, and
 * empty ones, which their names' owner could have removed himself. -1 names the first that stays,
 * or says that more is left than one call removes. */
int file_tree_remove_at(const struct spot *s, const struct file_tree_right *right, struct err *e)
    __attribute__((warn_unused_result));
/* What is the same in `kept`, and folders that nothing else is in: nothing is lost. */
void file_tree_remove_kept(const struct spot *s, const struct spot *kept);
/* What was made there is the server's own from now on. */
void file_tree_unmark(const struct spot *s);
int file_tree_remove(const char *path, struct err *e) __attribute__((warn_unused_result));

/* -1 when something is mounted in it: a folder that is replaced would take that along. */
int file_tree_check_mounts(const struct spot *folder, struct err *e)
    __attribute__((warn_unused_result));

#endif

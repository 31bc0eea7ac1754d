/* carried.c - what an inode carries besides mode and owner: access lists, attributes, flags. */
#include "agent/disk/carried.h"

#include <endian.h>
#include <errno.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "agent/disk/disk.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define ACL_NFS "system.nfs4_acl" /* each file of NFSv4 has one, and its mode shows it */

#define FLAGS_KEPT                                                                                 \
    (FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL |          \
     FS_NOCOMP_FL | FS_NOTAIL_FL | FS_DIRSYNC_FL | FS_TOPDIR_FL | FS_NOCOW_FL)

void carried_fini(struct carried *c)
{
    buffer_fini(&c->attributes);
}

/* ---- which attributes ---- */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static bool is_list(const char *name)
{
    return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static bool is_of_users(const char *name)
{
    return begins(name, "user.") && !begins(name, CARRIED_OWN);
}

/* What is of the contents rather than of the place is not taken over, nor what a file system shows
 * of itself (system.ntfs_attrib, lustre.lov). */
static bool is_kept(const char *name)
{
    static const char *const of_contents[] = { "security.capability", "security.ima",
                                               "security.evm" };

    for (size_t i = 0; i < sizeof(of_contents) / sizeof(of_contents[0]); i++)
        if (strcmp(name, of_contents[i]) == 0)
            return false;
    return is_list(name) || strcmp(name, ACL_NFS) == 0 || is_of_users(name) ||
           begins(name, "security.") ||
           (begins(name, "trusted.") && !begins(name, "trusted.overlay."));
}

/* ---- one after the other ---- */

struct attribute {
    const char *name, *value;
    uint32_t size;
};

static bool next(const struct carried *c, size_t *at, struct attribute *out)
{
    if (*at >= c->attributes.size)
        return false;
    out->name = c->attributes.data + *at;
    *at += strlen(out->name) + 1;
    memcpy(&out->size, c->attributes.data + *at, sizeof(out->size));
    out->value = c->attributes.data + *at + sizeof(out->size);
    *at += sizeof(out->size) + out->size;
    return true;
}

static bool find(const struct carried *c, const char *name, struct attribute *out)
{
    for (size_t at = 0; next(c, &at, out);)
        if (strcmp(out->name, name) == 0)
            return true;
    return false;
}

/* ---- reading ---- */

static bool has_none(void)
{
    return errno == ENOTSUP || errno == ENODATA || errno == ENOSYS;
}

/* The names, each with its NUL; -1 with errno. */
static int read_names(int fd, struct buffer *out)
{
    for (ssize_t size = flistxattr(fd, NULL, 0);; size = flistxattr(fd, NULL, 0)) {
        if (size < 0)
            return has_none() ? 0 : -1;
        buffer_clear(out);
        buffer_reserve(out, (size_t)size + 1);
        size = flistxattr(fd, out->data, (size_t)size + 1);
        if (size >= 0)
            out->size = (size_t)size;
        if (size >= 0 || errno != ERANGE) /* it grew meanwhile */
            return size < 0 ? -1 : 0;
    }
}

static int read_value(int fd, const char *name, struct carried *out)
{
    char value[XATTR_SIZE_MAX];
    ssize_t size = fgetxattr(fd, name, value, sizeof(value));
    uint32_t size32 = (uint32_t)size;

    if (size < 0)
        return has_none() ? 0 : -1;
    buffer_add(&out->attributes, name, strlen(name) + 1);
    buffer_add(&out->attributes, &size32, sizeof(size32));
    buffer_add(&out->attributes, value, (size_t)size);
    return 0;
}

int carried_read(int fd, const char *path, struct carried *out, struct err *e)
{
    SCOPED_BUFFER struct buffer names = { 0 };
    int flags = 0;

    buffer_clear(&out->attributes);
    out->has_flags = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
    out->flags = (unsigned)flags & FLAGS_KEPT;
    if (read_names(fd, &names))
        return disk_trouble(e, "reading the attributes of", path);
    for (size_t at = 0; at < names.size; at += strlen(names.data + at) + 1)
        if (is_kept(names.data + at) && read_value(fd, names.data + at, out))
            return disk_trouble(e, "reading the attributes of", path);
    return 0;
}

/* ---- POSIX access lists: a version, then entries (linux/posix_acl_xattr.h) ---- */

struct entry {
    uint16_t tag, permissions;
    uint32_t id;
};

enum tag { TAG_OWNER = 0x01, TAG_GROUP = 0x04, TAG_MASK = 0x10, TAG_OTHER = 0x20 };

static size_t count_entries(size_t size)
{
    return size < sizeof(uint32_t) ? 0 : (size - sizeof(uint32_t)) / sizeof(struct entry);
}

static struct entry entry_at(const char *list, size_t i)
{
    struct entry entry;

    memcpy(&entry, list + sizeof(uint32_t) + i * sizeof(entry), sizeof(entry));
    entry.tag = le16toh(entry.tag);
    entry.permissions = le16toh(entry.permissions);
    return entry;
}

static bool has_mask(const char *list, size_t size)
{
    for (size_t i = 0; i < count_entries(size); i++)
        if (entry_at(list, i).tag == TAG_MASK)
            return true;
    return false;
}

/* Where in a mode an entry stands; -1: nowhere. */
static int shift_of(uint16_t tag, bool has_mask_entry)
{
    switch (tag) {
    case TAG_OWNER:
        return 6;
    case TAG_GROUP:
        return has_mask_entry ? -1 : 3;
    case TAG_MASK:
        return 3;
    case TAG_OTHER:
        return 0;
    default:
        return -1;
    }
}

/* The list with these mode bits: were the list set first and the mode later, whoever it names could
 * open the file in between. */
static void fit_mode(char *list, size_t size, mode_t mode)
{
    bool has_mask_entry = has_mask(list, size);

    for (size_t i = 0; i < count_entries(size); i++) {
        int shift = shift_of(entry_at(list, i).tag, has_mask_entry);
        uint16_t permissions;

        if (shift < 0)
            continue;
        permissions = htole16((uint16_t)((mode >> shift) & 07));
        memcpy(list + sizeof(uint32_t) + i * sizeof(struct entry) +
                   offsetof(struct entry, permissions), &permissions, sizeof(permissions));
    }
}

mode_t carried_limit(int folder, mode_t mode)
{
    char list[XATTR_SIZE_MAX];
    ssize_t size = fgetxattr(folder, ACL_DEFAULT, list, sizeof(list));
    mode_t limit = 07000;
    bool has_mask_entry;

    if (size <= 0)
        return mode;
    has_mask_entry = has_mask(list, (size_t)size);
    for (size_t i = 0; i < count_entries((size_t)size); i++) {
        struct entry entry = entry_at(list, i);
        int shift = shift_of(entry.tag, has_mask_entry);

        if (shift >= 0)
            limit |= (mode_t)(entry.permissions & 07) << shift;
    }
    return mode & limit;
}

/* ---- giving ---- */

void carried_give_flags(int fd, const struct carried *c)
{
    int flags;

    if (!c->has_flags || ioctl(fd, FS_IOC_GETFLAGS, &flags) ||
        ((unsigned)flags & FLAGS_KEPT) == c->flags)
        return;
    flags = (int)(((unsigned)flags & ~(unsigned)FLAGS_KEPT) | c->flags);
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags); /* they open nothing: a file without them is whole */
}

static int give(int fd, const char *path, const struct attribute *a, mode_t mode, struct err *e)
{
    char wanted[XATTR_SIZE_MAX], found[XATTR_SIZE_MAX];
    ssize_t size = fgetxattr(fd, a->name, found, sizeof(found));

    memcpy(wanted, a->value, a->size);
    if (strcmp(a->name, ACL_ACCESS) == 0)
        fit_mode(wanted, a->size, mode);
    if (size == (ssize_t)a->size && memcmp(wanted, found, a->size) == 0)
        return 0;
    if (fsetxattr(fd, a->name, wanted, a->size, 0) == 0 ||
        (strcmp(a->name, ACL_NFS) == 0 && errno == ENOTSUP))
        return 0;
    if (errno == ENOSPC || errno == EDQUOT)
        return disk_trouble(e, "keeping the attributes of", path);
    return err_code(e, ERR_INVALID, "io", "the attribute %.80s cannot be kept in %.250s (%s): take "
                    "it away (setfacl -b, setfattr -x), or use a file system that holds it",
                    a->name, path, strerror(errno));
}

/* What a new file got from its folder's default list, or a candidate from one who was there
 * before. */
static int take_away_others(int fd, const char *path, const struct carried *c, struct err *e)
{
    SCOPED_BUFFER struct buffer names = { 0 };
    struct attribute unused;

    if (read_names(fd, &names))
        return disk_trouble(e, "reading the attributes of", path);
    for (size_t at = 0; at < names.size; at += strlen(names.data + at) + 1) {
        const char *name = names.data + at;

        if ((is_list(name) || is_of_users(name)) && !find(c, name, &unused) &&
            fremovexattr(fd, name) && !has_none())
            return disk_trouble(e, "taking attributes from", path);
    }
    return 0;
}

int carried_give(int fd, const char *path, const struct carried *c, mode_t mode, struct err *e)
{
    struct attribute a;

    if (take_away_others(fd, path, c, e))
        return -1;
    for (size_t at = 0; next(c, &at, &a);)
        if (give(fd, path, &a, mode, e))
            return -1;
    return 0;
}

/* ---- comparing ---- */

static bool holds_all(const struct carried *a, const struct carried *of)
{
    struct attribute here, there;

    for (size_t at = 0; next(of, &at, &there);)
        if (strcmp(there.name, ACL_NFS) != 0 &&
            (!find(a, there.name, &here) || here.size != there.size ||
             memcmp(here.value, there.value, here.size) != 0))
            return false;
    return true;
}

bool carried_equal(const struct carried *a, const struct carried *b)
{
    return holds_all(a, b) && holds_all(b, a);
}

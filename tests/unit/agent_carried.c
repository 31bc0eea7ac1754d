/* agent_carried.c - tests of access lists, attributes and flags: kept, never wider, put back. */
#include "agent/disk/carried.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "agent/disk/file_tree.h"
#include "tests/test.h"
#include "tests/unit/files_kit.h"
#include "tests/unit/rights.h"

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define BOB 54321 /* whoever that is */

static char fresh[TEMP_PATH + 16]; /* of the group, and not there yet */

/* ---- access lists, as the kernel takes them ---- */

struct list {
    struct {
        uint16_t tag, permissions;
        uint32_t id;
    } entries[5];
};

/* owner, the user BOB, group, mask, others */
static void give_list(const char *path, const char *kind, int owner, int bob, int of_group,
                      int mask, int others)
{
    static const uint16_t tags[] = { 0x01, 0x02, 0x04, 0x10, 0x20 };
    const int permissions[] = { owner, bob, of_group, mask, others };
    char value[4 + sizeof(struct list)];
    uint32_t version = htole32(2);
    struct list list;

    for (int i = 0; i < 5; i++) {
        list.entries[i].tag = htole16(tags[i]);
        list.entries[i].permissions = htole16((uint16_t)permissions[i]);
        list.entries[i].id = htole32(i == 1 ? BOB : UINT32_MAX);
    }
    memcpy(value, &version, 4);
    memcpy(value + 4, &list, sizeof(list));
    ck_assert_msg(setxattr(path, kind, value, sizeof(value), 0) == 0, "%s: %s", path,
                  strerror(errno));
}

/* What the list says of tag, or -1. */
static int permissions_of(const char *path, const char *kind, uint16_t tag)
{
    char value[4 + 16 * 8];
    ssize_t size = getxattr(path, kind, value, sizeof(value));

    for (ssize_t at = 4; at + 8 <= size; at += 8) {
        uint16_t found, permissions;

        memcpy(&found, value + at, 2);
        memcpy(&permissions, value + at + 2, 2);
        if (le16toh(found) == tag)
            return le16toh(permissions);
    }
    return -1;
}

/* What BOB may do: what his entry and the mask both say. */
static int bob_may(const char *path)
{
    int bob = permissions_of(path, ACCESS, 0x02), mask = permissions_of(path, ACCESS, 0x10);

    return bob < 0 ? 0 : bob & mask;
}

static bool has_attribute(const char *path, const char *name, const char *value)
{
    char found[64];
    ssize_t size = getxattr(path, name, found, sizeof(found));

    return size == (ssize_t)strlen(value) && memcmp(found, value, (size_t)size) == 0;
}

/* ---- a file, and a group with two ---- */

static void begin(void)
{
    begin_files();
    snprintf(fresh, sizeof(fresh), "%s/n", group);
    add_group();
    add_file(single, AGENT_NO_GROUP);
    add_file(member, 0);
    add_file(fresh, 0);
}

static void apply(const char *value, bool is_secret)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = document_with(value, is_secret, &hash);

    ck_assert_msg(files_keep_originals(scope, state, false, &e) == 0, "%s", e.text);
    ck_assert_msg(files_stage(FROM(d, hash), &e) == 0, "%s", e.text);
    ck_assert_msg(files_reserve(FROM(NULL, nothing), state, &e) == 0, "%s", e.text);
    ck_assert_msg(files_apply(FROM(d, hash), state, &e) == 0, "%s", e.text);
    ck_assert(temp_holds(single, value) && temp_holds(member, value) && temp_holds(fresh, value));
}

static void go_back(void)
{
    ck_assert_msg(files_apply(FROM(NULL, nothing), state, &e) == 0, "%s", e.text);
    ck_assert(temp_holds(single, "mine") && temp_holds(member, "mine"));
    ck_assert(temp_holds(fresh, NULL));
}

/* The group's own entry has no rights; the group bits of the mode, which are the mask, have. */
TEST(access_lists_are_kept_and_put_back)
{
    const char *files[] = { single, member };

    begin();
    for (int i = 0; i < 2; i++)
        give_list(files[i], ACCESS, 6, 4, 0, 6, 0);
    give_list(group, ACCESS, 7, 5, 0, 5, 0);
    give_list(group, DEFAULT, 7, 4, 0, 5, 0);
    for (int round = 0; round < 3; round++) {
        if (round < 2)
            apply(round ? "2" : "1", false);
        else
            go_back();
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(bob_may(files[i]), 4);
            ck_assert_int_eq(permissions_of(files[i], ACCESS, 0x04), 0);
            ck_assert_uint_eq(temp_mode(files[i]), 0660);
        }
        ck_assert_int_eq(permissions_of(group, ACCESS, 0x04), 0);
        ck_assert_int_eq(bob_may(group), 5);
        ck_assert_int_eq(permissions_of(group, DEFAULT, 0x02), 4);
        ck_assert_uint_eq(temp_mode(group), 0750);
    }
    end_files();
}

/* What is new in a where is what the where gives, and no wider. */
TEST(a_default_list_holds_for_what_is_new)
{
    begin();
    ck_assert_int_eq(unlink(single), 0);
    give_list(group, DEFAULT, 7, 4, 0, 5, 0);
    give_list(where, DEFAULT, 7, 6, 0, 6, 0);
    apply("1", false);
    ck_assert_int_eq(bob_may(fresh), 4);
    ck_assert_uint_eq(temp_mode(fresh), 0640);
    ck_assert_int_eq(bob_may(member), 0); /* it had none */
    ck_assert_int_eq(permissions_of(member, ACCESS, 0x02), -1);
    ck_assert_uint_eq(temp_mode(single), 0640);
    ck_assert_int_eq(bob_may(single), 4); /* 06 of the list, and 04 of the mode */
    end_files();
}

TEST(a_secret_lets_nobody_in)
{
    const char *files[] = { single, member, fresh };

    begin();
    give_list(single, ACCESS, 6, 6, 4, 6, 4);
    give_list(member, ACCESS, 6, 6, 4, 6, 4);
    give_list(group, DEFAULT, 7, 7, 5, 7, 5);
    apply("hush", true);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(bob_may(files[i]), 0);
        ck_assert_uint_eq(temp_mode(files[i]), 0600);
    }
    go_back();
    ck_assert_int_eq(bob_may(single), 6);
    ck_assert_int_eq(bob_may(member), 6);
    end_files();
}

TEST(a_mode_of_the_settings_is_the_mask)
{
    begin();
    give_list(single, ACCESS, 6, 6, 0, 6, 4);
    scope->files[0].access = (struct agent_access){ .has_mode = true, .mode = 0640 };
    apply("1", false);
    ck_assert_uint_eq(temp_mode(single), 0640);
    ck_assert_int_eq(bob_may(single), 4);
    ck_assert_int_eq(permissions_of(single, ACCESS, 0x04), 0);
    end_files();
}

TEST(attributes_are_kept_and_put_back)
{
    begin();
    ck_assert_int_eq(setxattr(single, "user.team", "pay", 3, 0), 0);
    ck_assert_int_eq(setxattr(group, "user.team", "web", 3, 0), 0);
    ck_assert_int_eq(setxattr(member, "user.team", "one", 3, 0), 0);
    /* Where no module judges it, a label is an attribute like others. */
    if (is_root("attributes of the system")) {
        ck_assert_int_eq(setxattr(single, "security.selinux", "a:b:c:s0", 9, 0), 0);
        ck_assert_int_eq(setxattr(single, "trusted.mark", "t", 1, 0), 0);
    }
    for (int round = 0; round < 3; round++) {
        if (round < 2)
            apply(round ? "2" : "1", false);
        else
            go_back();
        ck_assert(has_attribute(single, "user.team", "pay"));
        ck_assert(has_attribute(group, "user.team", "web"));
        ck_assert(has_attribute(member, "user.team", "one"));
        ck_assert(geteuid() != 0 || (has_attribute(single, "trusted.mark", "t") &&
                                     getxattr(single, "security.selinux", NULL, 0) == 9));
    }
    end_files();
}

/* Like set-id bits: the contents come from elsewhere now. */
TEST(capabilities_are_not_taken_over)
{
    static const unsigned char bind[] = { 1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                          0 };

    begin();
    if (is_root("capabilities of a file")) {
        ck_assert_int_eq(setxattr(single, "security.capability", bind, sizeof(bind), 0), 0);
        apply("1", false);
        ck_assert_int_eq(getxattr(single, "security.capability", NULL, 0), -1);
    }
    end_files();
}

/* Somebody takes the list away by hand: the original has one, so it is not what lies there. */
TEST(trees_differ_by_what_they_carry)
{
    char copy[TEMP_PATH];

    begin();
    snprintf(copy, sizeof(copy), "%.400s/copy", where);
    give_list(member, ACCESS, 6, 4, 0, 6, 0);
    ck_assert_int_eq(setxattr(group, "user.team", "web", 3, 0), 0);
    ck_assert_int_eq(file_tree_copy(group, copy, false, &e), 0);
    ck_assert(file_tree_equal(group, copy));
    ck_assert(has_attribute(copy, "user.team", "web"));
    ck_assert_int_eq(removexattr(group, "user.team"), 0);
    ck_assert(!file_tree_equal(group, copy));
    ck_assert_int_eq(setxattr(group, "user.team", "web", 3, 0), 0);
    ck_assert_int_eq(removexattr(member, ACCESS), 0);
    ck_assert_int_eq(chmod(member, 0660), 0);
    ck_assert(!file_tree_equal(group, copy));
    ck_assert(!file_tree_equal(copy, group));
    end_files();
}

static int flags_of(const char *path)
{
    int fd = open(path, O_RDONLY), flags = 0;
    bool is_known = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;

    close(fd);
    return is_known ? flags : -1;
}

TEST(flags_are_kept_where_there_are_any)
{
    int fd, flags;

    begin();
    flags = flags_of(single);
    if (flags >= 0) {
        fd = open(single, O_RDONLY);
        flags |= FS_NODUMP_FL;
        ck_assert_int_eq(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
        close(fd);
        apply("1", false);
        ck_assert(flags_of(single) & FS_NODUMP_FL);
        apply("2", false);
        go_back();
        ck_assert(flags_of(single) & FS_NODUMP_FL);
    }
    end_files();
}

/* agent_foreign_folders.c - tests that root removes no folder for somebody who could not remove it. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "agent/disk/file_tree.h"
#include "agent/disk/mark.h"
#include "common/buffer.h"
#include "tests/test.h"
#include "tests/unit/files_kit.h"
#include "tests/unit/rights.h"

#define NOBODY 65534
#define MARK "user.lockstep.candidate"

/* `where` is a folder of another user, in which root keeps `tools` with what is private in it. */
static char tools[TEMP_PATH], members[2][2 * TEMP_PATH];

static void make(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    ck_assert_int_eq(mkdir(path, mode), 0);
    ck_assert_int_eq(chown(path, uid, gid), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* A path until 8 more were asked for. */
static struct buffer paths[8];

static const char *in(const char *at, const char *name)
{
    static unsigned n;
    struct buffer *path = &paths[n++ % 8];

    buffer_clear(path);
    buffer_printf(path, "%s/%s", at, name);
    return path->data;
}

/* Only root can be made to remove what others cannot. */
static bool begin(mode_t mode, uid_t owner)
{
    if (!is_root("folders of others"))
        return false;
    begin_foreign(mode, owner, NOBODY);
    snprintf(tools, sizeof(tools), "%s/tools", where);
    make(tools, 02775, 0, NOBODY);
    make(in(tools, "private"), 0700, 0, 0);
    temp_write(in(in(tools, "private"), "data"), "of root", 0600);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(members[i], sizeof(members[i]), "%s/%u", group, i);
        add_file(members[i], 0);
    }
    return true;
}

static void end(void)
{
    for (unsigned i = 0; i < 8; i++)
        buffer_fini(&paths[i]);
    end_files();
}

static int roll_out(unsigned i)
{
    struct render_source source = source_of(i), back = { .scope = scope };

    return files_keep_originals(scope, state, false, &e) || files_stage(&source, &e) ||
                   files_reserve(&back, state, &e) || files_apply(&source, state, &e)
               ? -1
               : 0;
}

static int roll_back(void)
{
    struct render_source back = { .scope = scope };

    return files_reserve(&back, state, &e) || files_apply(&back, state, &e) ? -1 : 0;
}

static unsigned count_candidates(void)
{
    DIR *dir = opendir(where);
    const struct dirent *entry;
    unsigned n = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)))
        n += strncmp(entry->d_name, ".lockstep-", strlen(".lockstep-")) == 0;
    closedir(dir);
    return n;
}

static bool is_whole(const char *at)
{
    return temp_holds(in(in(at, "private"), "data"), "of root");
}

/* ---- names ---- */

static void sweep_as(const char *name)
{
    const char *path = in(where, name);

    ck_assert_int_eq(rename(tools, path), 0);
    files_sweep(scope, NULL, 0);
    ck_assert_msg(is_whole(path), "%s was removed", name);
    ck_assert_int_eq(rename(path, tools), 0);
}

/* Whoever may write in a folder of root's may put any attribute on it, that of another one too. */
TEST(a_mark_cannot_be_forged)
{
    struct hash hash = { { 1 } };
    char candidate[PATH_MAX], mark[64];
    ssize_t size;

    if (!begin(0755, NOBODY))
        return;
    ck_assert_int_eq(setxattr(tools, MARK, "1", 1, 0), 0);
    sweep_as(".lockstep-conf.d.spent");
    sweep_as(".lockstep-x.conf.original");
    ck_assert_int_eq(files_stage(&(struct render_source){ scope, source_of(1).document, hash },
                                 &e), 0);
    snprintf(candidate, sizeof(candidate), "%s/.lockstep-conf.d.0100000000000000", where);
    size = getxattr(candidate, MARK, mark, sizeof(mark));
    ck_assert_int_gt(size, 1);
    ck_assert_int_eq(setxattr(tools, MARK, mark, (size_t)size, 0), 0);
    sweep_as(".lockstep-conf.d.spent");
    ck_assert(temp_holds(candidate, NULL)); /* made here, it went with the first sweep */
    end();
}

/* Into a folder of the agent's that he may write he can move one of root's. */
TEST(what_is_in_a_marked_folder_stays)
{
    char candidate[PATH_MAX];

    if (!begin(0755, NOBODY))
        return;
    scope->groups[0].access = (struct agent_access){ .has_mode = true, .mode = 0777 };
    ck_assert_msg(roll_out(1) == 0, "%s", e.text);
    ck_assert_int_eq(rename(tools, in(group, "tools")), 0);
    ck_assert_msg(roll_out(2) == 0, "%s", e.text);
    snprintf(candidate, sizeof(candidate), "%s/.lockstep-conf.d.spent", where);
    ck_assert(is_whole(in(candidate, "tools")));
    ck_assert_int_ne(roll_out(3), 0);
    ck_assert_msg(strstr(e.text, "tools belongs to user 0 and stays; move it away") != NULL, "%s",
                  e.text);
    end();
}

/* In a folder that a group may write, a member of it names folders of root's and of its owner's. */
TEST(a_group_may_not_more_than_its_members)
{
    if (!begin(0775, 0))
        return;
    sweep_as(".lockstep-conf.d.spent");
    ck_assert_int_eq(chown(where, 1, NOBODY) || chown(tools, 1, NOBODY), 0);
    sweep_as(".lockstep-conf.d.spent");
    end();
}

/* ---- the destination ---- */

/* Lockstep's folder at the destination is exchanged for one of root's: that is replaced, and
 * stays. */
TEST(what_was_put_at_a_destination_stays)
{
    if (!begin(0755, NOBODY))
        return;
    ck_assert_msg(roll_out(1) == 0, "%s", e.text);
    ck_assert_int_eq(renameat2(AT_FDCWD, tools, AT_FDCWD, group, RENAME_EXCHANGE), 0);
    ck_assert_msg(roll_out(2) == 0, "%s", e.text);
    ck_assert(temp_holds(members[0], "value 2"));
    ck_assert(is_whole(in(where, ".lockstep-conf.d.spent")));
    ck_assert_int_ne(roll_back(), 0);
    ck_assert_msg(strstr(e.text, "spent belongs to user 0 and stays; move it away") != NULL, "%s",
                  e.text);
    ck_assert_int_eq(rename(in(where, ".lockstep-conf.d.spent"), in(where, "away")), 0);
    ck_assert_msg(roll_back() == 0, "%s", e.text);
    ck_assert(temp_holds(group, NULL));
    end();
}

/* A folder of root's with folders in it is taken over, set aside and brought back; what is left
 * over on the way goes. */
TEST(originals_of_root_come_and_go)
{
    struct stat st;
    char value[8];

    if (!begin(0755, NOBODY))
        return;
    make(group, 0755, 0, 0);
    make(in(group, "sub"), 0755, 0, 0);
    temp_write(in(in(group, "sub"), "mine"), "before", 0640);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_msg(roll_out(i) == 0, "%s", e.text);
        ck_assert(temp_holds(members[1], i == 1 ? "value 1" : i == 2 ? "value 2" : "value 3"));
    }
    ck_assert(temp_holds(in(in(in(where, ".lockstep-conf.d.original"), "sub"), "mine"), "before"));
    ck_assert_uint_eq(count_candidates(), 1);
    files_sweep(scope, NULL, 0);
    ck_assert_uint_eq(count_candidates(), 0);
    ck_assert_msg(roll_back() == 0, "%s", e.text);
    ck_assert(temp_holds(in(in(group, "sub"), "mine"), "before"));
    ck_assert_int_eq(stat(in(in(group, "sub"), "mine"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
    ck_assert_uint_eq(count_candidates(), 0);
    ck_assert_int_lt(getxattr(group, MARK, value, sizeof(value)), 0); /* it is root's own again */
    ck_assert_int_lt(getxattr(in(group, "sub"), MARK, value, sizeof(value)), 0);
    ck_assert_int_eq(rename(group, in(where, ".lockstep-conf.d.spent")), 0);
    files_sweep(scope, NULL, 0);
    ck_assert(temp_holds(in(in(in(where, ".lockstep-conf.d.spent"), "sub"), "mine"), "before"));
    end();
}

/* ---- copying ---- */

/* What is in the way of a copy was not made by it. */
TEST(a_copy_that_fails_removes_what_it_made)
{
    char other[TEMP_PATH], fifo[2 * TEMP_PATH];
    struct file_tree_right right = { .has_owner = true, .owner = NOBODY };

    if (!begin(0755, NOBODY))
        return;
    snprintf(other, sizeof(other), "%s/other", folder);
    make(other, 0755, 0, 0);
    make(in(other, "sub"), 0755, 0, 0);
    temp_write(in(other, "a"), "a", 0644);
    ck_assert_int_ne(file_tree_copy_at(&SPOT(other), &SPOT(tools), true, &right, &e), 0);
    ck_assert(is_whole(tools));
    ck_assert_int_ne(file_tree_copy_at(&SPOT(in(other, "a")), &SPOT(tools), true, &right, &e), 0);
    ck_assert(is_whole(tools));
    ck_assert_int_ne(file_tree_copy(other, tools, true, &e), 0);
    ck_assert(is_whole(tools));
    snprintf(fifo, sizeof(fifo), "%s/sub/fifo", other);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0); /* which is not copied */
    ck_assert_int_ne(file_tree_copy_at(&SPOT(other), &SPOT(in(where, "copy")), true, &right, &e),
                     0);
    ck_assert(temp_holds(in(where, "copy"), NULL));
    end();
}

/* ---- how much ---- */

/* A sweep removes so much and no more, and the next one goes on. */
TEST(any_number_of_files_is_swept_in_turns)
{
    char spent[TEMP_PATH], name[TEMP_PATH + 16];
    unsigned turns = 0;

    if (!begin(0755, NOBODY))
        return;
    snprintf(spent, sizeof(spent), "%s/.lockstep-conf.d.spent", where);
    make(spent, 0755, NOBODY, NOBODY);
    for (unsigned i = 0; i < 2 * FILE_TREE_ENTRIES_MAX + 100; i++) {
        int fd;

        snprintf(name, sizeof(name), "%s/%u", spent, i);
        fd = open(name, O_CREAT | O_WRONLY, 0644);
        ck_assert_int_ge(fd, 0);
        close(fd);
    }
    for (; !temp_holds(spent, NULL); turns++)
        files_sweep(scope, NULL, 0);
    ck_assert_uint_eq(turns, 3);
    end();
}

/* ---- the key ---- */

TEST(a_mark_outlives_the_agent)
{
    char path[TEMP_PATH + 16];
    int fd;

    if (!begin(0755, NOBODY))
        return;
    ck_assert_msg(mark_open(state, &e) == 0, "%s", e.text);
    fd = open(tools, O_RDONLY | O_DIRECTORY);
    mark_set(fd);
    ck_assert(mark_is_set(fd));
    ck_assert_msg(mark_open(state, &e) == 0, "%s", e.text);
    ck_assert(mark_is_set(fd));
    snprintf(path, sizeof(path), "%s/mark.key", state);
    ck_assert_uint_eq(temp_mode(path), 0600);
    temp_write(path, "short", 0600);
    ck_assert_msg(mark_open(state, &e) == 0, "%s", e.text);
    ck_assert(!mark_is_set(fd));
    mark_set(fd);
    mark_clear(fd);
    ck_assert(!mark_is_set(fd));
    close(fd);
    end();
}

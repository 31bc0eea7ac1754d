/* agent_proof.c - tests that what could not be replaced is found before it is promised. */
#include "agent/files/proof.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/test.h"
#include "tests/unit/files_kit.h"
#include "tests/unit/rights.h"

#define NOBODY 65534

/* Either a file by itself or a group with one. */
static void settle(bool is_group)
{
    add_file(is_group ? member : single, is_group ? 0 : AGENT_NO_GROUP);
    if (is_group)
        add_group();
}

/* What a PREPARE asks for. */
static int promise(void)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = document_with("new", false, &hash);

    return files_keep_originals(scope, state, true, &e) || files_stage(FROM(d, hash), &e) ||
           files_reserve(FROM(NULL, nothing), state, &e) ? -1 : 0;
}

static int keep_promise(void)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = document_with("new", false, &hash);

    return files_apply(FROM(d, hash), state, &e);
}

/* Refused, with `word` in the reason, and the destination is as it was. */
static void check_refused(const char *word)
{
    ck_assert_msg(promise() != 0, "it was promised: %s", word);
    ck_assert_msg(strstr(e.text, word) != NULL, "%s (instead of: %s)", e.text, word);
    ck_assert(temp_holds(scope->files[0].path, "mine"));
}

static void check_kept(void)
{
    ck_assert_msg(promise() == 0, "%s", e.text);
    ck_assert(temp_holds(scope->files[0].path, "mine")); /* asking changes nothing */
    ck_assert_msg(keep_promise() == 0, "%s", e.text);
    ck_assert(temp_holds(scope->files[0].path, "new"));
}

static void bind_at(const char *from, const char *to)
{
    ck_assert_msg(mount(from, to, NULL, MS_BIND, NULL) == 0, "%s: %s", to, strerror(errno));
}

TEST(what_can_be_kept_is_promised)
{
    for (int is_group = 0; is_group < 2; is_group++) {
        begin_files();
        settle(is_group);
        check_kept();
        end_files();
    }
}

TEST(a_file_that_is_mounted)
{
    char other[TEMP_PATH];

    if (!own_mounts("a file that is a mount point"))
        return;
    begin_files();
    settle(false);
    snprintf(other, sizeof(other), "%s/other", folder);
    temp_write(other, "mine", 0644);
    bind_at(other, single);
    check_refused("mount point");
    ck_assert_int_eq(umount(single), 0);
    check_kept();
    end_files();
}

/* Wherever it went with the folder that it lies in. */
static void unmount_all(void)
{
    struct hash hash;
    SCOPED(document_free) struct document *made = document_with("new", false, &hash);
    char candidate[PATH_MAX], path[PATH_MAX + 8];

    ck_assert_ptr_nonnull(made);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &hash, candidate, &e), 0);
    *strrchr(candidate, '/') = '\0';
    snprintf(path, sizeof(path), "%s/sub", candidate);
    umount2(path, MNT_DETACH);
    snprintf(path, sizeof(path), "%s/sub", group);
    umount2(path, MNT_DETACH);
    snprintf(path, sizeof(path), "%s/.lockstep-conf.d.spent/sub", where);
    umount2(path, MNT_DETACH);
}

/* Also below the group: the folder would take it along, and its files would be removed. */
TEST(a_group_with_a_mount_in_it)
{
    char other[TEMP_PATH], sub[2 * TEMP_PATH], theirs[TEMP_PATH + 16];

    if (!own_mounts("a group with a mount in it"))
        return;
    begin_files();
    settle(true);
    snprintf(other, sizeof(other), "%s/other", folder);
    snprintf(theirs, sizeof(theirs), "%s/theirs", other);
    snprintf(sub, sizeof(sub), "%s/sub", group);
    ck_assert_int_eq(mkdir(other, 0755), 0);
    temp_write(theirs, "theirs", 0644);
    check_kept();
    ck_assert_int_eq(mkdir(sub, 0755), 0);
    bind_at(other, sub);
    ck_assert_int_ne(promise(), 0);
    ck_assert_msg(strstr(e.text, "mount point") != NULL, "%s", e.text);
    (void)!keep_promise(); /* as if it had been mounted after the promise */
    files_sweep(scope, NULL, 0);
    ck_assert(temp_holds(theirs, "theirs"));
    unmount_all();
    ck_assert(temp_holds(theirs, "theirs"));
    end_files();
}

TEST(a_file_system_that_is_read_only)
{
    if (!own_mounts("a file system that is read-only"))
        return;
    begin_files();
    settle(false);
    ck_assert_int_eq(promise(), 0); /* candidates are there, and then it becomes read-only */
    bind_at(where, where);
    ck_assert_int_eq(mount(NULL, where, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    check_refused("");
    ck_assert_int_eq(umount(where), 0);
    check_kept();
    end_files();
}

/* A folder of a container's image cannot be moved: its layer is below. */
TEST(a_folder_of_a_lower_layer)
{
    char upper[TEMP_PATH], work[TEMP_PATH], merged[TEMP_PATH], options[4 * TEMP_PATH];

    if (!own_mounts("a folder of a lower layer"))
        return;
    begin_files();
    snprintf(upper, sizeof(upper), "%s/upper", folder);
    snprintf(work, sizeof(work), "%s/work", folder);
    snprintf(merged, sizeof(merged), "%s/merged", folder);
    mkdir(upper, 0755);
    mkdir(work, 0755);
    mkdir(merged, 0755);
    snprintf(options, sizeof(options), "redirect_dir=off,lowerdir=%s,upperdir=%s,workdir=%s",
             where, upper, work);
    /* In a user namespace the first option may not be given, and is off. */
    if (mount("overlay", merged, "overlay", 0, options) &&
        mount("overlay", merged, "overlay", 0, strchr(options, ',') + 1)) {
        not_run("a folder of a lower layer: no overlay may be mounted here: %s", strerror(errno));
        end_files();
        return;
    }
    snprintf(group, sizeof(group), "%.400s/conf.d", merged);
    snprintf(member, sizeof(member), "%s/m", group);
    settle(true);
    check_refused("layer");
    ck_assert_int_eq(umount2(merged, MNT_DETACH), 0);
    end_files();
}

/* ---- flags ---- */

static bool set_flags(const char *path, unsigned flags, bool is_on)
{
    int fd = open(path, O_RDONLY), now = 0;
    bool is_set = ioctl(fd, FS_IOC_GETFLAGS, &now) == 0;

    now = (int)(is_on ? (unsigned)now | flags : (unsigned)now & ~flags);
    is_set = is_set && ioctl(fd, FS_IOC_SETFLAGS, &now) == 0;
    if (!is_set)
        not_run("files that are nailed down: no flags may be set here: %s", strerror(errno));
    close(fd);
    return is_set;
}

/* On the file or the folder that is replaced, and on the folder it lies in. */
TEST(files_that_are_nailed_down)
{
    static const unsigned flags[] = { FS_IMMUTABLE_FL, FS_APPEND_FL };

    for (int i = 0; i < 2; i++)
        for (int is_group = 0; is_group < 2; is_group++) {
            begin_files();
            settle(is_group);
            if (set_flags(is_group ? group : single, flags[i], true)) {
                check_refused("lsattr");
                set_flags(is_group ? group : single, flags[i], false);
                check_kept();
            }
            end_files();
        }
}

/* What will not be replaced need not be replaceable. */
TEST(what_is_so_already_may_be_nailed_down)
{
    for (int is_group = 0; is_group < 2; is_group++) {
        begin_files();
        settle(is_group);
        check_kept();
        if (set_flags(is_group ? member : single, FS_IMMUTABLE_FL, true)) {
            struct hash hash;
            SCOPED(document_free) struct document *d = document_with("new", false, &hash);

            ck_assert_msg(files_stage(FROM(d, hash), &e) == 0, "%s", e.text);
            ck_assert_msg(files_reserve(FROM(d, hash), state, &e) == 0, "%s", e.text);
            ck_assert_msg(keep_promise() == 0, "%s", e.text);
            set_flags(is_group ? member : single, FS_IMMUTABLE_FL, false);
        }
        end_files();
    }
}

TEST(a_folder_that_only_grows)
{
    char left[TEMP_PATH];

    for (int is_group = 0; is_group < 2; is_group++) {
        begin_files();
        settle(is_group);
        if (set_flags(where, FS_APPEND_FL, true)) {
            check_refused("");
            set_flags(where, FS_APPEND_FL, false);
            check_kept();
            files_sweep(scope, NULL, 0);
            snprintf(left, sizeof(left), "%s/.lockstep-%s.spent", where,
                     is_group ? "conf.d" : "x.conf");
            ck_assert(temp_holds(left, NULL));
        }
        end_files();
    }
}

/* ---- other users ---- */

TEST(a_file_of_another_in_a_sticky_folder)
{
    begin_files();
    settle(false);
    if (geteuid() == 0) { /* an ordinary user cannot make a file of another */
        SCOPED(document_free) struct document *d = NULL;
        struct hash hash;

        d = document_with("new", false, &hash);
        scope->files[0].access = (struct agent_access){ .has_owner = true, .uid = NOBODY,
                                                        .gid = NOBODY };
        ck_assert_int_eq(chown(folder, NOBODY, NOBODY), 0);
        ck_assert_int_eq(chmod(where, 01777), 0);
        ck_assert_int_eq(setegid(NOBODY), 0);
        ck_assert_int_eq(seteuid(NOBODY), 0);
        ck_assert_int_ne(files_stage(FROM(d, hash), &e), 0);
        ck_assert_msg(strstr(e.text, "sticky") != NULL, "%s", e.text);
        ck_assert(temp_holds(single, "mine"));
        ck_assert_int_eq(seteuid(0), 0);
    }
    end_files();
}

TEST(a_folder_where_a_file_should_be)
{
    begin_files();
    settle(false);
    ck_assert_int_eq(unlink(single), 0);
    ck_assert_int_eq(mkdir(single, 0755), 0);
    ck_assert_int_ne(promise(), 0);
    ck_assert_msg(strstr(e.text, "is not a regular file") != NULL, "%s", e.text);
    end_files();
}

/* Back to the originals is a rename or a removal, too. */
TEST(the_way_back_is_asked_for)
{
    begin_files();
    settle(false);
    check_kept();
    if (set_flags(single, FS_IMMUTABLE_FL, true)) {
        ck_assert_int_ne(files_reserve(FROM(NULL, nothing), state, &e), 0);
        ck_assert_msg(strstr(e.text, "lsattr") != NULL, "%s", e.text);
        set_flags(single, FS_IMMUTABLE_FL, false);
    }
    ck_assert_int_eq(files_reserve(FROM(NULL, nothing), state, &e), 0);
    end_files();
}

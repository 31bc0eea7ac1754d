/* agent_shown.c - tests of what validate is shown: copies, on no disk what is for memory only. */
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "agent/files/files.h"
#include "agent/files/placeholder.h"
#include "agent/files/staging.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

#define NOBODY 65534

/* memory: a folder on a tmpfs, where the destinations are. */
static char folder[TEMP_PATH / 2], memory[TEMP_PATH / 2], disk[TEMP_PATH], shown[TEMP_PATH];
static char group[TEMP_PATH], member[TEMP_PATH + 8], single[TEMP_PATH], optional[TEMP_PATH];
static bool is_mounted;
static struct user somebody;
static struct agent_scope scope;
static struct document *d;
static const struct hash hash = { { 1 } };
static struct err e;

static bool has_shared_memory(void)
{
    struct statfs fs;

    return statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
           access("/dev/shm", W_OK) == 0;
}

/* Where the machine has no tmpfs for everybody, one of the test's own. */
static bool begin(void)
{
    if (has_shared_memory()) {
        temp_make(folder);
        snprintf(memory, sizeof(memory), "/dev/shm/lockstep-unit-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(memory));
    } else if (own_mounts("what a tmpfs holds")) {
        temp_make(folder);
        snprintf(memory, sizeof(memory), "%.200s/memory", folder);
        ck_assert_int_eq(mkdir(memory, 0755), 0);
        ck_assert_msg(mount("tmpfs", memory, "tmpfs", 0, NULL) == 0, "%s", strerror(errno));
        is_mounted = true;
    } else {
        return false;
    }
    ck_assert_int_eq(chmod(memory, 0755), 0);
    snprintf(disk, sizeof(disk), "%s/shown", folder);
    snprintf(shown, sizeof(shown), "%s/.shown", memory);
    snprintf(group, sizeof(group), "%s/conf.d", memory);
    snprintf(member, sizeof(member), "%s/conf.d/b", memory);
    snprintf(single, sizeof(single), "%s/x.conf", memory);
    snprintf(optional, sizeof(optional), "%s/o.conf", memory);
    scope = (struct agent_scope){ .name = "a/b", .file_count = 3, .group_count = 1 };
    scope.files[0] = (struct agent_file){ .key = "k", .path = single, .group = AGENT_NO_GROUP };
    scope.files[1] = (struct agent_file){ .key = "k", .path = member, .group = 0 };
    scope.files[2] = (struct agent_file){ .key = "o", .path = optional, .group = AGENT_NO_GROUP,
                                          .is_optional = true };
    for (unsigned i = 0; i < 2; i++)
        scope.files[i].access = (struct agent_access){ .has_mode = true, .mode = 0600 };
    scope.groups[0].path = group;
    d = document_new();
    ck_assert_int_eq(document_set(d, "k", VALUE_STRING, "hush", &e), 0);
    return true;
}

static void end(void)
{
    document_free(d);
    if (is_mounted)
        ck_assert_int_eq(umount2(memory, MNT_DETACH), 0);
    temp_remove(memory);
    temp_remove(folder);
}

static void stage(void)
{
    struct render_source source = { &scope, d, hash };

    ck_assert_msg(files_stage(&source, &e) == 0, "%s", e.text);
}

static mode_t kind_of(const char *where, const char *name)
{
    char path[2 * TEMP_PATH];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", where, name);
    ck_assert_msg(lstat(path, &st) == 0, "%s is not there", path);
    return st.st_mode & S_IFMT;
}

/* What a tmpfs holds for few is linked from a disk, a group for one of its files too. */
TEST(nothing_comes_to_a_disk)
{
    if (!begin())
        return;
    stage();
    ck_assert_msg(files_link(&scope, &hash, disk, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(kind_of(disk, "x.conf"), S_IFLNK);
    ck_assert_uint_eq(kind_of(disk, "conf.d"), S_IFLNK);
    end();
}

/* In memory it is copied, as all the rest is. */
TEST(in_memory_all_is_copied)
{
    char path[TEMP_PATH + 16];

    if (!begin())
        return;
    stage();
    ck_assert_msg(files_link(&scope, &hash, shown, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(kind_of(shown, "x.conf"), S_IFREG);
    ck_assert_uint_eq(kind_of(shown, "conf.d"), S_IFDIR);
    ck_assert_uint_eq(kind_of(shown, "conf.d/b"), S_IFREG);
    snprintf(path, sizeof(path), "%s/conf.d/b", shown);
    ck_assert(temp_holds(path, "hush"));
    ck_assert_uint_eq(temp_mode(shown), 0700);
    end();
}

/* Where others may turn names into links a program of root's reads copies, or nothing at all. */
TEST(root_follows_no_link_of_others)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char expected[6 * TEMP_PATH];

    if (!is_root("links of others in memory") || !begin())
        return;
    ck_assert_int_eq(chown(memory, NOBODY, NOBODY), 0);
    stage();
    ck_assert_int_ne(files_link(&scope, &hash, disk, &e), 0);
    ck_assert_msg(strstr(e.text, "RuntimeDirectory=") && strstr(e.text, "run_as"), "%s", e.text);
    ck_assert_msg(files_link(&scope, &hash, shown, &e) == 0, "%s", e.text);
    ck_assert_int_eq(placeholder_fill(&scope, &hash, shown, "{x.conf} {b} {conf.d} {o}", &text,
                                      &e), 0);
    snprintf(expected, sizeof(expected), "%s/x.conf %s/conf.d/b %s/conf.d %s/o.conf", shown, shown,
             shown, shown); /* the last one is not there: nor is what somebody puts at its name */
    ck_assert_str_eq(text.data, expected);
    end();
}

/* Another user cannot read them: he reads the candidates. */
TEST(nothing_is_copied_for_others)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char expected[2 * TEMP_PATH];

    if (!begin())
        return;
    scope.run_as = &somebody;
    stage();
    ck_assert_msg(files_link(&scope, &hash, disk, &e) == 0, "%s", e.text);
    ck_assert_int_eq(rmdir(disk), 0); /* empty */
    ck_assert_int_eq(placeholder_fill(&scope, &hash, disk, "{x.conf}", &text, &e), 0);
    snprintf(expected, sizeof(expected), "%s/.lockstep-x.conf.0100000000000000", memory);
    ck_assert_str_eq(text.data, expected);
    end();
}

static void check_folder(const char *runtime, const char *begins_with)
{
    char out[PATH_MAX];

    ck_assert_int_eq(runtime ? setenv("RUNTIME_DIRECTORY", runtime, 1)
                             : unsetenv("RUNTIME_DIRECTORY"), 0);
    staging_folder("/state", 3, out);
    ck_assert_msg(strncmp(out, begins_with, strlen(begins_with)) == 0, "%s", out);
    ck_assert_str_eq(out + strlen(out) - 2, "/3");
}

TEST(it_lies_in_memory_where_that_can_be)
{
    char several[2 * TEMP_PATH], one[PATH_MAX], two[PATH_MAX];

    if (!begin())
        return;
    check_folder(NULL, "/state/staging/3");
    check_folder("", "/state/staging/3");
    check_folder("/nowhere", "/state/staging/3");
    check_folder(folder, "/state/staging/3"); /* a disk */
    check_folder(memory, memory);
    staging_folder("/another", 3, two);
    staging_folder("/state", 3, one);
    ck_assert_str_ne(one, two);
    snprintf(several, sizeof(several), "%s:/run/more", memory);
    check_folder(several, memory);
    ck_assert_int_eq(chmod(memory, 0777), 0); /* of everybody's */
    check_folder(memory, "/state/staging/3");
    end();
}

/* What an end without warning left behind goes, on the disk too. */
TEST(both_places_are_cleaned)
{
    char out[PATH_MAX], old[TEMP_PATH + 32];

    if (!begin())
        return;
    check_folder(memory, memory);
    stage();
    staging_folder(folder, 1, out);
    ck_assert_msg(files_link(&scope, &hash, out, &e) == 0, "%s", e.text);
    snprintf(old, sizeof(old), "%s/staging", folder);
    ck_assert_int_eq(mkdir(old, 0755), 0);
    snprintf(old, sizeof(old), "%s/staging/1", folder);
    ck_assert_int_eq(mkdir(old, 0700), 0);
    staging_clean(folder, 1);
    ck_assert(temp_holds(out, NULL));
    ck_assert(temp_holds(old, NULL));
    end();
}

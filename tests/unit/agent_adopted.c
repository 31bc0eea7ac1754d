/* agent_adopted.c - tests of candidates that somebody else made, or that the settings have left behind. */
#include <fcntl.h>

#include "tests/test.h"
#include "tests/unit/files_kit.h"
#include "tests/unit/rights.h"

#define NOBODY 65534
#define CANDIDATE "0100000000000000"

static void begin(mode_t mode, uid_t owner)
{
    begin_foreign(mode, owner, owner == geteuid() ? getegid() : owner);
    add_file(member, 0);
}

static void set_access(uid_t owner, mode_t mode)
{
    scope->groups[0].access = (struct agent_access){ .has_owner = true, .uid = owner,
                                                    .gid = owner };
    for (unsigned i = 0; i < 2; i++)
        scope->files[i].access = (struct agent_access){ .has_owner = true, .uid = owner,
                                                       .gid = owner, .has_mode = true,
                                                       .mode = mode };
}

static void stage(unsigned i)
{
    struct render_source source = source_of(i);

    ck_assert_msg(files_stage(&source, &e) == 0, "%s", e.text);
}

static void apply(unsigned i)
{
    struct render_source source = source_of(i);

    ck_assert_msg(files_apply(&source, state, &e) == 0, "%s", e.text);
    ck_assert_msg(files_verify(&source, &e) == 0, "%s", e.text);
}

/* ---- made by somebody else ---- */

/* He keeps them open for writing. */
static int hold(const char *path, uid_t owner, mode_t mode)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "value 1", 7), 7);
    ck_assert_int_eq(fchown(fd, owner, owner) || fchmod(fd, mode), 0);
    return fd;
}

static void write_late(int fd)
{
    ck_assert_int_eq(pwrite(fd, "HOSTILE", 7, 0), 7);
    close(fd);
}

static void check_applied(void)
{
    struct stat st;

    ck_assert(temp_holds(single, "value 1"));
    ck_assert(temp_holds(member, "value 1"));
    ck_assert_int_eq(stat(single, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(member, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}

/* Candidates that hold what they should, under the names that they will have. */
static void make_first(int fds[2], bool is_his, uid_t owner, mode_t mode)
{
    char path[2 * TEMP_PATH];

    snprintf(path, sizeof(path), "%s/.lockstep-x.conf." CANDIDATE, where);
    fds[0] = hold(path, owner, mode);
    fds[1] = open("/dev/null", O_RDWR);
    if (!is_his) /* his folder there would stay, and be in the way */
        return;
    close(fds[1]);
    snprintf(path, sizeof(path), "%s/.lockstep-conf.d." CANDIDATE, where);
    ck_assert_int_eq(mkdir(path, 0755) || chown(path, NOBODY, NOBODY), 0);
    snprintf(path, sizeof(path), "%s/.lockstep-conf.d." CANDIDATE "/m", where);
    fds[1] = hold(path, owner, mode);
}

static void adopt(mode_t where_mode, uid_t where_owner, uid_t owner, mode_t mode, bool is_back)
{
    struct render_source source;
    int fds[2];

    begin(where_mode, where_owner);
    set_access(0, 0600);
    source = source_of(1);
    make_first(fds, where_owner == NOBODY, owner, mode);
    if (is_back)
        ck_assert_msg(files_reserve(&source, state, &e) == 0, "%s", e.text);
    else
        stage(1);
    apply(1);
    write_late(fds[0]);
    write_late(fds[1]);
    check_applied();
    end_files();
}

TEST(candidates_of_others_are_not_taken)
{
    if (!is_root("candidates that others made"))
        return;
    for (unsigned is_back = 0; is_back < 2; is_back++) {
        adopt(0755, NOBODY, NOBODY, 0644, is_back);
        adopt(01777, 0, NOBODY, 0644, is_back);
        adopt(0755, NOBODY, 0, 0666, is_back); /* root's own, which others may write */
    }
}

/* The same at the destinations themselves, with nothing to be rewhered but the owner. */
TEST(destinations_of_others_are_not_taken)
{
    int fds[2];

    if (!is_root("destinations that others made"))
        return;
    begin(0755, NOBODY);
    set_access(0, 0600);
    fds[0] = hold(single, NOBODY, 0644);
    ck_assert_int_eq(mkdir(group, 0755) || chown(group, NOBODY, NOBODY), 0);
    fds[1] = hold(member, NOBODY, 0644);
    apply(1);
    write_late(fds[0]);
    write_late(fds[1]);
    check_applied();
    end_files();
}

/* ---- left behind ---- */

/* Laid out under other settings, the way back has the mode of today. */
TEST(the_way_back_has_the_access_of_today)
{
    struct render_source back;

    begin(0755, geteuid());
    set_access(geteuid(), 0644);
    apply(1);
    stage(2);
    back = source_of(1);
    ck_assert_msg(files_reserve(&back, state, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(temp_mode(member), 0644);
    apply(2);
    set_access(geteuid(), 0600);
    apply(1);
    ck_assert_uint_eq(temp_mode(single), 0600);
    ck_assert_uint_eq(temp_mode(member), 0600);
    end_files();
}

/* To lay out the way back changes nothing of what is there. */
TEST(the_way_back_leaves_what_is_there)
{
    struct render_source back;

    begin(0755, geteuid());
    set_access(geteuid(), 0644);
    apply(1);
    back = source_of(1);
    ck_assert_msg(files_reserve(&back, state, &e) == 0, "%s", e.text);
    set_access(geteuid(), 0600);
    ck_assert_msg(files_reserve(&back, state, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(temp_mode(single), 0644);
    ck_assert_uint_eq(temp_mode(member), 0644);
    end_files();
}

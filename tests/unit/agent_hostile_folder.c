/* agent_hostile_folder.c - tests of files in a folder whose owner turns its names into links. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/files/files.h"
#include "agent/files/files_diff.h"
#include "agent/files/placeholder.h"
#include "common/clock.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

#define NOBODY 65534
#define ROLLOUTS 60
#define LOOKS 3000
#define SECRET "ROOT-ONLY-CONTENT"

/* theirs: the folder with the destinations. ours: what nobody may reach through it. */
static char folder[TEMP_PATH / 2], state[TEMP_PATH], theirs[TEMP_PATH - 64], ours[TEMP_PATH - 64];
static char quiet[TEMP_PATH - 64];
static struct agent_scope *hostile, *calm;
static pid_t attacker;
static struct err e;

#define FROM(scope, document, hash) (&(struct render_source){ scope, document, hash })

/* ---- what there is ---- */

static void add_file(struct agent_scope *s, const char *path, int group)
{
    struct agent_file *file = &s->files[s->file_count++];

    *file = (struct agent_file){ .kind = AGENT_FILE_KEY, .key = strdup("k"), .path = strdup(path),
                                 .group = group };
}

/* A single file, and a group with two. */
static struct agent_scope *scope_in(const char *where)
{
    struct agent_scope *s = calloc(1, sizeof(*s));
    char path[TEMP_PATH];

    snprintf(path, sizeof(path), "%s/x.conf", where);
    add_file(s, path, AGENT_NO_GROUP);
    snprintf(path, sizeof(path), "%s/conf.d", where);
    s->groups[0].path = strdup(path);
    s->group_count = 1;
    snprintf(path, sizeof(path), "%s/conf.d/profile.sh", where);
    add_file(s, path, 0);
    snprintf(path, sizeof(path), "%s/conf.d/b", where);
    add_file(s, path, 0);
    return s;
}

static void free_scope(struct agent_scope *s)
{
    for (unsigned i = 0; i < s->file_count; i++) {
        free(s->files[i].key);
        free(s->files[i].path);
    }
    free(s->groups[0].path);
    free(s);
}

static void make(char *path, size_t size, const char *name, mode_t mode)
{
    snprintf(path, size, "%s/%s", folder, name);
    ck_assert_int_eq(mkdir(path, mode), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* An attacker of another user when this is root; else of this one, who can do no more than turn
 * names into links and pipes. */
static void begin(void)
{
    char path[TEMP_PATH];

    temp_make(folder);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    make(state, sizeof(state), "state", 0700);
    make(theirs, sizeof(theirs), "theirs", 0755);
    make(ours, sizeof(ours), "ours", 0755);
    make(quiet, sizeof(quiet), "quiet", 0755);
    snprintf(path, sizeof(path), "%s/passwd", ours);
    temp_write(path, SECRET, 0600);
    hostile = scope_in(theirs);
    calm = scope_in(quiet);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(theirs, NOBODY, NOBODY), 0);
}

static void end(void)
{
    free_scope(hostile);
    free_scope(calm);
    temp_remove(folder);
}

/* Only what was there at first, and as it was. */
static void check_ours(void)
{
    DIR *dir = opendir(ours);
    const struct dirent *entry;
    char path[TEMP_PATH];
    struct stat st;

    while ((entry = readdir(dir)))
        ck_assert_msg(entry->d_name[0] == '.' ? !strstr(entry->d_name, "lockstep")
                                              : strcmp(entry->d_name, "passwd") == 0,
                      "written outside: %s", entry->d_name);
    closedir(dir);
    snprintf(path, sizeof(path), "%s/passwd", ours);
    ck_assert(temp_holds(path, SECRET));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, geteuid());
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(ours, &st), 0);
    ck_assert_uint_eq(st.st_uid, geteuid());
    ck_assert_uint_eq(st.st_mode & 07777, 0755);
}

/* ---- the attacker ---- */

static int prepare(int at, const char *name, unsigned kind)
{
    char to[TEMP_PATH];

    (void)unlinkat(at, name, 0);
    (void)unlinkat(at, name, AT_REMOVEDIR);
    snprintf(to, sizeof(to), "%s/passwd", ours);
    switch (kind % 4) {
    case 0:
        return symlinkat(ours, at, name);
    case 1:
        return symlinkat(to, at, name);
    case 2:
        return mkfifoat(at, name, 0666);
    default:
        return mkdirat(at, name, 0777);
    }
}

/* Every name in the folder that the agent uses changes places with something else, and some of
 * them back again. */
static void attack_names(int at, unsigned *kind)
{
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY);
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;

    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == 'z' || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        (void)prepare(at, "z", ++*kind);
        if (renameat2(at, entry->d_name, at, "z", RENAME_EXCHANGE) == 0 && *kind % 3)
            (void)renameat2(at, entry->d_name, at, "z", RENAME_EXCHANGE);
    }
    closedir(dir);
}

static void start_attack(void (*once)(int at, unsigned *kind))
{
    attacker = fork();
    if (attacker == 0) {
        unsigned kind = 0;
        int at;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
            _exit(1);
        at = open(theirs, O_RDONLY | O_DIRECTORY);
        for (;;)
            once(at, &kind);
    }
}

static void stop_attack(void)
{
    int status;

    ck_assert_int_eq(kill(attacker, SIGKILL), 0);
    ck_assert_int_eq(waitpid(attacker, &status, 0), attacker);
    ck_assert(WIFSIGNALED(status)); /* it did not end by itself */
}

/* ---- rollouts ---- */

static struct document *document_of(unsigned i, struct hash *hash)
{
    struct document *d = document_new();
    char value[32], *bytes;
    size_t size;

    snprintf(value, sizeof(value), "value %u", i);
    ck_assert_int_eq(document_set(d, "k", VALUE_STRING, value, &e), 0);
    ck_assert_int_eq(document_encode(d, &bytes, &size, hash, &e), 0);
    free(bytes);
    return d;
}

static int roll_out(const struct agent_scope *scope, unsigned i)
{
    struct hash hash, before;
    SCOPED(document_free) struct document *d = document_of(i, &hash);
    SCOPED(document_free) struct document *old = document_of(i - 1, &before);
    struct err ignored;
    int rc = files_keep_originals(scope, state, false, &e) ||
             files_stage(FROM(scope, d, hash), &e) ||
             files_reserve(FROM(scope, old, before), state, &e) ||
             files_apply(FROM(scope, d, hash), state, &e);

    (void)!files_verify(FROM(scope, d, hash), &ignored);
    files_sweep(scope, &before, i % 2);
    return rc;
}

struct test_frame test_frame = { .timeout_s = 100 };

TEST(nothing_is_written_outside)
{
    unsigned done = 0;

    begin();
    start_attack(attack_names);
    for (unsigned i = 1; i <= ROLLOUTS; i++) {
        done += roll_out(hostile, i) == 0;
        ck_assert_msg(roll_out(calm, i) == 0, "in the quiet folder: %s", e.text);
    }
    stop_attack();
    /* The folder of the group is among the names; through his own link an agent may go. */
    if (is_root("names that another user turns"))
        check_ours();
    printf("%u of %u rollouts went through under attack\n", done, ROLLOUTS);
    end();
}

/* The folder of the group itself, and whole folders on the way, change places with links. */
static void attack_way(int at, unsigned *kind)
{
    char to[TEMP_PATH];

    snprintf(to, sizeof(to), "%s", ours);
    if (++*kind == 1) {
        (void)!symlinkat(to, at, "link");
        (void)mkdirat(at, "way", 0777);
        (void)mkdirat(at, "way/conf.d", 0777);
    }
    (void)renameat2(at, "way", at, "link", RENAME_EXCHANGE);
}

TEST(the_way_is_not_turned)
{
    char way[TEMP_PATH - 64 + 8];

    begin();
    free_scope(hostile);
    snprintf(way, sizeof(way), "%s/way", theirs);
    hostile = scope_in(way);
    /* Of his own links an agent may follow the ways. */
    if (is_root("a way that another user turns")) {
        start_attack(attack_way);
        for (unsigned i = 1; i <= ROLLOUTS; i++)
            (void)roll_out(hostile, i);
        stop_attack();
        check_ours();
    }
    end();
}

/* When the attack ends, rollouts work again, whatever it left behind. */
TEST(peace_brings_rollouts_back)
{
    char path[TEMP_PATH];
    struct stat st;

    begin();
    start_attack(attack_names);
    for (unsigned i = 1; i <= 20; i++)
        (void)roll_out(hostile, i);
    stop_attack();
    for (unsigned i = 0; i < 3; i++) { /* somebody clears away what is no file and no folder */
        const char *names[] = { "x.conf", "conf.d", "z" };

        snprintf(path, sizeof(path), "%s/%s", theirs, names[i]);
        if (lstat(path, &st) == 0 && !(i == 1 ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode)))
            temp_remove(path);
    }
    ck_assert_msg(roll_out(hostile, 77) == 0, "%s", e.text);
    check_ours();
    end();
}

/* ---- looking ---- */

static void attack_destination(int at, unsigned *kind)
{
    (void)kind;
    for (unsigned i = 0; i < 1000; i++)
        (void)renameat2(at, "x.conf", at, "z", RENAME_EXCHANGE);
}

/* The destination changes places with `other` while it is verified and compared. */
static void look_at_what_changes(unsigned kind)
{
    SCOPED_BUFFER struct buffer out = { 0 };
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    int64_t began;
    int at;

    begin();
    hostile->group_count = 0;
    hostile->file_count = 1;
    d = document_of(1, &hash);
    ck_assert_int_eq(files_apply(FROM(hostile, d, hash), state, &e), 0);
    temp_write(hostile->files[0].path, "changed", 0644);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(hostile->files[0].path, NOBODY, NOBODY), 0);
    at = open(theirs, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(prepare(at, "z", kind), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(fchownat(at, "z", NOBODY, NOBODY, AT_SYMLINK_NOFOLLOW), 0);
    close(at);
    start_attack(attack_destination);
    began = clock_monotonic_ms();
    for (unsigned i = 0; i < LOOKS; i++) {
        buffer_clear(&out);
        (void)!files_verify(FROM(hostile, d, hash), &e);
        (void)!files_diff(FROM(hostile, d, hash), state, FILES_DIFF_PUBLIC, 400, &out, &e);
        if (is_root("what a link of another user leads to")) /* one's own leads to one's own */
            ck_assert_msg(!out.data || !strstr(out.data, SECRET), "%s", out.data);
    }
    ck_assert_int_lt(clock_monotonic_ms() - began, 60000);
    stop_attack();
    hostile->group_count = 1;
    hostile->file_count = 3;
    check_ours();
    end();
}

TEST(nothing_is_read_outside)
{
    look_at_what_changes(1);
}

TEST(a_pipe_does_not_stop_the_look)
{
    look_at_what_changes(2);
}

/* ---- what is not ours ---- */

/* The folder's owner gives the name of a candidate to a folder in it that he could not remove. */
TEST(folders_of_others_are_not_swept)
{
    char his[TEMP_PATH], roots[TEMP_PATH], file[TEMP_PATH + 8];

    begin();
    if (is_root("folders of others in the folder")) {
        snprintf(his, sizeof(his), "%s/.lockstep-conf.d.0123456789abcdef", theirs);
        snprintf(roots, sizeof(roots), "%s/.lockstep-conf.d.spent", theirs);
        ck_assert_int_eq(mkdir(his, 0755), 0);
        ck_assert_int_eq(chown(his, NOBODY, NOBODY), 0);
        ck_assert_int_eq(mkdir(roots, 0755), 0);
        snprintf(file, sizeof(file), "%s/data", roots);
        temp_write(file, "of root", 0644);
        files_sweep(hostile, NULL, 0);
        ck_assert(temp_holds(his, NULL));
        ck_assert(temp_holds(file, "of root"));
        ck_assert_int_ne(roll_out(hostile, 1), 0); /* it is in the way */
        ck_assert_msg(strstr(e.text, "stays; move it away") != NULL, "%s", e.text);
    }
    end();
}

/* Their content may be guessed; what is given away is the new file. */
TEST(second_names_are_given_to_nobody)
{
    char victim[TEMP_PATH];
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    struct stat st;

    begin();
    if (is_root("second names that others gave")) {
        d = document_of(1, &hash);
        snprintf(victim, sizeof(victim), "%s/passwd", ours);
        temp_write(victim, "value 1", 0600);
        ck_assert_int_eq(mkdir(hostile->groups[0].path, 0755), 0);
        temp_write(hostile->files[1].path, "value 1", 0644);
        ck_assert_int_eq(link(victim, hostile->files[0].path), 0);
        ck_assert_int_eq(link(victim, hostile->files[2].path), 0);
        for (unsigned i = 0; i < 3; i++)
            hostile->files[i].access = (struct agent_access){ .has_owner = true, .has_mode = true,
                                                              .uid = NOBODY, .gid = NOBODY,
                                                              .mode = 0666 };
        ck_assert_msg(files_apply(FROM(hostile, d, hash), state, &e) == 0, "%s", e.text);
        ck_assert_int_eq(stat(victim, &st), 0);
        ck_assert_uint_eq(st.st_uid, 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        for (unsigned i = 0; i < 3; i++) {
            ck_assert_int_eq(stat(hostile->files[i].path, &st), 0);
            ck_assert_uint_eq(st.st_uid, NOBODY);
            ck_assert_uint_eq(st.st_mode & 07777, 0666);
            ck_assert(temp_holds(hostile->files[i].path, "value 1"));
        }
    }
    end();
}

/* A program that judges the candidates as root reads copies where their names are not safe. */
TEST(validate_is_shown_copies)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char shown[TEMP_PATH + 8], expected[4 * TEMP_PATH];
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    if (is_root("copies for a program of root's")) {
        d = document_of(1, &hash);
        ck_assert_int_eq(files_stage(FROM(hostile, d, hash), &e), 0);
        snprintf(shown, sizeof(shown), "%s/shown", state);
        ck_assert_int_eq(files_link(hostile, &hash, shown, &e), 0);
        ck_assert_int_eq(placeholder_fill(hostile, &hash, shown, "t {x.conf} {b} {group}", &text,
                                          &e), 0);
        snprintf(expected, sizeof(expected), "t %s/x.conf %s/conf.d/b %s/conf.d", shown, shown,
                 shown);
        ck_assert_str_eq(text.data, expected);
        snprintf(expected, sizeof(expected), "%s/x.conf", shown);
        ck_assert(temp_holds(expected, "value 1"));
    }
    end();
}

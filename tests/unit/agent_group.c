/* agent_group.c - tests of groups: a folder that changes at once, strangers in it, the way back. */
#include "agent/files/file_group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "agent/files/files.h"
#include "agent/files/placeholder.h"
#include "common/crypto/digest.h"
#include "tests/test.h"
#include "tests/unit/rights.h"
#include "tests/unit/temp_folder.h"

#define FILES 8

static char folder[TEMP_PATH / 2], state[TEMP_PATH], group[TEMP_PATH];
static struct agent_scope *scope;
static const struct hash nothing;
static struct err e;

#define FROM(document, hash) (&(struct render_source){ scope, document, hash })

/* FILES files in one group, each written from a key of its own. */
static void begin(void)
{
    temp_make(folder);
    snprintf(state, sizeof(state), "%s/state", folder);
    snprintf(group, sizeof(group), "%s/conf.d", folder);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    scope = calloc(1, sizeof(*scope));
    scope->group_count = 1;
    scope->groups[0].path = strdup(group);
    for (int i = 0; i < FILES; i++) {
        struct agent_file *file = &scope->files[scope->file_count++];
        char key[8], path[2 * TEMP_PATH];

        snprintf(key, sizeof(key), "k%d", i);
        snprintf(path, sizeof(path), "%s/f%d", group, i);
        *file = (struct agent_file){ .kind = AGENT_FILE_KEY, .key = strdup(key),
                                     .path = strdup(path), .group = 0, .is_optional = i == 7 };
    }
}

static void end(void)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        free(scope->files[i].key);
        free(scope->files[i].path);
    }
    free(scope->groups[0].path);
    free(scope);
    temp_remove(folder);
}

/* Every key has this value; the last `without` are left out. */
static struct document *document_of(const char *value, int without, struct hash *hash)
{
    struct document *d = document_new();
    size_t size;
    char *bytes, key[8];

    for (int i = 0; i < FILES - without; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        ck_assert_int_eq(document_set(d, key, VALUE_STRING, value, &e), 0);
    }
    ck_assert_int_eq(document_encode(d, &bytes, &size, hash, &e), 0);
    free(bytes);
    return d;
}

static void apply(const char *value)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = document_of(value, 0, &hash);

    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    ck_assert_msg(files_apply(FROM(d, hash), state, &e) == 0, "%s", e.text);
}

static int count(const char *path, const char *prefix)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir)))
        n += entry->d_name[0] != '.' || strncmp(entry->d_name, ".lockstep", 9) == 0
                 ? strncmp(entry->d_name, prefix, strlen(prefix)) == 0
                 : 0;
    if (dir)
        closedir(dir);
    return n;
}

static bool holds(int file, const char *content)
{
    return temp_holds(scope->files[file].path, content);
}

/* A kill at each system call takes a while on a busy machine. */
struct test_frame test_frame = { .timeout_s = 300 };

TEST(a_group_replaces_what_was_there_and_puts_it_back)
{
    char mine[2 * TEMP_PATH], sub[2 * TEMP_PATH], deep[3 * TEMP_PATH], link[2 * TEMP_PATH];

    begin();
    ck_assert_int_eq(mkdir(group, 0750), 0);
    snprintf(mine, sizeof(mine), "%s/mine", group);
    snprintf(sub, sizeof(sub), "%s/sub", group);
    snprintf(deep, sizeof(deep), "%s/deep", sub);
    snprintf(link, sizeof(link), "%s/link", group);
    temp_write(mine, "by hand", 0600);
    ck_assert_int_eq(mkdir(sub, 0700), 0);
    temp_write(deep, "deep", 0604);
    ck_assert_int_eq(symlink("/nowhere", link), 0);
    temp_write(scope->files[0].path, "old f0", 0640);
    apply("1");
    apply("2");
    ck_assert_int_eq(count(group, ""), FILES);
    ck_assert(holds(0, "2") && holds(7, "2"));
    ck_assert_uint_eq(temp_mode(scope->files[0].path), 0640);
    ck_assert_uint_eq(temp_mode(scope->files[1].path), 0644);
    ck_assert_uint_eq(temp_mode(group), 0750);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(files_apply(FROM(NULL, nothing), state, &e), 0);
        ck_assert(temp_holds(mine, "by hand") && temp_holds(deep, "deep") && holds(0, "old f0"));
        ck_assert_uint_eq(temp_mode(deep), 0604);
        ck_assert_int_eq(access(link, F_OK), -1);
        ck_assert_int_eq(count(group, ""), 4);
    }
    ck_assert_int_eq(count(folder, ".lockstep"), 0);
    end();
}

TEST(a_group_that_was_not_there_goes_away_again)
{
    begin();
    apply("1");
    ck_assert(holds(3, "1"));
    ck_assert_int_eq(files_apply(FROM(NULL, nothing), state, &e), 0);
    ck_assert(temp_holds(group, NULL));
    ck_assert_int_eq(count(folder, ".lockstep"), 0);
    end();
}

TEST(optional_files_and_strangers)
{
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;
    char stranger[2 * TEMP_PATH];

    begin();
    apply("1");
    ck_assert(holds(7, "1"));
    d = document_of("2", 1, &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
    ck_assert(holds(6, "2") && holds(7, NULL));
    ck_assert_int_eq(files_verify(FROM(d, hash), &e), 0);
    snprintf(stranger, sizeof(stranger), "%s/99-stranger.cfg", group);
    temp_write(stranger, "x", 0644);
    ck_assert_int_eq(files_verify(FROM(d, hash), &e), -1);
    ck_assert_msg(strstr(e.text, "99-stranger.cfg") != NULL, "%s", e.text);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0); /* once more: as it should be */
    ck_assert_int_eq(files_verify(FROM(d, hash), &e), 0);
    ck_assert(temp_holds(stranger, NULL));
    end();
}

TEST(the_way_back_is_laid_out)
{
    struct hash first, second;
    SCOPED(document_free) struct document *a = NULL;
    SCOPED(document_free) struct document *b = NULL;
    char candidate[PATH_MAX];
    struct stat before, after;

    begin();
    a = document_of("1", 0, &first);
    b = document_of("2", 0, &second);
    apply("1");
    ck_assert_int_eq(stat(scope->files[0].path, &before), 0);
    ck_assert_int_eq(files_stage(FROM(b, second), &e), 0);
    ck_assert_int_eq(files_reserve(FROM(a, first), state, &e), 0);
    ck_assert_int_eq(files_apply(FROM(b, second), state, &e), 0);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &first, candidate, &e), 0);
    ck_assert(temp_holds(candidate, "1") && holds(0, "2"));
    files_sweep(scope, &first, 1);
    ck_assert_int_eq(files_apply(FROM(a, first), state, &e), 0);
    ck_assert_int_eq(stat(scope->files[0].path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino); /* taken over, not written */
    files_sweep(scope, NULL, 0);
    ck_assert_int_eq(count(folder, ".lockstep"), 0);
    end();
}

TEST(the_group_may_be_a_link)
{
    char real[TEMP_PATH + 8];
    struct stat st;

    begin();
    snprintf(real, sizeof(real), "%s/real", folder);
    ck_assert_int_eq(mkdir(real, 0755), 0);
    ck_assert_int_eq(symlink(real, group), 0);
    apply("1");
    ck_assert_int_eq(lstat(group, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(count(real, ""), FILES);
    scope->groups[0].access = (struct agent_access){ .has_mode = true, .mode = 0710 };
    apply("1"); /* nothing but a mode to put right */
    ck_assert_uint_eq(temp_mode(real), 0710);
    end();
}

/* As in sites-enabled: it is set aside with the folder, and what it names stays. */
TEST(a_link_in_a_group_is_set_aside)
{
    char real[TEMP_PATH + 8];
    struct stat st;

    begin();
    snprintf(real, sizeof(real), "%s/real", folder);
    temp_write(real, "mine", 0600);
    ck_assert_int_eq(mkdir(group, 0755), 0);
    ck_assert_int_eq(symlink(real, scope->files[0].path), 0);
    apply("1");
    ck_assert(holds(0, "1") && temp_holds(real, "mine"));
    ck_assert_int_eq(lstat(scope->files[0].path, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    ck_assert_int_eq(files_apply(FROM(NULL, nothing), state, &e), 0);
    ck_assert_int_eq(lstat(scope->files[0].path, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert(holds(0, "mine"));
    end();
}

TEST(a_secret_in_a_group_is_closed_again)
{
    char reference[VALUE_REFERENCE_SIZE];
    SCOPED(document_free) struct document *d = NULL;
    struct hash hash;

    begin();
    d = document_of("1", 0, &hash);
    value_reference("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", reference);
    ck_assert_int_eq(document_set(d, "k0", VALUE_STRING, reference, &e), 0);
    document_open_secret(d, "k0", "hush");
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
    ck_assert(holds(0, "hush"));
    ck_assert_uint_eq(temp_mode(scope->files[0].path), 0600);
    ck_assert_int_eq(chmod(scope->files[0].path, 0644), 0);
    ck_assert_int_eq(files_apply(FROM(d, hash), state, &e), 0);
    ck_assert_uint_eq(temp_mode(scope->files[0].path), 0600);
    end();
}

TEST(validate_sees_the_whole_group)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    char links[TEMP_PATH + 8], link[TEMP_PATH + 32], candidate[PATH_MAX], expected[3 * PATH_MAX];
    struct hash hash;
    SCOPED(document_free) struct document *d = NULL;

    begin();
    d = document_of("1", 0, &hash);
    ck_assert_int_eq(files_stage(FROM(d, hash), &e), 0);
    snprintf(links, sizeof(links), "%s/links", folder);
    ck_assert_int_eq(files_link(scope, &hash, links, &e), 0);
    snprintf(link, sizeof(link), "%s/conf.d/f5", links);
    ck_assert(temp_holds(link, "1"));
    ck_assert_int_eq(placeholder_fill(scope, &hash, links, "{group} {conf.d}", &text, &e), 0);
    ck_assert_int_eq(files_candidate(scope, &scope->files[0], &hash, candidate, &e), 0);
    *strrchr(candidate, '/') = '\0';
    snprintf(expected, sizeof(expected), "%s %s", candidate, candidate);
    ck_assert_str_eq(text.data, expected);
    end();
}

/* ---- a disk that fills up ---- */

/* Fills the file system of the folder to its last byte and its last inode. */
static void fill_up(void)
{
    char path[TEMP_PATH + 32], block[4096] = { 0 };
    FILE *f;

    snprintf(path, sizeof(path), "%s/filler", folder);
    f = fopen(path, "w");
    while (fwrite(block, 1, sizeof(block), f) == sizeof(block) && fflush(f) == 0)
        ;
    fclose(f);
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof(path), "%s/filler-%d", folder, i);
        f = fopen(path, "w");
        if (!f)
            return;
        fclose(f);
    }
}

TEST(forth_and_back_on_a_full_disk)
{
    struct hash first, second;
    SCOPED(document_free) struct document *a = NULL;
    SCOPED(document_free) struct document *b = NULL;
    char mounted[TEMP_PATH / 2], single[TEMP_PATH];

    if (!own_mounts("a disk that fills up"))
        return;
    begin();
    snprintf(mounted, sizeof(mounted), "%s", folder);
    ck_assert_msg(mount("none", mounted, "tmpfs", 0, "size=512k,nr_inodes=200") == 0, "%s",
                  strerror(errno));
    ck_assert_int_eq(mkdir(state, 0700), 0);
    snprintf(single, sizeof(single), "%s/single", folder);
    scope->files[7].group = AGENT_NO_GROUP;
    free(scope->files[7].path);
    scope->files[7].path = strdup(single);
    a = document_of("1", 0, &first);
    b = document_of("2", 0, &second);
    apply("1");
    ck_assert_int_eq(files_stage(FROM(b, second), &e), 0);
    ck_assert_int_eq(files_reserve(FROM(a, first), state, &e), 0);
    fill_up();
    ck_assert_msg(files_apply(FROM(b, second), state, &e) == 0, "%s", e.text);
    ck_assert(holds(0, "2") && holds(7, "2"));
    fill_up();
    ck_assert_msg(files_apply(FROM(a, first), state, &e) == 0, "%s", e.text);
    ck_assert(holds(0, "1") && holds(7, "1"));
    fill_up();
    ck_assert_int_eq(files_stage(FROM(b, second), &e), -1); /* and what cannot be is refused */
    ck_assert_str_eq(e.code, "nospace");
    ck_assert_int_eq(umount2(mounted, MNT_DETACH), 0);
    end();
}

/* ---- never half a group ---- */

/* Open the folder and read all its files through that: what a program does. 0: some are gone. */
static int look_once(void)
{
    int dir = open(group, O_RDONLY | O_DIRECTORY), found = 0;
    char name[8], first = 0, c;

    ck_assert_msg(dir >= 0, "no folder: %s", strerror(errno));
    for (int i = 0; i < FILES; i++) {
        int fd;

        snprintf(name, sizeof(name), "f%d", i);
        fd = openat(dir, name, O_RDONLY);
        if (fd < 0)
            break; /* this folder was replaced and is being removed: the program opens it anew */
        ck_assert_int_eq(read(fd, &c, 1), 1);
        close(fd);
        ck_assert_msg(!first || c == first, "files of two versions in one folder");
        first = c;
        found++;
    }
    close(dir);
    return found == FILES ? first : 0;
}

static volatile bool is_over;

static void *change(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++)
        apply(i % 2 ? "1" : "2");
    is_over = true;
    return NULL;
}

/* Names under which files of two versions could be seen together do not exist: every folder that
 * ever has the group's name is whole. */
TEST(readers_see_one_group_or_the_other)
{
    pthread_t writer;
    int wholes = 0;

    begin();
    apply("1");
    is_over = false;
    ck_assert_int_eq(pthread_create(&writer, NULL, change, NULL), 0);
    while (!is_over) {
        wholes += look_once() != 0;
    }
    pthread_join(writer, NULL);
    ck_assert_int_gt(wholes, 0);
    ck_assert(look_once() != 0);
    end();
}

static _Noreturn void activate(const struct render_source *to, const struct render_source *from)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    if (files_stage(to, &e) || files_reserve(from, state, &e))
        _exit(1);
    raise(SIGSTOP);
    _exit(files_apply(to, state, &e) ? 1 : 0);
}

/* An activation that is killed at the n-th entry into or return from a system call; false: it has
 * fewer than that. */
static bool kill_at(int n, const struct render_source *to, const struct render_source *from)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        activate(to, from);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSTOPPED(status), "it was not promised");
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status)) {
            ck_assert_int_eq(status, 0);
            return false;
        }
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return true;
}

/* Then the folder is the old or the new one, whoever comes after finishes the job, in either
 * direction, and nothing is left over. */
TEST(killed_at_every_system_call)
{
    struct hash first, second;
    SCOPED(document_free) struct document *a = NULL;
    SCOPED(document_free) struct document *b = NULL;
    bool was_killed = true;
    int n = 0;

    begin();
    a = document_of("1", 0, &first);
    b = document_of("2", 0, &second);
    apply("1");
    for (; was_killed; n += 2) { /* to be killed on return is to be killed at the next entry */
        int whole;

        was_killed = kill_at(n, FROM(b, second), FROM(a, first));
        whole = look_once();
        ck_assert_msg(whole == '1' || whole == '2', "half a group after system call %d", n);
        if (n % 4)
            ck_assert_msg(files_apply(FROM(b, second), state, &e) == 0, "%s", e.text);
        ck_assert_msg(files_apply(FROM(a, first), state, &e) == 0, "%s", e.text);
        ck_assert_int_eq(look_once(), '1');
        files_sweep(scope, NULL, 0);
        ck_assert_int_eq(count(folder, ".lockstep"), 0);
    }
    ck_assert_int_gt(n, 100);
    end();
}

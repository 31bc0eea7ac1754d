/* agent_tree.c - tests of whole trees while somebody turns what lies in them into links. */
#include "agent/disk/file_tree.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/test.h"
#include "tests/unit/temp_folder.h"

static char folder[TEMP_PATH / 2];
static struct err e;

/* Turns `here` into the link `there` and back, as its owner may at any time. */
struct turning {
    char here[TEMP_PATH], there[TEMP_PATH];
    atomic_bool is_over;
};

static void *turn(void *arg)
{
    struct turning *t = arg;

    while (!atomic_load(&t->is_over))
        (void)!renameat2(AT_FDCWD, t->here, AT_FDCWD, t->there, RENAME_EXCHANGE);
    return NULL;
}

/* Neither copied from nor removed in: the place that a link leads to. */
TEST(trees_that_change_lead_nowhere_else)
{
    struct turning t = { .is_over = false };
    char tree[TEMP_PATH - 16], copy[TEMP_PATH - 16], victim[TEMP_PATH], copied[TEMP_PATH];
    pthread_t thread;

    temp_make(folder);
    snprintf(tree, sizeof(tree), "%s/tree", folder);
    snprintf(copy, sizeof(copy), "%s/copy", folder);
    snprintf(victim, sizeof(victim), "%s/victim", folder);
    snprintf(t.here, sizeof(t.here), "%s/it", tree);
    snprintf(t.there, sizeof(t.there), "%s/other", folder);
    snprintf(copied, sizeof(copied), "%s/it", copy);
    temp_write(victim, "theirs", 0600);
    ck_assert_int_eq(symlink(victim, t.there), 0);
    ck_assert_int_eq(mkdir(tree, 0755), 0);
    temp_write(t.here, "mine", 0644);
    ck_assert_int_eq(pthread_create(&thread, NULL, turn, &t), 0);
    for (unsigned i = 0; i < 300; i++) {
        struct stat st;

        if (file_tree_copy(tree, copy, false, &e))
            continue;
        if (lstat(copied, &st) == 0 && S_ISREG(st.st_mode))
            ck_assert(temp_holds(copied, "mine"));
        ck_assert_int_eq(file_tree_remove(copy, &e), 0);
    }
    atomic_store(&t.is_over, true);
    pthread_join(thread, NULL);
    ck_assert(temp_holds(victim, "theirs"));
    temp_remove(folder);
}

static void fill(const char *path, unsigned files)
{
    char file[2 * TEMP_PATH];

    (void)!mkdir(path, 0755);
    for (unsigned i = 0; i < files; i++) {
        snprintf(file, sizeof(file), "%s/f%u", path, i);
        temp_write(file, "", 0600);
    }
}

TEST(removing_follows_nothing)
{
    struct turning t = { .is_over = false };
    char tree[TEMP_PATH - 16], victims[TEMP_PATH - 16];
    pthread_t thread;

    temp_make(folder);
    snprintf(tree, sizeof(tree), "%s/tree", folder);
    snprintf(victims, sizeof(victims), "%s/victims", folder);
    snprintf(t.here, sizeof(t.here), "%s/it", tree);
    snprintf(t.there, sizeof(t.there), "%s/other", folder);
    fill(victims, 30);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(mkdir(tree, 0755), 0);
        fill(t.here, 30);
        ck_assert_int_eq(symlink(victims, t.there), 0);
        atomic_store(&t.is_over, false);
        ck_assert_int_eq(pthread_create(&thread, NULL, turn, &t), 0);
        (void)!file_tree_remove(tree, &e);
        atomic_store(&t.is_over, true);
        pthread_join(thread, NULL);
        ck_assert_int_eq(file_tree_remove(tree, &e), 0);
        ck_assert_int_eq(file_tree_remove(t.there, &e), 0);
    }
    for (unsigned i = 0; i < 30; i++) {
        snprintf(t.here, sizeof(t.here), "%.400s/f%u", victims, i);
        ck_assert(temp_holds(t.here, ""));
    }
    temp_remove(folder);
}

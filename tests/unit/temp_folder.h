/* temp_folder.h - a folder of a test's own, and small files in it. */
#ifndef TESTS_UNIT_TEMP_FOLDER_H
#define TESTS_UNIT_TEMP_FOLDER_H

#include <check.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/err.h"

#define TEMP_PATH 512

static inline void temp_make(char out[TEMP_PATH / 2])
{
    snprintf(out, TEMP_PATH / 2, "/tmp/lockstep-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(out));
    ck_assert_int_eq(chmod(out, 0755), 0); /* as the folders of programs are */
}

static inline int temp_remove_one(const char *path, const struct stat *st, int kind,
                                  struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

/* A folder and all that is in it. */
static inline void temp_remove(const char *folder)
{
    ck_assert_int_eq(nftw(folder, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void temp_write(const char *path, const char *content, mode_t mode)
{
    FILE *f = fopen(path, "w");

    ck_assert_msg(f != NULL, "%s cannot be written", path);
    ck_assert_int_ge(fputs(content, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* content NULL: there is no such file. */
static inline bool temp_holds(const char *path, const char *content)
{
    SCOPED_BUFFER struct buffer b = { 0 };
    struct err e;

    if (!content)
        return access(path, F_OK) != 0;
    if (buffer_read_file(&b, path, 1 << 24, &e))
        return false;
    return b.size == strlen(content) && (!b.size || memcmp(b.data, content, b.size) == 0);
}

static inline mode_t temp_mode(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

#endif

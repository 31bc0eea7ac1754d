/* key_file_write.c - makes a file of key-encryption keys, and adds a newest key to one. */
#include "coordinator/keyring/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/crypto/base64.h"
#include "common/crypto/digest.h"
#include "common/invariant.h"

static const char heading[] =
    "# Key-encryption keys of Lockstep's secrets; the last line is the newest and wraps.\n"
    "# Keep a copy in a safe place: without it no secret can be read.\n";

static int trouble(struct err *e, const char *path)
{
    return err_set(e, ERR_SYSTEM, "key file %s: %s", path, strerror(errno));
}

/* The folder's descriptor, locked, so that of two programs that add a key both keep theirs. */
static int lock_folder(const char *path, struct err *e)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    int fd;

    if (slash && (size_t)(slash - path) >= sizeof(folder))
        return err_set(e, ERR_INVALID, "key file: its path is too long");
    if (slash)
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return trouble(e, path);
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        trouble(e, path);
        close(fd);
        return -1;
    }
    return fd;
}

static void draw(struct key_file *f)
{
    char hex[HASH_HEX_SIZE];
    struct hash hash;
    unsigned i = f->count++;

    seal_key_draw(&f->keys[i].key);
    digest_sha256(f->keys[i].key.bytes, SEAL_KEY_SIZE, &hash);
    hash_to_hex(&hash, hex);
    snprintf(f->keys[i].id, sizeof(f->keys[i].id), "k-%.8s", hex);
}

/* In memory that is as large as all keys can need, so that it never moves and is wiped whole. */
static size_t format(const struct key_file *f, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s", heading);

    for (unsigned i = 0; i < f->count; i++) {
        SCOPED_BUFFER struct buffer text = { 0 };

        base64_encode(f->keys[i].key.bytes, SEAL_KEY_SIZE, &text);
        at += (size_t)snprintf(out + at, size - at, "%s = %s\n", f->keys[i].id, text.data);
        MUST(at < size);
        seal_wipe(text.data, text.size);
    }
    return at;
}

static int write_synced(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
    return fsync(fd);
}

/* Under another name first: never half there. */
static int write_aside(const char *aside, const struct key_file *f, struct err *e)
{
    char text[sizeof(heading) + KEY_FILE_KEYS_MAX * (KEY_FILE_ID_SIZE + 64)];
    size_t size;
    int fd, rc;

    unlink(aside); /* left behind by a program that died here; the folder is locked */
    fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return trouble(e, aside);
    size = format(f, text, sizeof(text));
    rc = write_synced(fd, text, size) != 0 || fchmod(fd, 0400) != 0 ? trouble(e, aside) : 0;
    seal_wipe(text, sizeof(text));
    close(fd);
    if (rc != 0)
        unlink(aside);
    return rc;
}

/* A new file must not replace one that is there, a changed one must. */
static int put(const char *path, bool is_new, const struct key_file *f, int folder, struct err *e)
{
    char aside[PATH_MAX];
    int rc;

    if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside))
        return err_set(e, ERR_INVALID, "key file: its path is too long");
    if (write_aside(aside, f, e) != 0)
        return -1;
    rc = is_new ? link(aside, path) : rename(aside, path);
    if (rc != 0 && errno == EEXIST)
        rc = err_set(e, ERR_CONFLICT, "key file %s: it is there already", path);
    else if (rc != 0 || fsync(folder) != 0)
        rc = trouble(e, path);
    unlink(aside);
    return rc;
}

static int change(const char *path, bool is_new, char id_out[KEY_FILE_ID_SIZE], struct err *e)
{
    struct key_file f = { 0 };
    int folder = lock_folder(path, e), rc;

    if (folder < 0)
        return -1;
    rc = is_new ? 0 : key_file_load(path, &f, e);
    if (rc == 0 && f.count == KEY_FILE_KEYS_MAX)
        rc = err_set(e, ERR_INVALID,
                     "key file %s: it has %u keys, and no more are allowed; rewrap, then remove "
                     "old ones",
                     path, f.count);
    if (rc == 0) {
        draw(&f);
        rc = put(path, is_new, &f, folder, e);
    }
    if (rc == 0)
        memcpy(id_out, f.keys[f.count - 1].id, KEY_FILE_ID_SIZE);
    key_file_wipe(&f);
    close(folder);
    return rc;
}

int key_file_create(const char *path, char id_out[KEY_FILE_ID_SIZE], struct err *e)
{
    return change(path, true, id_out, e);
}

int key_file_add(const char *path, char id_out[KEY_FILE_ID_SIZE], struct err *e)
{
    return change(path, false, id_out, e);
}

/* key_file.c - reads the file of key-encryption keys, and says what is wrong with it. */
#include "coordinator/keyring/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/crypto/base64.h"

#define FILE_MAX 16384
#define MODE 0400

static int check_stat(const char *path, const struct stat *st, struct err *e)
{
    if (!S_ISREG(st->st_mode))
        return err_set(e, ERR_INVALID, "key file %s: it is not a file", path);
    if (st->st_uid != geteuid())
        return err_set(e, ERR_INVALID,
                       "key file %s: it belongs to user %u, and this program runs as user %u; "
                       "chown it",
                       path, (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & 07777) != MODE)
        return err_set(e, ERR_INVALID,
                       "key file %s: its mode is %04o and must be 0400; chmod 400 it, and make a "
                       "new key when somebody may have read it",
                       path, (unsigned)st->st_mode & 07777);
    return 0;
}

/* At most FILE_MAX bytes; the number of bytes, or -1. */
static ssize_t read_all(int fd, char *out)
{
    size_t size = 0;
    ssize_t n;

    while ((n = read(fd, out + size, FILE_MAX - size)) != 0) {
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            size += (size_t)n;
        if (size == FILE_MAX)
            break;
    }
    return (ssize_t)size;
}

static ssize_t read_file(const char *path, char *out, struct stat *st, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t size = -1;

    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, "key file %s: %s", path,
                       strerror(errno));
    if (fstat(fd, st) != 0)
        err_set(e, ERR_SYSTEM, "key file %s: %s", path, strerror(errno));
    else if (check_stat(path, st, e) == 0) {
        size = read_all(fd, out);
        if (size < 0)
            err_set(e, ERR_SYSTEM, "key file %s: %s", path, strerror(errno));
    }
    close(fd);
    if (size == FILE_MAX)
        return err_set(e, ERR_INVALID, "key file %s: it is larger than a key file can be", path);
    return size;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && is_blank((*text)[0])) {
        (*text)++;
        (*size)--;
    }
    while (*size > 0 && is_blank((*text)[*size - 1]))
        (*size)--;
}

static bool is_id(const char *text, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

    if (size == 0 || size >= KEY_FILE_ID_SIZE)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!memchr(letters, text[i], sizeof(letters) - 1))
            return false;
    return true;
}

static bool has_id(const struct key_file *f, const char *id, size_t size)
{
    for (unsigned i = 0; i < f->count; i++)
        if (strlen(f->keys[i].id) == size && memcmp(f->keys[i].id, id, size) == 0)
            return true;
    return false;
}

/* NULL, or why the line is no key. */
static const char *take_line(const char *line, size_t size, struct key_file *out)
{
    const char *equals, *text;
    size_t id_size, text_size, key_size;

    trim(&line, &size);
    if (size == 0 || line[0] == '#')
        return NULL;
    equals = memchr(line, '=', size);
    if (!equals)
        return "a line is `ID = BASE64`";
    text = equals + 1;
    id_size = (size_t)(equals - line);
    text_size = size - id_size - 1;
    trim(&line, &id_size);
    trim(&text, &text_size);
    if (!is_id(line, id_size))
        return "an id is 1 to 100 of a-z, 0-9, '.', '_' and '-'";
    if (has_id(out, line, id_size))
        return "this id stands further up as well";
    if (out->count == KEY_FILE_KEYS_MAX)
        return "a file has at most 64 keys";
    if (base64_decode(text, text_size, out->keys[out->count].key.bytes, SEAL_KEY_SIZE,
                      &key_size) != 0 ||
        key_size != SEAL_KEY_SIZE)
        return "the key is not 32 bytes in base64";
    memcpy(out->keys[out->count].id, line, id_size);
    out->keys[out->count].id[id_size] = '\0';
    out->count++;
    return NULL;
}

static int take_all(const char *path, const char *text, size_t size, struct key_file *out,
                    struct err *e)
{
    unsigned number = 0;

    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at), *why;
        size_t n = end ? (size_t)(end - text) - at : size - at;

        number++;
        why = take_line(text + at, n, out);
        if (why)
            return err_set(e, ERR_INVALID, "key file %s:%u: %s", path, number, why);
        at += n + 1;
    }
    if (out->count == 0)
        return err_set(e, ERR_INVALID, "key file %s: there is no key in it", path);
    return 0;
}

int key_file_load(const char *path, struct key_file *out, struct err *e)
{
    char text[FILE_MAX];
    ssize_t size;
    int rc;

    *out = (struct key_file){ 0 };
    size = read_file(path, text, &out->seen, e);
    rc = size < 0 ? -1 : take_all(path, text, (size_t)size, out, e);
    seal_wipe(text, sizeof(text));
    if (rc != 0)
        key_file_wipe(out);
    return rc;
}

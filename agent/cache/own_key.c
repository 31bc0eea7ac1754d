/* own_key.c - the agent's own key: under it the data keys of secrets lie wrapped on this server. */
#include "agent/cache/own_key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/disk.h"
#include "common/crypto/base64.h"
#include "common/crypto/digest.h"

#define FILE_MAX 512
#define OUTER_MAX 4096
#define OUTER_LEAST 32
#define LINE_HEAD "key "

/* A small file as a whole. Group and others may have no access to it. */
static int read_file(const char *what, const char *path, char *out, size_t room, size_t *size_out,
                     struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st)) {
        err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, "%s %s: %s", what, path,
                strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    n = read(fd, out, room);
    close(fd);
    if (st.st_mode & 077)
        return err_set(e, ERR_INVALID, "%s %s: others may read it; chmod 400 it", what, path);
    if (n < 0 || (size_t)n == room)
        return err_set(e, ERR_MALFORMED, "%s %s: %s", what, path,
                       n < 0 ? strerror(errno) : "it is too long");
    *size_out = (size_t)n;
    return 0;
}

static int read_outer(const char *path, char out[OUTER_MAX], size_t *size_out, struct err *e)
{
    if (read_file("secrets_key_file", path, out, OUTER_MAX, size_out, e))
        return -1;
    return *size_out < OUTER_LEAST
               ? err_set(e, ERR_INVALID, "secrets_key_file %s: it has %zu bytes; give it at least "
                         "%d random ones", path, *size_out, OUTER_LEAST)
               : 0;
}

int own_keys_check_outer(const char *path, struct err *e)
{
    char outer[OUTER_MAX];
    size_t size = 0;
    int rc = path ? read_outer(path, outer, &size, e) : 0;

    seal_wipe(outer, sizeof(outer));
    return rc;
}

static int derive(const char *outer_path, struct own_keys *keys, struct err *e)
{
    char outer[OUTER_MAX];
    struct hash mac;
    size_t size = 0;

    for (unsigned i = 0; i < keys->count && !outer_path; i++)
        keys->items[i].key = keys->items[i].raw;
    if (!outer_path)
        return 0;
    if (read_outer(outer_path, outer, &size, e))
        return -1;
    for (unsigned i = 0; i < keys->count; i++) {
        digest_hmac_sha256(outer, size, keys->items[i].raw.bytes, SEAL_KEY_SIZE, &mac);
        memcpy(keys->items[i].key.bytes, mac.bytes, SEAL_KEY_SIZE);
    }
    seal_wipe(outer, sizeof(outer));
    seal_wipe(&mac, sizeof(mac));
    return 0;
}

/* ---- the file ---- */

static int parse_line(const char *line, size_t size, struct own_keys *out)
{
    const size_t head = sizeof(LINE_HEAD) - 1;
    const char *id = line + head, *space;
    size_t id_size, key_size;

    if (out->count == 2 || size <= head || strncmp(line, LINE_HEAD, head) != 0)
        return -1;
    space = memchr(id, ' ', size - head);
    id_size = space ? (size_t)(space - id) : 0;
    if (!id_size || id_size >= OWN_KEY_ID_SIZE ||
        base64_decode(space + 1, size - head - id_size - 1, out->items[out->count].raw.bytes,
                      SEAL_KEY_SIZE, &key_size) ||
        key_size != SEAL_KEY_SIZE)
        return -1;
    memcpy(out->items[out->count].id, id, id_size);
    out->items[out->count++].id[id_size] = '\0';
    return 0;
}

static int load(const char *path, struct own_keys *out, struct err *e)
{
    char text[FILE_MAX];
    size_t size = 0, line;
    int rc = read_file("the agent's own key", path, text, sizeof(text), &size, e);

    for (size_t at = 0; rc == 0 && at < size; at += line + 1) {
        const char *end = memchr(text + at, '\n', size - at);

        line = end ? (size_t)(end - text) - at : size - at;
        if (text[at] != '#' && parse_line(text + at, line, out))
            rc = err_set(e, ERR_MALFORMED, "the agent's own key %s: a line is not \"key ID "
                         "BASE64\"; move the file away: the secrets that it sealed are then "
                         "fetched again", path);
    }
    seal_wipe(text, sizeof(text));
    if (rc == 0 && out->count == 0)
        rc = err_set(e, ERR_MALFORMED, "the agent's own key %s: the file is empty; move it away: "
                     "the secrets that it sealed are then fetched again", path);
    return rc;
}

static void format(const struct own_keys *keys, struct buffer *out)
{
    buffer_keep_secret(out);
    buffer_add_text(out, "# lockstep-agent wraps the secrets of this server under it. Keep it.\n");
    for (unsigned i = 0; i < keys->count; i++) {
        buffer_printf(out, LINE_HEAD "%s ", keys->items[i].id);
        base64_encode(keys->items[i].raw.bytes, SEAL_KEY_SIZE, out);
        buffer_add_text(out, "\n");
    }
}

/* On a disk that writes in place nothing is left of it; where the disk does not, its own encryption
 * has to. */
static void overwrite(int fd)
{
    static const char zeros[FILE_MAX];

    if (fd < 0)
        return;
    if (pwrite(fd, zeros, sizeof(zeros), 0) != (ssize_t)sizeof(zeros) || fdatasync(fd))
        return; /* nothing more can be done about it */
}

/* Written aside and renamed; what lay there before is overwritten then. */
static int store(const char *path, const struct own_keys *keys, struct err *e)
{
    struct disk_access access = { .mode = 0400, .uid = geteuid(), .gid = getegid() };
    SCOPED_BUFFER struct buffer text = { 0 };
    char aside[PATH_MAX];
    int fd, rc;

    if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside))
        return err_set(e, ERR_INVALID, "the path of the agent's own key is too long");
    format(keys, &text);
    if (disk_write(aside, text.data, text.size, &access, e))
        return -1;
    (void)chmod(path, 0600); /* to overwrite it one must be able to open it */
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    rc = disk_rename(aside, path, e) || disk_sync_folder_of(path, e) ? -1 : 0;
    if (rc == 0)
        overwrite(fd);
    else
        (void)chmod(path, 0400);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- keys ---- */

static void draw(struct own_keys *keys)
{
    struct seal_key random;

    keys->items[1] = keys->items[0];
    keys->count = keys->count ? 2 : 1;
    seal_key_draw(&keys->items[0].raw);
    seal_key_draw(&random);
    snprintf(keys->items[0].id, OWN_KEY_ID_SIZE, "own-%02x%02x%02x%02x%02x%02x", random.bytes[0],
             random.bytes[1], random.bytes[2], random.bytes[3], random.bytes[4], random.bytes[5]);
}

int own_keys_open(const char *path, const char *outer_path, struct own_keys *out, bool *is_new_out,
                  struct err *e)
{
    int rc;

    *out = (struct own_keys){ 0 };
    *is_new_out = access(path, F_OK) != 0 && errno == ENOENT;
    if (*is_new_out)
        draw(out);
    rc = *is_new_out ? store(path, out, e) : load(path, out, e);
    if (rc == 0)
        rc = derive(outer_path, out, e);
    if (rc)
        own_keys_wipe(out);
    return rc;
}

int own_keys_add(const char *path, const char *outer_path, struct own_keys *keys, struct err *e)
{
    struct own_keys next = *keys;
    int rc;

    next.count = 1; /* a change that never ended: its older key is needed no more */
    draw(&next);
    rc = derive(outer_path, &next, e) || store(path, &next, e) ? -1 : 0;
    if (rc == 0)
        *keys = next;
    own_keys_wipe(&next);
    return rc;
}

int own_keys_retire(const char *path, struct own_keys *keys, struct err *e)
{
    struct own_keys next = *keys;
    int rc;

    next.count = 1;
    rc = store(path, &next, e);
    if (rc == 0) {
        keys->count = 1;
        seal_wipe(&keys->items[1], sizeof(keys->items[1]));
    }
    own_keys_wipe(&next);
    return rc;
}

void own_keys_wrap(const struct own_keys *keys, const struct seal_key *data_key,
                   struct envelope_wrapped *out)
{
    envelope_wrap(&keys->items[0].key, keys->items[0].id, data_key, out);
}

int own_keys_unwrap(const struct own_keys *keys, const struct envelope_wrapped *wrapped,
                    struct seal_key *data_key_out)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (strcmp(keys->items[i].id, wrapped->key_id) == 0)
            return envelope_unwrap(&keys->items[i].key, wrapped, data_key_out);
    return -1;
}

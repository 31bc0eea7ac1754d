/* curve_keys.c - the agent's CURVE key pair in its file; the public key is what is enrolled. */
#include "agent/link/curve_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/disk.h"
#include "agent/link/dealer.h"

#define KEY_TEXT 40

bool curve_keys_exist(const char *path)
{
    return access(path, F_OK) == 0;
}

/* KEY out of a line `name = KEY`. */
static bool take_line(const char *text, const char *name, char out[41])
{
    const char *line = strstr(text, name);
    size_t size;

    if (!line || (line != text && line[-1] != '\n'))
        return false;
    line += strlen(name);
    size = strcspn(line, "\n");
    if (size != KEY_TEXT)
        return false;
    memcpy(out, line, KEY_TEXT);
    out[KEY_TEXT] = '\0';
    return true;
}

int curve_keys_load(const char *path, struct curve_keys *out, struct err *e)
{
    char text[512];
    struct stat st;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st)) {
        err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, "key file %s: %s", path,
                strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (st.st_mode & 077)
        return err_set(e, ERR_INVALID, "key file %s: others may read it; chmod 600 it, and make a "
                       "new key when somebody may have", path);
    text[n > 0 ? n : 0] = '\0';
    if (!take_line(text, "public = ", out->public_key) ||
        !take_line(text, "secret = ", out->secret_key)) {
        explicit_bzero(text, sizeof(text));
        return err_set(e, ERR_MALFORMED, "key file %s: it does not hold a key pair; move it away "
                       "and run lockstep-agent keygen", path);
    }
    explicit_bzero(text, sizeof(text));
    return 0;
}

static int make_folder_of(const char *path, struct err *e)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;

    if (!size || size >= sizeof(folder))
        return 0;
    memcpy(folder, path, size);
    folder[size] = '\0';
    return access(folder, F_OK) == 0 ? 0 : disk_make_folder(folder, 0755, e);
}

/* Written under another name and linked: never half there, never over an older one. */
int curve_keys_make(const char *path, struct curve_keys *out, struct err *e)
{
    struct disk_access access = { .mode = 0600, .uid = geteuid(), .gid = getegid() };
    char text[256], aside[PATH_MAX];
    int rc;

    if (make_folder_of(path, e))
        return -1;
    if (snprintf(aside, sizeof(aside), "%s.%ld", path, (long)getpid()) >= (int)sizeof(aside))
        return err_set(e, ERR_INVALID, "the path of the key file is too long");
    dealer_new_keys(out->public_key, out->secret_key);
    snprintf(text, sizeof(text), "# The key pair of this server's lockstep-agent. Keep it secret.\n"
             "public = %s\nsecret = %s\n", out->public_key, out->secret_key);
    rc = disk_write(aside, text, strlen(text), &access, e);
    explicit_bzero(text, sizeof(text));
    if (rc)
        return -1;
    if (link(aside, path))
        rc = err_set(e, errno == EEXIST ? ERR_CONFLICT : ERR_SYSTEM, "key file %s: %s", path,
                     errno == EEXIST ? "it is there already" : strerror(errno));
    unlink(aside);
    return rc;
}

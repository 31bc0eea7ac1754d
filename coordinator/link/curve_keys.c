/* curve_keys.c - make, keep and read the key pair. */
#include "coordinator/link/curve_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"

#define Z85_SIZE 40

static int write_file(const char *path, mode_t mode, const char *text, struct err *e)
{
    char temporary[4096];
    size_t size = strlen(text);
    int fd;

    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
        return err_set(e, ERR_INVALID, "[router] key_file: the path is too long");
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "cannot create %s: %s", temporary, strerror(errno));
    if (write(fd, text, size) != (ssize_t)size || fsync(fd) != 0) {
        close(fd);
        return err_set(e, ERR_SYSTEM, "cannot write %s: %s", temporary, strerror(errno));
    }
    close(fd);
    if (rename(temporary, path) != 0)
        return err_set(e, ERR_SYSTEM, "cannot rename %s: %s", temporary, strerror(errno));
    return 0;
}

static int make(const char *path, struct err *e)
{
    struct key_pair pair;
    char text[2 * ROUTER_KEY_SIZE + 2];

    router_new_keys(pair.public_key, pair.secret_key);
    snprintf(text, sizeof(text), "%s\n%s\n", pair.public_key, pair.secret_key);
    return write_file(path, 0600, text, e);
}

static int parse(const char *path, const char *text, size_t size, struct key_pair *out,
                 struct err *e)
{
    if (size < 2 * Z85_SIZE + 1 || text[Z85_SIZE] != '\n')
        return err_set(e, ERR_CORRUPT,
                       "%s is no key file: two lines of 40 characters are expected; move it away "
                       "to have a new pair made (agents then need the new public key)",
                       path);
    snprintf(out->public_key, sizeof(out->public_key), "%.40s", text);
    snprintf(out->secret_key, sizeof(out->secret_key), "%.40s", text + Z85_SIZE + 1);
    return 0;
}

static int check_mode(const char *path, struct err *e)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_set(e, ERR_SYSTEM, "cannot look at %s: %s", path, strerror(errno));
    if (st.st_mode & 077)
        return err_set(e, ERR_INVALID, "%s holds a secret key and others may read it: chmod 600 %s",
                       path, path);
    return 0;
}

int curve_keys_load(const char *path, struct key_pair *out, struct err *e)
{
    SCOPED_BUFFER struct buffer file = { 0 };
    char public_path[4096], line[ROUTER_KEY_SIZE + 1];

    if (access(path, F_OK) != 0 && make(path, e) != 0)
        return -1;
    if (check_mode(path, e) != 0 || buffer_read_file(&file, path, 4096, e) != 0 ||
        parse(path, file.data, file.size, out, e) != 0)
        return -1;
    if ((size_t)snprintf(public_path, sizeof(public_path), "%s.pub", path) >= sizeof(public_path))
        return err_set(e, ERR_INVALID, "[router] key_file: the path is too long");
    snprintf(line, sizeof(line), "%s\n", out->public_key);
    return write_file(public_path, 0644, line, e);
}

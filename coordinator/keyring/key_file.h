/* key_file.h - a file of key-encryption keys: read, made, and given a new key.
 *
 * One key in a line, `ID = BASE64` with 32 random bytes; the last line is the newest key, which
 * wraps, and the ones above it unwrap what was wrapped before. Lines that begin with # and empty
 * lines are comments. An id is 1 to 100 of a-z, 0-9, '.', '_' and '-', used once; the ids made here
 * are k- and the first 8 hex digits of the key's SHA-256, so that two hosts never give one id to
 * two keys. A line may go when nothing is wrapped under its id any more.
 *
 * The mode must be 0400 and the owner the user of the program. Keep a copy in a safe place: without
 * it no secret can ever be read again.
 */
#ifndef COORDINATOR_KEYRING_KEY_FILE_H
#define COORDINATOR_KEYRING_KEY_FILE_H

#include <sys/stat.h>

#include "common/crypto/seal.h"
#include "common/err.h"

#define KEY_FILE_KEYS_MAX 64
#define KEY_FILE_ID_SIZE 101

struct key_file {
    unsigned count; /* at least 1; the last one is the newest */
    struct {
        char id[KEY_FILE_ID_SIZE];
        struct seal_key key;
    } keys[KEY_FILE_KEYS_MAX];
    struct stat seen; /* of the file that was read */
};

static inline void key_file_wipe(struct key_file *f)
{
    seal_wipe(f, sizeof(*f));
}

/* Errors have the path, and the line where there is one; never what stands in it. */
int key_file_load(const char *path, struct key_file *out, struct err *e)
    __attribute__((warn_unused_result));

/* A new file with one key; ERR_CONFLICT when the name is taken. */
int key_file_create(const char *path, char id_out[KEY_FILE_ID_SIZE], struct err *e)
    __attribute__((warn_unused_result));
/* A new newest key in the file that is there, which is replaced in one step. */
int key_file_add(const char *path, char id_out[KEY_FILE_ID_SIZE], struct err *e)
    __attribute__((warn_unused_result));

#endif

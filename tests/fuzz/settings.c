/* settings.c - libFuzzer target: a settings file of any bytes is read, or refused with its line. */
#include "common/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/invariant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct program {
    char *text, *secret;
    int64_t number, duration_ms;
    bool is_flag;
};

static const struct settings_key keys[] = {
    { "a", "text", SETTINGS_TEXT, offsetof(struct program, text), "x", 0, 0, false },
    { "a", "secret", SETTINGS_TEXT, offsetof(struct program, secret), NULL, 0, 0, true },
    { "a", "number", SETTINGS_NUMBER, offsetof(struct program, number), "1", 1, 9, false },
    { "b", "duration", SETTINGS_DURATION, offsetof(struct program, duration_ms), "1s", 0, 0, false },
    { "b", "flag", SETTINGS_BOOLEAN, offsetof(struct program, is_flag), NULL, 0, 0, false },
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static int take(void *into, const char *section, const char *name, const char *key,
                const char *value, struct err *e)
{
    (void)into;
    MUST(section[0] && name);
    if (!key) /* a section with a name and nothing in it */
        return 0;
    MUST(key[0] && value);
    return strcmp(value, "no") ? 0 : err_set(e, ERR_INVALID, "no");
}

/* Readers take a path, so the bytes stand in a file in memory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct program program;
    struct err e = { 0 };
    char path[64];

    if (fd < 0)
        fd = memfd_create("settings", MFD_CLOEXEC);
    MUST(fd >= 0 && ftruncate(fd, 0) == 0);
    MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (settings_load(path, keys, KEY_COUNT, &program, take, &e))
        MUST(strstr(e.text, path) && !program.text && !program.secret);
    else
        MUST(program.text && program.number >= 1 && program.number <= 9);
    settings_fini(keys, KEY_COUNT, &program);
    return 0;
}

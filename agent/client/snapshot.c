/* snapshot.c - one published document, mapped and checked; released with its last reference. */
#include "agent/client/client_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOCUMENT_MIN sizeof(struct published_header)
#define DOCUMENT_MAX ((off_t)1 << 31)

static const struct {
    struct published_header header;
    struct published_slot slot;
} no_document = {
    .header = { .magic = PUBLISHED_DOCUMENT_MAGIC,
                .version = PUBLISHED_VERSION,
                .header_size = sizeof(struct published_header),
                .slots_at = sizeof(struct published_header),
                .order_at = sizeof(struct published_header) },
};

struct lockstep_snapshot client_nothing = { .document = &no_document };

static void hex(const uint64_t hash[PUBLISHED_HASH_SIZE / 8], char out[LOCKSTEP_HASH_SIZE])
{
    const uint8_t *bytes = (const void *)hash;

    for (unsigned i = 0; i < PUBLISHED_HASH_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static void *fail(struct lockstep *ls, const char *path, const char *what)
{
    snprintf(ls->trouble, sizeof(ls->trouble), "%.380s %s", path, what);
    return NULL;
}

/* The whole file, or NULL. */
static const void *map(struct lockstep *ls, const char *path, size_t *size_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    void *memory = MAP_FAILED;
    struct stat st;

    if (fd < 0)
        return fail(ls, path, errno == EACCES ? "may not be read by this user" : strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)DOCUMENT_MIN &&
        st.st_size <= DOCUMENT_MAX)
        memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return fail(ls, path, "is no published document");
    *size_out = (size_t)st.st_size;
    return memory;
}

static bool is_zero(const uint64_t hash[PUBLISHED_HASH_SIZE / 8])
{
    return !(hash[0] | hash[1] | hash[2] | hash[3]);
}

struct lockstep_snapshot *snapshot_load(struct lockstep *ls,
                                        const struct published_current *current)
{
    struct lockstep_snapshot *s = malloc(sizeof(*s));
    char path[PATH_MAX + LOCKSTEP_HASH_SIZE];
    const char *why;

    if (!s)
        return fail(ls, ls->scope, strerror(ENOMEM));
    *s = (struct lockstep_snapshot){ .document = &no_document, .sequence = current->sequence,
                                     .revision = current->revision };
    atomic_init(&s->references, 1);
    if (is_zero(current->hash))
        return s;
    hex(current->hash, s->hash);
    snprintf(path, sizeof(path), "%s/%s", ls->folder, s->hash);
    s->document = map(ls, path, &s->mapped);
    if (!s->document) {
        free(s);
        return NULL;
    }
    why = published_check_document(s->document, s->mapped, (const void *)current->hash);
    if (!why)
        return s;
    snapshot_drop(s);
    return fail(ls, path, why);
}

void snapshot_drop(struct lockstep_snapshot *s)
{
    if (s == &client_nothing ||
        atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    if (s->mapped)
        munmap((void *)(uintptr_t)s->document, s->mapped);
    free(s);
}

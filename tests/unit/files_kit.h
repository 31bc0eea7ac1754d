/* files_kit.h - a file by itself and a group beside it, on disk and in a scope, for tests of files. */
#ifndef TESTS_UNIT_FILES_KIT_H
#define TESTS_UNIT_FILES_KIT_H

#include "agent/files/files.h"
#include "tests/unit/temp_folder.h"

/* single and member hold "mine"; the state lies in a folder of the agent's alone. */
static char folder[TEMP_PATH / 2], state[TEMP_PATH], where[TEMP_PATH - 32], single[TEMP_PATH];
static char group[TEMP_PATH - 16], member[TEMP_PATH + 8];
static struct agent_scope *scope;
static const struct hash nothing;
static struct document *lent; /* of source_of */
static struct err e;

#define FROM(document, hash) (&(struct render_source){ scope, document, hash })

static inline void begin_files(void)
{
    temp_make(folder);
    snprintf(state, sizeof(state), "%s/state", folder);
    snprintf(where, sizeof(where), "%s/where", folder);
    snprintf(single, sizeof(single), "%s/x.conf", where);
    snprintf(group, sizeof(group), "%s/conf.d", where);
    snprintf(member, sizeof(member), "%s/m", group);
    ck_assert_int_eq(mkdir(state, 0700), 0);
    ck_assert_int_eq(mkdir(where, 0755), 0);
    ck_assert_int_eq(mkdir(group, 0755), 0);
    temp_write(single, "mine", 0644);
    temp_write(member, "mine", 0644);
    scope = calloc(1, sizeof(*scope));
}

/* The key "k" is to stand there. */
static inline void add_file(const char *path, int of_group)
{
    scope->files[scope->file_count++] =
        (struct agent_file){ .kind = AGENT_FILE_KEY, .key = strdup("k"), .path = strdup(path),
                             .group = of_group };
}

static inline void add_group(void)
{
    scope->groups[scope->group_count++].path = strdup(group);
}

static inline void end_files(void)
{
    for (unsigned i = 0; i < scope->file_count; i++) {
        free(scope->files[i].key);
        free(scope->files[i].path);
    }
    free(scope->groups[0].path);
    free(scope);
    document_free(lent);
    lent = NULL;
    temp_remove(folder);
}

/* In an empty folder of somebody's: the single file and the group, which has no files yet. */
static inline void begin_foreign(mode_t mode, uid_t owner, gid_t gid)
{
    begin_files();
    temp_remove(group);
    ck_assert_int_eq(remove(single), 0);
    ck_assert_int_eq(chown(where, owner, gid) || chmod(where, mode), 0);
    add_file(single, AGENT_NO_GROUP);
    add_group();
}

/* "k" is this value; as a secret, its reference, opened. */
static inline struct document *document_with(const char *value, bool is_secret, struct hash *hash)
{
    struct document *d = document_new();
    char reference[VALUE_REFERENCE_SIZE], *bytes;
    size_t size;

    value_reference("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", reference);
    ck_assert_int_eq(document_set(d, "k", VALUE_STRING, is_secret ? reference : value, &e), 0);
    ck_assert_int_eq(document_encode(d, &bytes, &size, hash, &e), 0);
    free(bytes);
    if (is_secret)
        document_open_secret(d, "k", value);
    return d;
}

/* "k" is "value I". Lent until the next one is asked for. */
static inline struct render_source source_of(unsigned i)
{
    char value[32];

    if (!lent)
        lent = document_new();
    snprintf(value, sizeof(value), "value %u", i);
    ck_assert_int_eq(document_set(lent, "k", VALUE_STRING, value, &e), 0);
    return (struct render_source){ .scope = scope, .document = lent, .hash = { { (uint8_t)i } } };
}

#endif

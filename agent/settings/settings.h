/* settings.h - what the agent was told by its settings file: coordinators, labels, scopes, commands.
 *
 * What may run on a server is said here and nowhere else. [agent] holds the program's own keys;
 * each [scope SERVICE/ENVIRONMENT] names the files of a scope and its validate, reload and check
 * commands. README.md in this folder explains every key; a test keeps it complete.
 */
#ifndef AGENT_SETTINGS_SETTINGS_H
#define AGENT_SETTINGS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/disk/user.h"
#include "agent/process/environment.h"
#include "agent/settings/local_settings.h"
#include "common/err.h"
#include "common/log.h"
#include "common/name.h"
#include "common/scoped.h"

#define AGENT_SCOPES_MAX 64 /* WIRE_SCOPES_MAX and PARTICIPANT_SCOPES_MAX */
#define AGENT_FILES_MAX 64
#define AGENT_GROUPS_MAX 16
#define AGENT_NO_GROUP (-1)
#define AGENT_LABELS_MAX 32
#define AGENT_COORDINATORS_MAX 16
#define AGENT_CONSUMERS_MAX 256 /* readers of one scope's document that confirm it */
#define AGENT_CONSUMER_USERS_MAX 32
#define AGENT_DOCUMENT_PLACEHOLDER "document"

#define AGENT_FILE_FORMATS(X)                                                                      \
    X(JSON, "json") X(YAML, "yaml") X(ENV, "env") X(INI, "ini") X(RAW, "raw")
enum agent_file_kind {
    AGENT_FILE_KEY, /* the value of one key; the others: a whole document in this format */
#define X(name, text) AGENT_FILE_##name,
    AGENT_FILE_FORMATS(X)
#undef X
};

/* What the settings say of mode and owner. */
struct agent_access {
    bool has_mode, has_owner;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

/* How much the readers of an ini file are trusted with. */
enum agent_values {
    AGENT_VALUES_STRICT, /* what some reader takes for something else is refused */
    AGENT_VALUES_QUOTED, /* all of them in quotes, with backslashes */
    AGENT_VALUES_PLAIN,  /* this reader takes everything in a line as it is */
};

struct agent_file {
    enum agent_file_kind kind;
    char *key; /* AGENT_FILE_KEY; else AGENT_DOCUMENT_PLACEHOLDER */
    char *path;
    char *keys;       /* of a document those that match one of these globs, separated by commas */
    char *strip;      /* taken off the beginning of their names */
    char *prefix;     /* in front of the names of variables */
    enum agent_values values; /* of an ini document */
    bool is_optional; /* there is no file when the key is absent, or no key matches */
    bool is_filled;   /* {lockstep.hash} and {lockstep.scope} in it are replaced */
    int group;        /* index of the group whose folder it lies in, or AGENT_NO_GROUP */
    bool is_tmpfs;    /* it must not lie on a disk */
    struct agent_access access;
};

/* A folder whose files are replaced together. */
struct agent_group {
    char *path;
    struct agent_access access;
};

/* Whose confirmation an apply waits for. */
enum agent_consumers_rule {
    AGENT_CONSUMERS_ALL, /* that are registered */
    AGENT_CONSUMERS_COUNT,
    AGENT_CONSUMERS_PERCENT, /* of those that are registered */
    AGENT_CONSUMERS_NONE,
};

struct agent_scope {
    char name[SCOPE_BUFFER]; /* payments/prod */
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    unsigned file_count, group_count;
    struct agent_file files[AGENT_FILES_MAX];
    struct agent_group groups[AGENT_GROUPS_MAX];
    char *validate, *reload, *check; /* for /bin/sh -c; NULL: none */
    struct user *run_as;             /* who runs them; NULL: the agent's own user */
    struct environment environment_words; /* what they find in their environment besides */
    char *allow_variables; /* that loaders and shells obey, and that env documents may set all the
                            * same; NULL: none */
    int64_t validate_timeout_ms, reload_timeout_ms, check_timeout_ms;
    int64_t check_interval_ms; /* 0: only after applying */
    int64_t check_grace_ms;    /* the first check is tried check_attempts times within it */
    int64_t check_attempts;
    bool has_readers_group; /* else the agent's own group */
    gid_t readers_group;    /* may read what is published for this scope */
    unsigned consumer_user_count; /* who may confirm, besides root and the agent's own user */
    uid_t consumer_users[AGENT_CONSUMER_USERS_MAX];
    enum agent_consumers_rule consumers_rule;
    unsigned consumers_amount; /* COUNT and PERCENT */
    int64_t consumers_timeout_ms;
    int64_t backup_count; /* how many states of the files before a change are kept */
    int64_t drift_interval_ms; /* files and documents are verified so often; 0: only at start */
    bool is_drift_repaired;    /* else only reported */
    int64_t poll_ms;           /* how often it asks for what it may have missed; 0: never */
};

struct agent_label {
    char *name, *value;
};

struct agent_settings {
    char *name;
    char *coordinators_text, *labels_text;
    char *server_key, *server_key_file; /* server_key is filled from the file */
    char *key_file, *state_dir;
    char *secrets_key_file; /* the outer key of own_key.h; NULL: none */
    char *publish_dir; /* for local readers; preset: PUBLISHED_FOLDER, or STATE_DIR.public */
    char *log_level, *log_format;
    enum log_level level; /* what log_level means */
    bool is_log_json;
    struct local_settings local;
    int64_t stop_timeout_ms; /* what is being applied may end so long after a request to stop */
    unsigned coordinator_count, label_count, scope_count;
    char *coordinators[AGENT_COORDINATORS_MAX]; /* tcp://host:port */
    struct agent_label labels[AGENT_LABELS_MAX];
    struct agent_scope *scopes[AGENT_SCOPES_MAX]; /* in the order of the file */
};

/* On -1 nothing is left to release. */
int agent_settings_load(const char *path, struct agent_settings *out, struct err *e)
    __attribute__((warn_unused_result));
/* Every mistake of the file and the environment, else the first of what they say together. Both are
 * released by the caller. */
struct settings_report;
void agent_settings_judge(const char *path, struct agent_settings *out,
                          struct settings_report *report);
void agent_settings_fini(struct agent_settings *s);

/* The same on the heap. */
int agent_settings_new(const char *path, struct agent_settings **out, struct err *e)
    __attribute__((warn_unused_result));
void agent_settings_free(struct agent_settings *s); /* NULL is fine */
SCOPED_FREE(struct agent_settings, agent_settings_free)

/* The keys there are, one by one: "name" of section "agent", "file" of "scope"; NULL at the end. */
const char *agent_settings_key(size_t index, const char **section_out);

/* Index of the scope, or -1. */
int agent_settings_find(const struct agent_settings *s, const char *service,
                        const char *environment);

#endif

/* settings.h - what the agent was told by its settings file: coordinators, labels, scopes, commands.
 *
 * What may run on a server is said here and nowhere else. [agent] holds the program's own keys;
 * each [scope SERVICE/ENVIRONMENT] names the files of a scope and its validate, reload and check
 * commands:
 *
 *     [scope payments/prod]
 *     file = nginx.conf -> /etc/nginx/nginx.conf [mode=0644] [owner=root:www-data] [optional]
 *     file = db.password -> /run/payments/password [tmpfs]
 *     document = json -> /run/payments/config.json
 *     validate = nginx -t -c {file}
 *     reload = nginx -s reload
 *     check = curl -fsS http://127.0.0.1/health
 *
 * A file that shows a secret has mode 0600 unless one is given; `tmpfs` says that it must not lie
 * on a disk. `file` and `document` may be repeated, also as file.1, file.2. In `validate`, {file}
 * stands for the candidate of the first file, {KEY} for the candidate of that key, {document} for
 * that of the first document line, {dir} for a folder with links to all of them; other braces are
 * left alone.
 */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/log.h"
#include "common/name.h"
#include "common/scoped.h"

#define AGENT_SCOPES_MAX 64 /* WIRE_SCOPES_MAX and PARTICIPANT_SCOPES_MAX */
#define AGENT_FILES_MAX 64
#define AGENT_LABELS_MAX 32
#define AGENT_COORDINATORS_MAX 16
#define AGENT_DOCUMENT_PLACEHOLDER "document"

enum agent_file_kind {
    AGENT_FILE_KEY,  /* the value of one key */
    AGENT_FILE_JSON, /* the whole document: {"key": typed value} */
    AGENT_FILE_ENV,  /* the whole document: DATABASE_URL='…' */
};

struct agent_file {
    enum agent_file_kind kind;
    char *key; /* AGENT_FILE_KEY; else AGENT_DOCUMENT_PLACEHOLDER */
    char *path;
    bool has_mode, has_owner, is_optional, is_tmpfs;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

struct agent_scope {
    char name[SCOPE_BUFFER]; /* payments/prod */
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    unsigned file_count;
    struct agent_file files[AGENT_FILES_MAX];
    char *validate, *reload, *check; /* for /bin/sh -c; NULL: none */
    int64_t validate_timeout_ms, reload_timeout_ms, check_timeout_ms;
    int64_t check_interval_ms; /* 0: only after applying */
    int64_t check_grace_ms;    /* the first check is tried check_attempts times within it */
    int64_t check_attempts;
    bool has_readers_group; /* else the agent's own group */
    gid_t readers_group;    /* may read what is published for this scope */
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
    int64_t stop_timeout_ms; /* what is being applied may end so long after a request to stop */
    unsigned coordinator_count, label_count, scope_count;
    char *coordinators[AGENT_COORDINATORS_MAX]; /* tcp://host:port */
    struct agent_label labels[AGENT_LABELS_MAX];
    struct agent_scope *scopes[AGENT_SCOPES_MAX]; /* in the order of the file */
};

/* On -1 nothing is left to release. */
int agent_settings_load(const char *path, struct agent_settings *out, struct err *e)
    __attribute__((warn_unused_result));
void agent_settings_fini(struct agent_settings *s);

/* The same on the heap. */
int agent_settings_new(const char *path, struct agent_settings **out, struct err *e)
    __attribute__((warn_unused_result));
void agent_settings_free(struct agent_settings *s); /* NULL is fine */
SCOPED_FREE(struct agent_settings, agent_settings_free)

/* Index of the scope, or -1. */
int agent_settings_find(const struct agent_settings *s, const char *service,
                        const char *environment);

#endif

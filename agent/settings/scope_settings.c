/* scope_settings.c - one [scope SERVICE/ENVIRONMENT] section: its files, commands and time limits. */
#include "agent/settings/scope_settings.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/settings/file_settings.h"
#include "common/duration.h"
#include "common/invariant.h"
#include "common/memory.h"
#include "common/variable_names.h"

#define TIMEOUT_PRESET_MS 10000
#define DAY_MS (24 * 3600 * INT64_C(1000))

int scope_settings_open(struct agent_settings *s, const char *name, struct agent_scope **out,
                        struct err *e)
{
    char service[NAME_BUFFER], environment[NAME_BUFFER];
    struct agent_scope *scope;
    int found;

    if (name_split_scope(name, service, environment, e))
        return -1;
    found = agent_settings_find(s, service, environment);
    if (found >= 0) {
        *out = s->scopes[found];
        return 0;
    }
    if (s->scope_count == AGENT_SCOPES_MAX)
        return err_set(e, ERR_INVALID, "an agent reads at most %d scopes", AGENT_SCOPES_MAX);
    scope = memory_new(sizeof(*scope));
    snprintf(scope->name, sizeof(scope->name), "%s/%s", service, environment);
    memcpy(scope->service, service, sizeof(service));
    memcpy(scope->environment, environment, sizeof(environment));
    scope->validate_timeout_ms = scope->reload_timeout_ms = TIMEOUT_PRESET_MS;
    scope->check_timeout_ms = TIMEOUT_PRESET_MS;
    scope->check_interval_ms = 5000;
    scope->check_grace_ms = 2000;
    scope->check_attempts = 5;
    scope->consumers_timeout_ms = TIMEOUT_PRESET_MS;
    scope->drift_interval_ms = 30000;
    scope->poll_ms = 60000;
    *out = s->scopes[s->scope_count++] = scope;
    return 0;
}

void scope_settings_free(struct agent_scope *scope)
{
    file_settings_free(scope);
    free(scope->validate);
    free(scope->reload);
    free(scope->check);
    user_free(scope->run_as);
    environment_fini(&scope->environment_words);
    free(scope->allow_variables);
    free(scope);
}

static int set_text(char **field, const char *value, struct err *e)
{
    if (*field)
        return err_set(e, ERR_INVALID, "it is set twice; join commands with &&, names with blanks, "
                       "in one line");
    if (!*value)
        return err_set(e, ERR_INVALID, "it is empty; leave the line out instead");
    *field = strdup(value);
    MUST(*field);
    return 0;
}

static int set_duration(int64_t *field, const char *value, int64_t least, struct err *e)
{
    int64_t ms;

    if (duration_parse(value, &ms, e))
        return -1;
    if (ms < least || ms > DAY_MS)
        return err_set(e, ERR_INVALID, "\"%s\" is out of range: %lldms to 24h", value,
                       (long long)least);
    *field = ms;
    return 0;
}

static int set_number(int64_t *field, const char *value, int64_t least, int64_t most,
                      struct err *e)
{
    char *end;
    long long n = strtoll(value, &end, 10);

    if (end == value || *end || n < least || n > most)
        return err_set(e, ERR_INVALID, "\"%s\" is not a number from %lld to %lld", value,
                       (long long)least, (long long)most);
    *field = n;
    return 0;
}

static int set_user(struct user **field, const char *value, struct err *e)
{
    if (*field)
        return err_set(e, ERR_INVALID, "it is set twice; the commands of a scope have one user");
    return user_find(value, field, e);
}

static int set_readers_group(struct agent_scope *scope, const char *value, struct err *e)
{
    const struct group *group = getgrnam(value);

    if (!group)
        return err_set(e, ERR_INVALID, "there is no group \"%s\" here; create it, or name another",
                       value);
    scope->has_readers_group = true;
    scope->readers_group = group->gr_gid;
    return 0;
}

static int add_consumer_user(struct agent_scope *scope, const char *word, struct err *e)
{
    bool is_number = word[strspn(word, "0123456789")] == '\0' && strlen(word) <= 9;
    const struct passwd *user = is_number ? NULL : getpwnam(word);

    if (!is_number && !user)
        return err_set(e, ERR_INVALID, "there is no user \"%.100s\" here; create it, or name "
                       "another, or its number", word);
    if (scope->consumer_user_count == AGENT_CONSUMER_USERS_MAX)
        return err_set(e, ERR_INVALID, "at most %d users may be named", AGENT_CONSUMER_USERS_MAX);
    scope->consumer_users[scope->consumer_user_count++] =
        user ? user->pw_uid : (uid_t)strtoul(word, NULL, 10);
    return 0;
}

/* Names and numbers, with blanks or commas between them. */
static int set_consumer_users(struct agent_scope *scope, const char *value, struct err *e)
{
    char *words = strdup(value), *rest = NULL;
    int rc = 0;

    MUST(words);
    for (char *w = strtok_r(words, " \t,", &rest); w && rc == 0; w = strtok_r(NULL, " \t,", &rest))
        rc = add_consumer_user(scope, w, e);
    free(words);
    return rc;
}

/* all, none, 3, 50% */
static int set_consumers(struct agent_scope *scope, const char *value, struct err *e)
{
    bool is_percent = *value && value[strlen(value) - 1] == '%';
    unsigned long amount;
    char *end;

    scope->consumers_rule = AGENT_CONSUMERS_ALL;
    if (strcmp(value, "all") == 0)
        return 0;
    scope->consumers_rule = AGENT_CONSUMERS_NONE;
    if (strcmp(value, "none") == 0)
        return 0;
    amount = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || strcmp(end, is_percent ? "%" : "") != 0 ||
        amount < 1 || amount > (is_percent ? 100 : AGENT_CONSUMERS_MAX))
        return err_set(e, ERR_INVALID, "\"%s\" is none of all, none, a number from 1 to %d, and a "
                       "percentage like 50%%", value, AGENT_CONSUMERS_MAX);
    scope->consumers_rule = is_percent ? AGENT_CONSUMERS_PERCENT : AGENT_CONSUMERS_COUNT;
    scope->consumers_amount = (unsigned)amount;
    return 0;
}

static int set_drift(bool *field, const char *value, struct err *e)
{
    *field = strcmp(value, "repair") == 0;
    if (*field || strcmp(value, "report") == 0)
        return 0;
    return err_set(e, ERR_INVALID, "\"%s\" is neither report nor repair", value);
}

/* Keys that may be repeated are also written with a dot and something behind it: file.2. */
enum scope_key_type {
    KEY_FILE,
    KEY_DOCUMENT,
    KEY_GROUP,
    KEY_ENVIRONMENT,
    KEY_COMMAND,
    KEY_DURATION,
    KEY_NUMBER,
    KEY_USER,
    KEY_VARIABLES,
    KEY_READERS_GROUP,
    KEY_CONSUMERS,
    KEY_CONSUMER_USERS,
    KEY_DRIFT,
    KEY_PACE, /* a duration, or 0: never */
};

#define FIELD(name) offsetof(struct agent_scope, name)
static const struct scope_key {
    const char *name;
    enum scope_key_type type;
    size_t offset;
    int64_t least, most;
} keys[] = {
    { "file", KEY_FILE, 0, 0, 0 },
    { "document", KEY_DOCUMENT, 0, 0, 0 },
    { "group", KEY_GROUP, 0, 0, 0 },
    { "validate", KEY_COMMAND, FIELD(validate), 0, 0 },
    { "reload", KEY_COMMAND, FIELD(reload), 0, 0 },
    { "check", KEY_COMMAND, FIELD(check), 0, 0 },
    { "environment", KEY_ENVIRONMENT, 0, 0, 0 },
    { "run_as", KEY_USER, FIELD(run_as), 0, 0 },
    { "allow_variables", KEY_VARIABLES, FIELD(allow_variables), 0, 0 },
    { "validate_timeout", KEY_DURATION, FIELD(validate_timeout_ms), 1, 0 },
    { "reload_timeout", KEY_DURATION, FIELD(reload_timeout_ms), 1, 0 },
    { "check_timeout", KEY_DURATION, FIELD(check_timeout_ms), 1, 0 },
    { "check_interval", KEY_DURATION, FIELD(check_interval_ms), 0, 0 },
    { "check_grace", KEY_DURATION, FIELD(check_grace_ms), 0, 0 },
    { "check_attempts", KEY_NUMBER, FIELD(check_attempts), 1, 1000 },
    { "backup", KEY_NUMBER, FIELD(backup_count), 0, 1000 },
    { "readers_group", KEY_READERS_GROUP, 0, 0, 0 },
    { "consumers", KEY_CONSUMERS, 0, 0, 0 },
    { "consumer_users", KEY_CONSUMER_USERS, 0, 0, 0 },
    { "consumers_timeout", KEY_DURATION, FIELD(consumers_timeout_ms), 1, 0 },
    { "drift", KEY_DRIFT, FIELD(is_drift_repaired), 0, 0 },
    { "drift_interval", KEY_PACE, FIELD(drift_interval_ms), 100, 0 },
    { "poll", KEY_PACE, FIELD(poll_ms), 100, 0 },
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

const char *scope_settings_name(size_t index)
{
    return index < KEY_COUNT ? keys[index].name : NULL;
}

static const struct scope_key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t size = strlen(keys[i].name);

        if (strcmp(name, keys[i].name) == 0 ||
            (keys[i].type <= KEY_ENVIRONMENT && strncmp(name, keys[i].name, size) == 0 &&
             name[size] == '.'))
            return &keys[i];
    }
    return NULL;
}

static int unknown_key(struct err *e)
{
    char names[500];
    size_t n = 0;

    for (size_t i = 0; i < KEY_COUNT; i++)
        n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", keys[i].name);
    MUST(n < sizeof(names));
    return err_set(e, ERR_NOT_FOUND, "unknown key: a scope has %s", names);
}

static int set_key(const struct agent_settings *s, struct agent_scope *scope,
                   const struct scope_key *key, const char *value, struct err *e)
{
    void *field = (char *)scope + key->offset;

    switch (key->type) {
    case KEY_FILE:
        return file_settings_add(s, scope, value, e);
    case KEY_DOCUMENT:
        return file_settings_add_document(s, scope, value, e);
    case KEY_GROUP:
        return file_settings_add_group(s, scope, value, e);
    case KEY_ENVIRONMENT:
        return environment_add(&scope->environment_words, value, e);
    case KEY_COMMAND:
        return set_text(field, value, e);
    case KEY_DURATION:
        return set_duration(field, value, key->least, e);
    case KEY_NUMBER:
        return set_number(field, value, key->least, key->most, e);
    case KEY_USER:
        return set_user(field, value, e);
    case KEY_VARIABLES:
        return variable_check_list(value, e) ? -1 : set_text(field, value, e);
    case KEY_READERS_GROUP:
        return set_readers_group(scope, value, e);
    case KEY_CONSUMERS:
        return set_consumers(scope, value, e);
    case KEY_CONSUMER_USERS:
        return set_consumer_users(scope, value, e);
    case KEY_DRIFT:
        return set_drift(field, value, e);
    case KEY_PACE:
        *(int64_t *)field = 0;
        return strcmp(value, "0") == 0 ? 0 : set_duration(field, value, key->least, e);
    }
    return 0;
}

int scope_settings_key(const struct agent_settings *s, struct agent_scope *scope, const char *key,
                       const char *value, struct err *e)
{
    const struct scope_key *known = find_key(key);

    if (!known ? unknown_key(e) : set_key(s, scope, known, value, e))
        return err_wrap(e, "[scope %s] %s", scope->name, key);
    return 0;
}

/* The folder of {dir} lies where only the agent may go. */
static int check_run_as(const struct agent_scope *scope, struct err *e)
{
    if (scope->run_as && scope->run_as->uid != 0 && scope->validate &&
        strstr(scope->validate, "{dir}"))
        return err_set(e, ERR_INVALID, "[scope %s] validate: {dir} lies in the state_dir, where "
                       "the user of run_as may not go; name the candidates themselves: {file}, "
                       "{KEY}, {group}", scope->name);
    return 0;
}

int scope_settings_check(const struct agent_scope *scope, struct err *e)
{
    return file_settings_check(scope, e) || check_run_as(scope, e) ? -1 : 0;
}

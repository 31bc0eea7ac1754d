/* scope_settings.h - one [scope SERVICE/ENVIRONMENT] section: its files, commands and time limits. */
#ifndef AGENT_SCOPE_SETTINGS_H
#define AGENT_SCOPE_SETTINGS_H

#include "agent/settings.h"
#include "common/err.h"

/* The scope called `name`, made when it is not there yet. */
int scope_settings_open(struct agent_settings *s, const char *name, struct agent_scope **out,
                        struct err *e) __attribute__((warn_unused_result));
int scope_settings_key(struct agent_scope *scope, const char *key, const char *value,
                       struct err *e) __attribute__((warn_unused_result));
/* Once everything was read: what contradicts itself within the scope or between scopes. */
int scope_settings_check(const struct agent_settings *s, unsigned index, struct err *e)
    __attribute__((warn_unused_result));
void scope_settings_free(struct agent_scope *scope);

/* Absolute, and of characters that mean nothing to a shell: such paths stand in command texts. */
int scope_settings_check_path(const char *what, const char *path, struct err *e)
    __attribute__((warn_unused_result));

#endif

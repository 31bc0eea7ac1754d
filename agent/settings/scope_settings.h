/* scope_settings.h - one [scope SERVICE/ENVIRONMENT] section: its files, commands and time limits. */
#ifndef AGENT_SETTINGS_SCOPE_SETTINGS_H
#define AGENT_SETTINGS_SCOPE_SETTINGS_H

#include "agent/settings/settings.h"
#include "common/err.h"

/* The scope called `name`, made when it is not there yet. */
int scope_settings_open(struct agent_settings *s, const char *name, struct agent_scope **out,
                        struct err *e) __attribute__((warn_unused_result));
int scope_settings_key(const struct agent_settings *s, struct agent_scope *scope, const char *key,
                       const char *value, struct err *e) __attribute__((warn_unused_result));
/* Once everything was read: what contradicts itself within the scope. */
int scope_settings_check(const struct agent_scope *scope, struct err *e)
    __attribute__((warn_unused_result));
void scope_settings_free(struct agent_scope *scope);

/* The keys there are; NULL at the end. */
const char *scope_settings_name(size_t index);

#endif

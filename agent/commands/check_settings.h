/* check_settings.h - the command check-settings: what is wrong with the settings, and what looks so. */
#ifndef AGENT_COMMANDS_CHECK_SETTINGS_H
#define AGENT_COMMANDS_CHECK_SETTINGS_H

#include "agent/settings/settings.h"
#include "common/settings.h"

/* The exit status: 0 when the agent can run with them, whatever it is warned of. */
int check_settings(const char *path);

/* What is allowed and most likely a mistake: a sentence each. */
void check_settings_doubts(const struct agent_settings *s, struct settings_report *out);

#endif

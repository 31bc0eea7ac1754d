/* check_settings.h - the command check-settings: would lockstepd start with these settings? */
#ifndef COORDINATOR_COMMANDS_CHECK_SETTINGS_H
#define COORDINATOR_COMMANDS_CHECK_SETTINGS_H

/* Judges what can be judged without a database, a free port or a Vault, and without making a file.
 * `source`: where the settings come from, for people; `path`: the file, NULL: none. Says on
 * standard error everything that is wrong, a line each, with its line in the file, or on standard
 * output that all is fine. Returns the exit code: 0 or 1. */
int check_settings_command(const char *path, const char *source);

#endif

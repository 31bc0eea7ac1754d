/* secrets.h - the section [secrets] of the settings: its keyring, and two commands for operators. */
#ifndef COORDINATOR_COMMANDS_SECRETS_H
#define COORDINATOR_COMMANDS_SECRETS_H

#include "common/err.h"

struct coordinator_settings;
struct keyring;

/* The keyring that the settings describe. -1 only for wrong settings: a key-encryption key that is
 * gone shows at the first use, or in keyring_check. Before threads start. */
int secrets_open(const struct coordinator_settings *s, struct keyring **out, struct err *e)
    __attribute__((warn_unused_result));

/* `lockstepd check-secrets`: is the key-encryption key there, and does it work? Returns the exit
 * code, and says on standard output or standard error what it found. */
int secrets_check_command(const struct coordinator_settings *s);

/* `lockstepd new-secret-key`: makes the key file, or a newest key in the one that is there. */
int secrets_new_key_command(const struct coordinator_settings *s);

#endif

/* help.h - what help says: the overview, a noun, a command. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "coordinator/cli/command.h"

void help_overview(struct buffer *out, const struct command *table, size_t count, bool is_bold);
void help_noun(struct buffer *out, const struct command *table, size_t count, const char *noun,
               bool is_bold);
void help_command(struct buffer *out, const struct command *command, bool is_bold);
void help_exit_codes(struct buffer *out, bool is_bold);
void help_contexts(struct buffer *out, bool is_bold); /* as context.h looks for them */

#endif

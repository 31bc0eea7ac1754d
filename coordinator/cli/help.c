/* help.c - help, written from the command table so that it cannot lag behind. */
#include "coordinator/cli/help.h"

#include <string.h>

#define OPTION_WIDTH 28

static void title(struct buffer *out, const char *text, bool is_bold)
{
    buffer_printf(out, is_bold ? "\x1b[1m%s\x1b[0m\n" : "%s\n", text);
}

static void command_line_of(struct buffer *out, const struct command *c)
{
    buffer_printf(out, "%s%s%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
                  *c->args ? " " : "", c->args);
}

static void list_options(struct buffer *out, const struct command_option *options)
{
    for (const struct command_option *o = options; o && o->name; o++) {
        SCOPED_BUFFER struct buffer b = { 0 };

        if (!o->help)
            continue;
        if (o->letter)
            buffer_printf(&b, "-%c, ", o->letter);
        buffer_printf(&b, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        if (b.size > OPTION_WIDTH)
            buffer_printf(out, "  %s\n  %-*s  %s\n", b.data, OPTION_WIDTH, "", o->help);
        else
            buffer_printf(out, "  %-*s  %s\n", OPTION_WIDTH, b.data, o->help);
    }
}

static bool is_first_of_noun(const struct command *table, size_t i)
{
    return i == 0 || strcmp(table[i].noun, table[i - 1].noun) != 0;
}

static void list_verbs(struct buffer *out, const struct command *table, size_t count,
                       const char *noun)
{
    size_t widest = 0;

    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].noun, noun) == 0 && table[i].verb && strlen(table[i].verb) > widest)
            widest = strlen(table[i].verb);
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].noun, noun) == 0)
            buffer_printf(out, "  %-*s  %s\n", (int)widest, table[i].verb ? table[i].verb : "",
                          table[i].summary);
}

void help_overview(struct buffer *out, const struct command *table, size_t count, bool is_bold)
{
    buffer_add_text(out, "lockstep changes the configuration of running servers, stage by stage, "
                         "and takes it\nback when they say no.\n\n");
    title(out, "Usage", is_bold);
    buffer_add_text(out, "  lockstep NOUN VERB [ARGUMENTS] [OPTIONS]\n\n");
    title(out, "First steps", is_bold);
    buffer_add_text(out,
                    "  lockstep dev                                   everything on this machine, "
                    "to play with\n"
                    "  lockstep config set demo/prod greeting=hello   write a change (a draft)\n"
                    "  lockstep rollout start demo/prod --wait        bring it to the servers\n"
                    "  lockstep rollout watch demo/prod               see it happen\n\n");
    title(out, "Commands", is_bold);
    for (size_t i = 0; i < count; i++) {
        if (!is_first_of_noun(table, i))
            continue;
        if (!table[i].verb) {
            buffer_printf(out, "  %-12s %s\n", table[i].noun, table[i].summary);
            continue;
        }
        buffer_printf(out, "  %-12s ", table[i].noun);
        size_t column = 15;
        for (size_t j = i; j < count && strcmp(table[j].noun, table[i].noun) == 0; j++) {
            size_t width = strlen(table[j].verb) + 1;

            if (column + width > 78) {
                buffer_printf(out, "\n  %-12s ", "");
                column = 15;
            }
            buffer_printf(out, "%s ", table[j].verb);
            column += width;
        }
        out->data[--out->size] = 0;
        buffer_add_text(out, "\n");
    }
    buffer_add_text(out, "\n");
    title(out, "Options of every command", is_bold);
    list_options(out, command_globals);
    buffer_add_text(out, "\n`lockstep help NOUN [VERB]` says more, with examples; "
                         "`lockstep help exit-codes` what\nscripts may rely on.\n");
}

void help_noun(struct buffer *out, const struct command *table, size_t count, const char *noun,
               bool is_bold)
{
    title(out, "Usage", is_bold);
    buffer_printf(out, "  lockstep %s VERB [ARGUMENTS] [OPTIONS]\n\n", noun);
    title(out, "Verbs", is_bold);
    list_verbs(out, table, count, noun);
    buffer_printf(out, "\n`lockstep help %s VERB` says more, with examples.\n", noun);
}

void help_command(struct buffer *out, const struct command *c, bool is_bold)
{
    title(out, "Usage", is_bold);
    buffer_add_text(out, "  lockstep ");
    command_line_of(out, c);
    buffer_printf(out, "%s\n\n%s.\n", c->options ? " [OPTIONS]" : "", c->summary);
    if (c->details)
        buffer_printf(out, "\n%s\n", c->details);
    if (c->options && c->options->name) {
        buffer_add_text(out, "\n");
        title(out, "Options", is_bold);
        list_options(out, c->options);
    }
    if (c->examples) {
        buffer_add_text(out, "\n");
        title(out, "Examples", is_bold);
        buffer_printf(out, "%s\n", c->examples);
    }
    buffer_add_text(out, "\nOptions of every command: `lockstep help`.\n");
}

void help_exit_codes(struct buffer *out, bool is_bold)
{
    title(out, "Exit codes", is_bold);
    buffer_add_text(
        out,
        "    0  done; as asked\n"
        "    1  differences found (config diff, --plan), or any error not below\n"
        "    2  usage: the command line was not understood, or lacks the -y that nobody can be\n"
        "       asked for\n"
        "    3  not found\n"
        "    4  conflict: someone was first, the scope is busy, not the time for it\n"
        "    5  not permitted: no token, a wrong one, or a right is missing\n"
        "    6  a started rollout ended badly: refused in PREPARE, aborted, rolled back, failed\n"
        "    7  validation failed before anything started\n"
        "    8  needs a person: waits for approval, is paused or held (with --wait)\n"
        "    9  a comparing command could not compare (what would be 1 elsewhere)\n"
        "  124  the time given with --timeout was over; the rollout goes on\n"
        "  130  interrupted; the rollout goes on\n\n"
        "`rollout rollback --wait` that ends rolled back is 0: that was asked for.\n");
}

void help_contexts(struct buffer *out, bool is_bold)
{
    title(out, "Contexts", is_bold);
    buffer_add_text(
        out,
        "  A context says which coordinator to speak to, and with which token. It is a section of\n"
        "  ~/.config/lockstep/contexts.ini (or the file that LOCKSTEP_CONFIG names):\n\n"
        "    [staging]\n"
        "    addr = https://one.staging.example:7780, https://two.staging.example:7780\n"
        "    token_file = /home/me/.config/lockstep/staging.token\n"
        "    ca_file = /home/me/.config/lockstep/staging-ca.pem\n\n"
        "  or a folder that `lockstep dev` made. The first that is found is taken:\n\n"
        "    --addr and --token-file\n"
        "    --context NAME, or --context FOLDER\n"
        "    LOCKSTEP_ADDR and LOCKSTEP_TOKEN\n"
        "    LOCKSTEP_CONTEXT\n"
        "    ./.lockstep/context, which `lockstep dev` leaves in its folder\n"
        "    what `lockstep context use NAME` chose (`lockstep context list` shows all)\n"
        "    the section [default]\n"
        "    http://127.0.0.1:7780\n\n"
        "  Several coordinators of one cluster stand with commas between them: the first that\n"
        "  answers is spoken to.\n\n"
        "  The token of a context goes to the address of that context alone, unless the context\n"
        "  was named on the command line. The file and those it names are for you alone: mode\n"
        "  0600.\n");
}

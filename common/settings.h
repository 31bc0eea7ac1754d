/* settings.h - INI settings files through inih: a table of known keys, file:line on every error.
 *
 * Every key is also an environment variable LOCKSTEP_SECTION_KEY (upper case, '-' and '.' become
 * '_'), which wins over the file; a key marked secret also LOCKSTEP_SECTION_KEY_FILE. Unknown
 * sections and keys are errors, and so are a key set twice and a section without keys. Sections
 * with a name behind the word ("[scope payments/prod]") are handed to the program with that name,
 * and need no keys.
 *
 * A value is the rest of its line without the blanks around it: commands contain ';' and '#', so a
 * comment has a line of its own, which begins with one of the two. No quoting, no continuation
 * lines. Lines have at most 8000 bytes. Call before threads start: inih keeps its options in
 * global variables.
 */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/err.h"

#define SETTINGS_KEYS_MAX 64

enum settings_type {
    SETTINGS_TEXT,     /* char *, malloc'ed */
    SETTINGS_NUMBER,   /* int64_t */
    SETTINGS_BOOLEAN,  /* bool: true/false yes/no on/off 1/0 */
    SETTINGS_DURATION, /* int64_t milliseconds */
};

struct settings_key {
    const char *section, *key;
    enum settings_type type;
    size_t offset;    /* of the field in the program's struct */
    const char *preset; /* default as written, NULL: unset (NULL text, 0) */
    int64_t least, most; /* NUMBER and DURATION; both 0: no limits */
    bool is_secret;     /* never shown in errors; _FILE variable allowed */
};

/* Called for every key of a section that the table does not know; name is what follows the first
 * word of the section, "" when nothing does. key and value are NULL for a section with a name and
 * without keys. Return 0, or -1 with the reason (file:line is put in
 * front). */
typedef int settings_section_fn(void *into, const char *section, const char *name, const char *key,
                                const char *value, struct err *e);

/* Whatever `into` had before is overwritten unread; on -1 its texts are NULL. A secret in a file
 * named by …_FILE is that file's first line.
 *
 * Fill `into` from the presets, then `path` (NULL: none), then the environment. `other` may be
 * NULL: then named sections are errors too. */
int settings_load(const char *path, const struct settings_key *keys, size_t key_count, void *into,
                  settings_section_fn *other, struct err *e) __attribute__((warn_unused_result));

/* All that is wrong, in the order of the file: what follows from a mistake alone (the keys of a
 * section that nobody knows) is left out. */
struct settings_report {
    struct buffer mistakes; /* a line each, the first hundred */
    unsigned count;         /* of all of them */
    int lines[SETTINGS_KEYS_MAX]; /* where each key of the table stands; 0: not in the file */
};

/* The same as settings_load, and goes on after a mistake, whose key keeps its preset: the number of
 * mistakes. Whatever it is, `into` is to be released. */
unsigned settings_judge(const char *path, const struct settings_key *keys, size_t key_count,
                        void *into, settings_section_fn *other, struct settings_report *out);
void settings_report_add(struct settings_report *r, const char *sentence);
/* On standard error, a line each, behind the program's name. */
void settings_report_tell(const struct settings_report *r, const char *program);
void settings_report_fini(struct settings_report *r);

/* Release the malloc'ed texts of `into`. */
void settings_fini(const struct settings_key *keys, size_t key_count, void *into);

#endif

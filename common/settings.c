/* settings.c - INI settings files: presets, then the file, then the environment. */
#include "common/settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/duration.h"
#include "common/invariant.h"
#include "common/name.h"

#define FILE_MAX (1u << 20)
#define SECRET_FILE_MAX 65536
#define LINE_SIZE 8192
#define MISTAKES_MAX 100
#define VARIABLE_SIZE 160

/* inih cuts section names at 49 bytes and does not tell line numbers, so the reader that feeds it
 * line by line keeps both. */
struct source {
    const char *path, *at;
    int line, section_line;
    char section[LINE_SIZE];
    bool is_section_empty;
    bool is_lost; /* what the keys below are about was a mistake itself: they are not judged */
    const struct settings_key *keys;
    size_t key_count;
    void *into;
    settings_section_fn *other;
    struct err *e; /* the mistake that is being told */
    char told[sizeof(((struct err *)0)->text)]; /* of the keys of this section: once is enough */
    struct settings_report *report;
};

static void *field_of(const struct settings_key *key, void *into)
{
    return (char *)into + key->offset;
}

static int parse_number(const char *text, int64_t *out, struct err *e)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    if (end == text || *end || errno || isspace((unsigned char)*text))
        return err_set(e, ERR_INVALID, "\"%.60s\" is not a whole number", text);
    return 0;
}

static int parse_boolean(const char *text, bool *out, struct err *e)
{
    static const char *const words[][2] = {
        { "false", "true" }, { "no", "yes" }, { "off", "on" }, { "0", "1" }
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i][0]) && strcmp(text, words[i][1]))
            continue;
        *out = !strcmp(text, words[i][1]);
        return 0;
    }
    return err_set(e, ERR_INVALID, "\"%.60s\" is neither true nor false", text);
}

static int check_limits(const struct settings_key *key, int64_t value, struct err *e)
{
    char least[32], most[32];

    if ((!key->least && !key->most) || (value >= key->least && value <= key->most))
        return 0;
    if (key->type == SETTINGS_DURATION) {
        duration_format(key->least, least);
        duration_format(key->most, most);
    } else {
        snprintf(least, sizeof(least), "%lld", (long long)key->least);
        snprintf(most, sizeof(most), "%lld", (long long)key->most);
    }
    return err_set(e, ERR_INVALID, "it must be %s to %s", least, most);
}

static void release(const struct settings_key *key, char **field)
{
    if (*field && key->is_secret)
        explicit_bzero(*field, strlen(*field));
    free(*field);
    *field = NULL;
}

static int set_field(const struct settings_key *key, void *into, const char *text, struct err *e)
{
    void *field = field_of(key, into);
    int64_t number = 0;
    int result = 0;

    switch (key->type) {
    case SETTINGS_TEXT:
        release(key, field);
        *(char **)field = strdup(text);
        MUST(*(char **)field);
        return 0;
    case SETTINGS_BOOLEAN:
        result = parse_boolean(text, field, e);
        break;
    case SETTINGS_NUMBER:
        result = parse_number(text, &number, e) || check_limits(key, number, e);
        break;
    case SETTINGS_DURATION:
        result = duration_parse(text, &number, e) || check_limits(key, number, e);
        break;
    }
    if (result && key->is_secret)
        return err_set(e, ERR_INVALID, "the value does not fit");
    if (result)
        return -1;
    if (key->type != SETTINGS_BOOLEAN)
        *(int64_t *)field = number;
    return 0;
}

static void set_presets(const struct settings_key *keys, size_t key_count, void *into)
{
    struct err e;

    for (size_t i = 0; i < key_count; i++) {
        void *field = field_of(&keys[i], into);

        if (keys[i].type == SETTINGS_TEXT)
            *(char **)field = NULL;
        else if (keys[i].type == SETTINGS_BOOLEAN)
            *(bool *)field = false;
        else
            *(int64_t *)field = 0;
        MUST(!keys[i].preset || set_field(&keys[i], into, keys[i].preset, &e) == 0);
    }
}

void settings_report_add(struct settings_report *r, const char *sentence)
{
    if (r->count++ < MISTAKES_MAX)
        buffer_printf(&r->mistakes, "%s\n", sentence);
}

void settings_report_tell(const struct settings_report *r, const char *program)
{
    unsigned lines = 0;

    for (const char *at = r->mistakes.data; at && *at; at += strcspn(at, "\n") + 1) {
        fprintf(stderr, "%s: %.*s\n", program, (int)strcspn(at, "\n"), at);
        lines++;
    }
    if (lines < r->count)
        fprintf(stderr, "%s: and %u mistakes more\n", program, r->count - lines);
}

void settings_report_fini(struct settings_report *r)
{
    buffer_fini(&r->mistakes);
}

/* A section with a mistake in it is not empty. */
static int note(struct source *s)
{
    s->is_section_empty = false;
    settings_report_add(s->report, s->e->text);
    return -1;
}

/* Fail with file:line in front of the sentence. */
static int fail(struct source *s, int line, const char *sentence)
{
    err_set(s->e, ERR_INVALID, "%s:%d: %s", s->path, line, sentence);
    return note(s);
}

static bool is_known_section(const struct source *s)
{
    for (size_t i = 0; i < s->key_count; i++)
        if (!strcmp(s->keys[i].section, s->section))
            return true;
    return false;
}

static int unknown_key(struct source *s, const char *name)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    const char *between = "";

    buffer_printf(&text, "unknown key \"%.60s\" in [%.60s]; known are ", name, s->section);
    for (size_t i = 0; i < s->key_count; i++) {
        if (strcmp(s->keys[i].section, s->section))
            continue;
        buffer_printf(&text, "%s%s", between, s->keys[i].key);
        between = ", ";
    }
    return fail(s, s->line, text.data);
}

static int set_before(struct source *s, const char *name, int line)
{
    char sentence[160];

    snprintf(sentence, sizeof(sentence), "[%.60s] %.60s was set before, in line %d", s->section,
             name, line);
    return fail(s, s->line, sentence);
}

static int known_section(struct source *s, const char *name, const char *value)
{
    size_t i = 0;

    while (i < s->key_count &&
           (strcmp(s->keys[i].section, s->section) || strcmp(s->keys[i].key, name)))
        i++;
    if (i == s->key_count)
        return unknown_key(s, name);
    if (s->report->lines[i])
        return set_before(s, name, s->report->lines[i]);
    s->report->lines[i] = s->line;
    if (set_field(&s->keys[i], s->into, value, s->e) == 0)
        return 0;
    err_wrap(s->e, "%s:%d: [%s] %s", s->path, s->line, s->section, name);
    return note(s);
}

static int other_section(struct source *s, const char *name, const char *value)
{
    char word[LINE_SIZE];
    const char *rest = s->section + strcspn(s->section, " \t");
    size_t size = (size_t)(rest - s->section);

    memcpy(word, s->section, size);
    word[size] = '\0';
    rest += strspn(rest, " \t");
    if (s->other(s->into, word, rest, name, value, s->e) == 0)
        return 0;
    if (strcmp(s->told, s->e->text) == 0)
        return -1;
    snprintf(s->told, sizeof(s->told), "%s", s->e->text);
    err_wrap(s->e, "%s:%d", s->path, s->line);
    return note(s);
}

static int take_key(struct source *s, const char *name, const char *value)
{
    char sentence[160];

    s->is_section_empty = false;
    if (s->is_lost)
        return 0;
    if (is_known_section(s))
        return known_section(s, name, value);
    if (s->other && s->section[0])
        return other_section(s, name, value);
    s->is_lost = true;
    if (!s->section[0])
        return fail(s, s->line, "a key stands before the first [section]");
    snprintf(sentence, sizeof(sentence), "unknown section [%.100s]", s->section);
    return fail(s, s->line, sentence);
}

/* inih's handler: nonzero is success there. Mistakes are noted, and the next key is looked at. */
static int on_key(void *ctx, const char *section, const char *name, const char *value)
{
    (void)section;
    (void)take_key(ctx, name, value);
    return 1;
}

/* A section without keys would be dropped in silence, and with it a scope somebody counts on. One
 * with a name behind its word says something by being there. */
static void leave_section(struct source *s)
{
    char sentence[160];
    int line = s->line;

    if (!s->is_section_empty)
        return;
    if (s->other && s->section[strcspn(s->section, " \t")]) {
        s->line = s->section_line;
        (void)other_section(s, NULL, NULL);
        s->line = line;
        return;
    }
    snprintf(sentence, sizeof(sentence), "[%.100s] has no keys: give it one, or take it out",
             s->section);
    fail(s, s->section_line, sentence);
}

static int enter_section(struct source *s, const char *line, size_t size)
{
    const char *end = memchr(line, ']', size);
    size_t length;

    leave_section(s);
    s->is_lost = true;
    if (!end)
        return fail(s, s->line, "the section's ] is missing");
    if (end + 1 != line + size)
        return fail(s, s->line, "something stands behind the section's ]");
    line++;
    while (line < end && isspace((unsigned char)*line))
        line++;
    while (end > line && isspace((unsigned char)end[-1]))
        end--;
    length = (size_t)(end - line);
    if (length == 0)
        return fail(s, s->line, "the section has no name");
    memcpy(s->section, line, length);
    s->section[length] = '\0';
    s->section_line = s->line;
    s->is_section_empty = true;
    s->is_lost = false;
    s->told[0] = '\0';
    return 0;
}

static int check_line(struct source *s, const char *line, size_t size)
{
    const char *equals;

    if (size + 3 > LINE_SIZE)
        return fail(s, s->line, "the line is longer than 8000 bytes");
    if (!name_is_utf8(line, size))
        return fail(s, s->line, "the line is not UTF-8 text");
    while (size > 0 && isspace((unsigned char)line[size - 1]))
        size--;
    while (size > 0 && isspace((unsigned char)*line)) {
        line++;
        size--;
    }
    if (size == 0 || *line == ';' || *line == '#')
        return 0;
    if (*line == '[')
        return enter_section(s, line, size);
    /* inih would take a colon for the '=' as well, and so cut keys and values elsewhere. */
    equals = memchr(line, '=', size);
    if (!equals || equals == line || memchr(line, ':', (size_t)(equals - line)))
        return fail(s, s->line, "this is neither KEY = VALUE, nor a [section], nor a comment");
    return 0;
}

/* inih's reader: one line into `out`, an empty one instead of a mistake; NULL at the end. */
static char *next_line(char *out, int room, void *ctx)
{
    struct source *s = ctx;
    const char *end = s->at + strcspn(s->at, "\n");
    size_t size = (size_t)(end - s->at);

    if (!*s->at)
        return NULL;
    s->line++;
    if (check_line(s, s->at, size))
        size = 0;
    MUST(size < (size_t)room);
    memcpy(out, s->at, size);
    out[size] = '\0';
    s->at = *end ? end + 1 : end;
    return out;
}

static void parse(struct source *s, const char *text)
{
    int line;

    /* A value goes to the end of its line: commands contain ';' and '#'. */
    ini_allow_inline_comments = false;
    ini_allow_multiline = false;
    ini_allow_bom = false;
    ini_allow_no_value = false;
    ini_stop_on_first_error = true;
    ini_use_stack = false;
    ini_max_line = LINE_SIZE;
    ini_initial_alloc = LINE_SIZE;
    s->at = strncmp(text, "\xEF\xBB\xBF", 3) ? text : text + 3;
    line = ini_parse_stream(next_line, s, on_key, s);
    MUST(line == 0); /* the reader lets no line pass that inih would not take */
    leave_section(s);
}

static int read_text(const char *path, struct buffer *text, struct err *e)
{
    if (buffer_read_file(text, path, FILE_MAX, e))
        return err_wrap(e, "settings");
    buffer_add(text, "", 0);
    if (strlen(text->data) != text->size)
        return err_set(e, ERR_INVALID, "%s: the file has zero bytes: it is not text", path);
    return 0;
}

static void load_file(const char *path, const struct settings_key *keys, size_t key_count,
                      void *into, settings_section_fn *other, struct settings_report *report)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    struct err e;
    struct source s = { .path = path, .keys = keys, .key_count = key_count, .into = into,
                        .other = other, .e = &e, .report = report };

    if (read_text(path, &text, &e)) {
        settings_report_add(report, e.text);
        return;
    }
    parse(&s, text.data);
}

static void variable_name(const struct settings_key *key, const char *suffix,
                          char out[VARIABLE_SIZE])
{
    int n = snprintf(out, VARIABLE_SIZE, "LOCKSTEP_%s%s%s%s", key->section,
                     key->section[0] ? "_" : "", key->key, suffix);

    MUST(n > 0 && n < VARIABLE_SIZE);
    for (char *c = out; *c; c++)
        *c = *c == '-' || *c == '.' ? '_' : (char)toupper((unsigned char)*c);
}

static int set_from_secret_file(const struct settings_key *key, void *into, const char *variable,
                                const char *path, struct err *e)
{
    SCOPED_BUFFER struct buffer text = { 0 };
    int result;

    if (buffer_read_file(&text, path, SECRET_FILE_MAX, e))
        return err_wrap(e, "%s", variable);
    buffer_add(&text, "", 0);
    text.data[strcspn(text.data, "\r\n")] = '\0';
    result = set_field(key, into, text.data, e) ? err_wrap(e, "%s", variable) : 0;
    explicit_bzero(text.data, text.size);
    return result;
}

static int set_from_environment(const struct settings_key *key, void *into, struct err *e)
{
    char name[VARIABLE_SIZE], file_name[VARIABLE_SIZE];
    const char *value, *path;

    variable_name(key, "", name);
    variable_name(key, "_FILE", file_name);
    value = getenv(name);
    path = key->is_secret ? getenv(file_name) : NULL;
    if (value && path)
        return err_set(e, ERR_INVALID, "%s and %s are both set: keep one", name, file_name);
    if (path)
        return set_from_secret_file(key, into, file_name, path, e);
    if (value && set_field(key, into, value, e))
        return err_wrap(e, "%s", name);
    return 0;
}

unsigned settings_judge(const char *path, const struct settings_key *keys, size_t key_count,
                        void *into, settings_section_fn *other, struct settings_report *out)
{
    struct err e;

    MUST(key_count <= SETTINGS_KEYS_MAX);
    *out = (struct settings_report){ 0 };
    set_presets(keys, key_count, into);
    if (path)
        load_file(path, keys, key_count, into, other, out);
    for (size_t i = 0; i < key_count; i++)
        if (set_from_environment(&keys[i], into, &e))
            settings_report_add(out, e.text);
    return out->count;
}

/* One sentence has room for the first of them. */
int settings_load(const char *path, const struct settings_key *keys, size_t key_count, void *into,
                  settings_section_fn *other, struct err *e)
{
    struct settings_report report;
    unsigned count = settings_judge(path, keys, key_count, into, other, &report);

    if (count > 0) {
        size_t size = strcspn(report.mistakes.data, "\n");

        err_set(e, ERR_INVALID, "%.*s", (int)size, report.mistakes.data);
        settings_fini(keys, key_count, into);
    }
    settings_report_fini(&report);
    return count > 0 ? -1 : 0;
}

void settings_fini(const struct settings_key *keys, size_t key_count, void *into)
{
    for (size_t i = 0; i < key_count; i++) {
        if (keys[i].type == SETTINGS_TEXT)
            release(&keys[i], field_of(&keys[i], into));
    }
}

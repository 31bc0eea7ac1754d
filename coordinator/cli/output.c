/* output.c - writes tables, JSON, YAML and names; finds out what standard output is. */
#include "coordinator/cli/output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <yaml.h>

#include "common/invariant.h"
#include "coordinator/cli/table.h"

static bool locale_is_utf8(void)
{
    const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);

        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int output_init(struct output *o, const char *format_name, bool no_colour, struct err *e)
{
    static const char *const names[] = { "table", "json", "yaml", "name" };

    *o = (struct output){ .is_terminal = isatty(STDOUT_FILENO) == 1, .is_utf8 = locale_is_utf8() };
    o->is_colour = o->is_terminal && !no_colour && wants_colour();
    if (!format_name)
        return 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], format_name) == 0) {
            o->format = (enum output_format)i;
            return 0;
        }
    }
    return err_set(e, ERR_MALFORMED, "-o %s: the formats are table, json, yaml and name",
                   format_name);
}

static struct winsize window(void)
{
    struct winsize w = { .ws_col = 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0)
        return (struct winsize){ .ws_col = 0 };
    return w;
}

size_t output_width(const struct output *o)
{
    struct winsize w = window();

    if (!o->is_terminal)
        return 0;
    return w.ws_col ? w.ws_col : 80;
}

size_t output_height(const struct output *o)
{
    struct winsize w = window();

    if (!o->is_terminal)
        return 0;
    return w.ws_row ? w.ws_row : 24;
}

void output_text(const struct buffer *text)
{
    if (text->size)
        fwrite(text->data, 1, text->size, stdout);
}

void output_table(const struct output *o, const struct table *t)
{
    SCOPED_BUFFER struct buffer b = { 0 };

    table_draw(t, &b, 0, o->is_colour, o->is_utf8);
    output_text(&b);
}

void output_value(const struct output *o, const json_t *value)
{
    SCOPED_BUFFER struct buffer b = { 0 };

    if (o->format == OUTPUT_YAML) {
        output_yaml(&b, value);
        output_text(&b);
        return;
    }
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

void output_names(const json_t *list, const char *field)
{
    size_t i;
    json_t *one;

    if (json_is_object(list)) {
        const char *name = json_string_value(json_object_get(list, field));

        printf("%s\n", name ? name : "");
        return;
    }
    json_array_foreach(list, i, one)
        output_names(one, field);
}

/* ---------------------------------------------------------------- YAML */

static int append_bytes(void *ctx, unsigned char *bytes, size_t size)
{
    buffer_add(ctx, bytes, size);
    return 1;
}

/* Would a YAML reader (1.1 or 1.2) take these letters for something that is no string? */
static bool needs_quotes(const char *s)
{
    static const char *const words[] = { "null", "true", "false", "yes", "no", "on", "off",
                                         "y",    "n",    "~",     "",    "<<", "=" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    /* Numbers in any base, dates, times of day: letters of these alone. 30s is plain text. */
    return strchr("0123456789+-.", s[0]) &&
           !s[strspn(s, "0123456789abcdefABCDEFxXoOinINyY_+-.:TtZz ")];
}

static void emit(yaml_emitter_t *y, yaml_event_t *event)
{
    MUST(yaml_emitter_emit(y, event));
}

static void emit_scalar(yaml_emitter_t *y, const char *text, bool is_string)
{
    yaml_event_t event;
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

    if (is_string && strchr(text, '\n'))
        style = YAML_LITERAL_SCALAR_STYLE;
    else if (is_string && needs_quotes(text))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    MUST(yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                      (int)strlen(text), 1, 1, style));
    emit(y, &event);
}

static void emit_value(yaml_emitter_t *y, const json_t *value)
{
    yaml_event_t event;
    const char *key;
    json_t *one;
    size_t i;
    char *text;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
        emit(y, &event);
        json_object_foreach((json_t *)value, key, one) {
            emit_scalar(y, key, true);
            emit_value(y, one);
        }
        yaml_mapping_end_event_initialize(&event);
        emit(y, &event);
        return;
    case JSON_ARRAY:
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
        emit(y, &event);
        json_array_foreach(value, i, one)
            emit_value(y, one);
        yaml_sequence_end_event_initialize(&event);
        emit(y, &event);
        return;
    case JSON_STRING:
        emit_scalar(y, json_string_value(value), true);
        return;
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        text = json_dumps(value, JSON_ENCODE_ANY);
        MUST(text);
        emit_scalar(y, text, false);
        free(text);
        return;
    }
}

void output_yaml(struct buffer *out, const json_t *value)
{
    yaml_emitter_t y;
    yaml_event_t event;

    MUST(yaml_emitter_initialize(&y));
    yaml_emitter_set_output(&y, append_bytes, out);
    yaml_emitter_set_unicode(&y, 1);
    yaml_emitter_set_width(&y, -1);
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&y, &event);
    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(&y, &event);
    emit_value(&y, value);
    yaml_document_end_event_initialize(&event, 1);
    emit(&y, &event);
    yaml_stream_end_event_initialize(&event);
    emit(&y, &event);
    yaml_emitter_delete(&y);
}

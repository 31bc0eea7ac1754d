/* output.h - how data reaches standard output: tables for people, JSON and YAML for programs. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/err.h"

struct json_t;
struct table;

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML, OUTPUT_NAME };

struct output {
    enum output_format format;
    bool is_terminal; /* standard output is one */
    bool is_colour;
    bool is_utf8; /* the terminal (or the reader) takes more than ASCII */
};

/* format_name NULL: table. Colours need a terminal, no NO_COLOR, a TERM that is not dumb. */
int output_init(struct output *o, const char *format_name, bool no_colour, struct err *e)
    __attribute__((warn_unused_result));

/* Columns of the terminal now; 0 when it is none. */
size_t output_width(const struct output *o);
size_t output_height(const struct output *o);

/* JSON and YAML: the API's object unchanged. */
void output_value(const struct output *o, const struct json_t *value);
void output_table(const struct output *o, const struct table *t);
/* One name a line: the member `field` of each object of a list, or of one object. */
void output_names(const struct json_t *list, const char *field);
void output_text(const struct buffer *text);

/* A JSON value as block YAML, as libyaml writes it. */
void output_yaml(struct buffer *out, const struct json_t *value);

#endif

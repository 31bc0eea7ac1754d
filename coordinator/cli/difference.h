/* difference.h - what a change does to values, for people: one line, or the lines that differ. */
#ifndef CLI_DIFFERENCE_H
#define CLI_DIFFERENCE_H

#include "coordinator/cli/cli.h"

struct json_t;

/* Append one key of a plan or a difference of revisions (an object with key, change, old, new and
 * perhaps author), each line behind `indent` blanks. Short values stand whole on a line of their
 * side; of long ones the part around the first difference; of values with several lines the lines
 * that differ, as a unified diff. Unchanged ones append nothing. */
void difference_add(const struct output *o, const struct json_t *change, unsigned indent,
                    struct buffer *out);

/* All of a list of them. Returns how many are no "unchanged". */
size_t difference_add_all(const struct output *o, const struct json_t *changes, unsigned indent,
                          struct buffer *out);

#endif

/* labels.h - a server's labels: pairs of texts, and their JSON in the database. */
#ifndef COORDINATOR_POLICY_LABELS_H
#define COORDINATOR_POLICY_LABELS_H

#include <stdbool.h>

#include "common/wire/wire.h"

struct labels {
    unsigned count;
    struct { char *name, *value; } *items; /* sorted by name */
};

/* From a JSON object of texts; anything else in it is left out. labels_fini frees. */
void labels_parse(const char *json, struct labels *out);
/* From a HELLO; of a name given twice the last counts. */
void labels_from_wire(const struct wire_label *labels, unsigned count, struct labels *out);
void labels_fini(struct labels *l);
const char *labels_get(const struct labels *l, const char *name); /* NULL: not there */
bool labels_equal(const struct labels *a, const struct labels *b);
char *labels_format(const struct labels *l); /* JSON, malloc'ed */

#endif

/* linediff.h - what differs between two texts, line by line, as a short unified diff. Pure. */
#ifndef COMMON_LINEDIFF_H
#define COMMON_LINEDIFF_H

#include <stddef.h>

#include "common/buffer.h"

/* Appends hunks ("@@ -3,4 +3,5 @@", then lines behind ' ', '-' and '+'), nothing for equal texts.
 * Ends after the line that makes it longer than size_max, with a line "…". Lines that differ by too
 * many others to compare all with all (LINEDIFF_CELLS) are shown as all replaced. */
#define LINEDIFF_CELLS 1000000
void linediff(const char *before, size_t before_size, const char *after, size_t after_size,
              size_t size_max, struct buffer *out);

#endif

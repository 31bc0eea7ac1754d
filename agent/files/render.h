/* render.h - a document as the bytes of a file: one key's value, or many in one format. Pure.
 *
 * json   one object {"key": typed value} in key order
 * yaml   nested at the dots of the keys (common/document/yaml_render.h)
 * env    one KEY='value' a line; keys that env would write alike are refused, and so are names that
 *        a loader, shell or interpreter obeys, unless the scope allows them
 * ini    [section] is what stands before a key's first dot; keys without a dot come first,
 *        without a section; what common readers of ini files do not hold alike is refused, unless
 *        the settings say which kind of reader it is
 * raw    the values alone, in key order, each with a line break at its end
 *
 * Null is a value in json and yaml alone. The others leave such a key out, and a file that is
 * written from it has no content to be written from: it is as if the key were absent.
 *
 * A file that is filled has {lockstep.hash} (the content hash in hex) and {lockstep.scope}
 * replaced. The number of the revision is not offered: a content that comes back under a new number
 * has the hash it had, and nothing about its files changes.
 */
#ifndef AGENT_FILES_RENDER_H
#define AGENT_FILES_RENDER_H

#include <stdbool.h>

#include "agent/settings/settings.h"
#include "common/buffer.h"
#include "common/crypto/hash.h"
#include "common/document/document.h"
#include "common/err.h"

/* What the files of a scope are written from. Secrets in the document are opened, or stand in the
 * files as references. */
struct render_source {
    const struct agent_scope *scope;
    const struct document *document; /* NULL: revision 0, which has no files */
    struct hash hash;
};

struct rendering {
    struct buffer content; /* .data is never NULL after success */
    bool is_absent;        /* there is no such file: its key is not in the document, and optional */
    bool is_secret;        /* it shows a secret; content is wiped */
    bool is_sealed;        /* one that is not opened: its reference stands there */
};
void rendering_fini(struct rendering *r);
#define SCOPED_RENDERING __attribute__((cleanup(rendering_fini)))

/* Into *out, which may have been used before. The code of an error is "schema". */
int render_file(const struct render_source *source, const struct agent_file *file,
                struct rendering *out, struct err *e) __attribute__((warn_unused_result));

#endif

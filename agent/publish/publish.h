/* publish.h - the files that local readers map: written, switched and swept for each scope.
 *
 * Layout and promises are those of agent/client/published.h. A document is written under another
 * name, synced and renamed; nothing names it before publish_switch, which is one store into the
 * control file. Who still maps an old file keeps it: a mapping survives the removal of its name.
 * Errors carry the code "nospace" or "io".
 */
#ifndef AGENT_PUBLISH_PUBLISH_H
#define AGENT_PUBLISH_PUBLISH_H

#include "agent/core/promise.h"
#include "agent/settings/settings.h"
#include "common/document/document.h"
#include "common/err.h"

struct publisher;

/* Makes folders and control files; a control file that is sound goes on where it was. */
int publish_open(const struct agent_settings *settings, struct publisher **out, struct err *e)
    __attribute__((warn_unused_result));
void publish_close(struct publisher *p);

/* The document's file is there and whole: checked byte by byte. */
bool publish_has(const struct publisher *p, unsigned scope, const struct hash *hash);
/* Writes it unless it is. */
int publish_write(struct publisher *p, unsigned scope, const struct document *document,
                  const struct hash *hash, struct err *e) __attribute__((warn_unused_result));
/* Readers see this content from here on; its file is there (a zero hash needs none). */
int publish_switch(struct publisher *p, unsigned scope, const struct content *content,
                   struct err *e) __attribute__((warn_unused_result));
/* This is what readers see, through a control file that is still the one they open. */
bool publish_shows(const struct publisher *p, unsigned scope, const struct content *content);
/* Removes documents that are none of these; what readers see is always kept. */
void publish_sweep(struct publisher *p, unsigned scope, const struct hash *keep, unsigned count);

/* How many processes are registered as consumers: outlives the agent, so that its next start knows
 * whom to expect. */
uint32_t publish_consumers(const struct publisher *p, unsigned scope);
void publish_set_consumers(struct publisher *p, unsigned scope, uint32_t count);
/* Wakes everybody who watches the scope, though nothing has changed. */
void publish_wake(struct publisher *p, unsigned scope);

#endif

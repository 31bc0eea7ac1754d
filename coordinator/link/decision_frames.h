/* decision_frames.h - the stored bytes of live decisions as shared frames, by number. */
#ifndef COORDINATOR_LINK_DECISION_FRAMES_H
#define COORDINATOR_LINK_DECISION_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/core/effect.h"
#include "coordinator/link/roster.h"
#include "coordinator/link/router.h"

struct decision_frames;
struct decision_frames *decision_frames_new(void);
void decision_frames_free(struct decision_frames *o);
/* The roster knows the scopes that the body names. */
void decision_frames_put(struct decision_frames *o, uint64_t dseq, enum decision_kind kind,
                         const void *body, size_t size, struct roster *roster);
/* Lent; NULL: not here. type_out: how the envelope names it. */
const struct router_frame *decision_frames_get(const struct decision_frames *o, uint64_t dseq,
                                               enum wire_type *type_out);
/* Is the server entitled to one of its scopes? */
bool decision_frames_is_for(const struct decision_frames *o, uint64_t dseq, struct roster *roster,
                            const struct roster_server *s);
/* Forget those that `is_live` says no to. */
typedef bool decision_frames_live_fn(void *ctx, uint64_t dseq);
void decision_frames_sweep(struct decision_frames *o, decision_frames_live_fn *is_live, void *ctx);

#endif

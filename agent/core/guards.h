/* guards.h - what the rows about messages ask before they fire: each looks at one step. Pure.
 *
 * Only participant.c uses this. What is asked about ended work stands in tasks.h.
 */
#ifndef AGENT_CORE_GUARDS_H
#define AGENT_CORE_GUARDS_H

#include "agent/core/tasks.h"

bool always(const struct step *s);
bool is_full(const struct step *s);
bool is_for_nobody(const struct step *s);
bool is_promised(const struct step *s);
bool is_promised_and_decided(const struct step *s);
bool is_being_prepared(const struct step *s);
bool is_being_closed(const struct step *s);
bool was_refused(const struct step *s);
bool is_outdated(const struct step *s);
bool is_off_base(const struct step *s);
bool is_repeated(const struct step *s);
bool is_repeated_at_work(const struct step *s);
bool is_old(const struct step *s);
bool never_moved(const struct step *s);
bool is_still_beside(const struct step *s);
bool is_done_beside(const struct step *s);
bool was_kept(const struct step *s);
bool is_being_kept(const struct step *s);
bool is_full_and_still(const struct step *s);
bool activates_unheld(const struct step *s);
bool changes_nothing(const struct step *s);
bool is_at_hand(const struct step *s);
bool was_obeyed(const struct step *s);
bool is_untouched(const struct step *s);
bool holds_nothing(const struct step *s);
bool is_known(const struct step *s);
bool is_in_doubt(const struct step *s);
bool is_time_to_ask(const struct step *s);
bool is_cut_off(const struct step *s);

/* The scopes that the event names. */
uint64_t scopes_of(const struct participant_event *ev);
/* Of them those that do not hold the slot of its attempt with its content. */
uint64_t scopes_unheld(const struct step *s);
/* Scopes that hold the attempt's slot, or are staging or refused it. */
uint64_t scopes_touched(const struct step *s);
/* Scopes that obeyed one decision and are cut off from whoever could take it back. */
uint64_t scopes_cut_off(const struct step *s);

#endif

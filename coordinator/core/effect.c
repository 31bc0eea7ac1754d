/* effect.c - the names of phases and decisions. */
#include "coordinator/core/effect.h"

const char *phase_name(enum phase phase)
{
    static const char *const names[] = {
#define X(name, text) [PHASE_##name] = text,
        PHASES(X)
#undef X
    };
    return names[phase];
}

const char *decision_name(enum decision_kind kind)
{
    static const char *const names[] = {
#define X(name, text) [DECISION_##name] = text,
        DECISIONS(X)
#undef X
    };
    return names[kind];
}

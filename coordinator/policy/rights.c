/* rights.c - the tables of rights and roles. */
#include "coordinator/policy/rights.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned roles;
    enum reach reach;
} rights[] = {
#define X(name, text, roles, reach) [RIGHT_##name] = { text, roles, REACH_##reach },
    RIGHTS(X)
#undef X
};

_Static_assert(RIGHT_COUNT <= 64, "a set of rights is one word");

static const struct {
    const char *name;
    unsigned bit;
} roles[] = {
#define X(name, text) { text, ROLE_##name },
    ROLES(X)
#undef X
};

const char *const role_names[] = {
#define X(name, text) text,
    ROLES(X)
#undef X
    NULL
};

const char *right_name(enum right right)
{
    return rights[right].name;
}

enum reach right_reach(enum right right)
{
    return rights[right].reach;
}

enum right right_find(const char *name)
{
    int i = 0;

    while (i < RIGHT_COUNT && strcmp(rights[i].name, name) != 0)
        i++;
    return (enum right)i;
}

uint64_t role_rights(const char *name)
{
    uint64_t set = 0;

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        for (int r = 0; strcmp(roles[i].name, name) == 0 && r < RIGHT_COUNT; r++)
            set |= rights[r].roles & roles[i].bit ? RIGHT_BIT(r) : 0;
    return set;
}

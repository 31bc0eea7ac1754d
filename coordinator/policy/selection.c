/* selection.c - ranks servers, sorts them into domains and selects them by their labels. */
#include "coordinator/policy/selection.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto/digest.h"
#include "common/invariant.h"
#include "common/memory.h"

static const char *label_value(const struct selection_server *server, const char *name)
{
    const char *value = labels_get(server->labels, name);

    return value ? value : "";
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint32_t domain_of(const char *const *values, uint32_t count, const char *value)
{
    const char *const *found = bsearch(&value, values, count, sizeof(*values), compare_texts);
    uint32_t domain;

    MUST(found);
    domain = (uint32_t)(found - values);
    return domain < COHORT_DOMAINS_MAX ? domain : COHORT_DOMAINS_MAX - 1;
}

/* Distinct values only, in order. */
static uint32_t unique(const char **values, uint32_t count)
{
    uint32_t kept = 0;

    qsort(values, count, sizeof(*values), compare_texts);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || strcmp(values[i], values[kept - 1]) != 0)
            values[kept++] = values[i];
    return kept;
}

static void find_domains(const struct strategy_spec *spec, const struct selection_server *servers,
                         uint32_t count, struct candidate *out)
{
    const char **values = memory_array((size_t)count + 1, sizeof(*values));
    uint32_t kept;

    for (uint32_t i = 0; i < count; i++)
        values[i] = label_value(&servers[i], spec->spread_by);
    kept = unique(values, count);
    for (uint32_t i = 0; i < count; i++)
        out[i].domain = domain_of(values, kept, label_value(&servers[i], spec->spread_by));
    free(values);
}

void selection_rank(const struct strategy_spec *spec, const char *salt,
                    const struct selection_server *servers, uint32_t count, struct candidate *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct candidate){ .server = i, .rank = digest_rank(salt, servers[i].name) };
    if (spec->spread_by[0])
        find_domains(spec, servers, count, out);
}

static bool is_match(const struct stage_text *stage, const struct labels *labels)
{
    for (unsigned i = 0; i < stage->selector_count; i++) {
        const char *value = labels_get(labels, stage->selectors[i].name);

        if (!value || strcmp(value, stage->selectors[i].value) != 0)
            return false;
    }
    return true;
}

uint32_t selection_mark(const struct strategy_spec *spec, unsigned stage,
                        const struct selection_server *servers, struct candidate *candidates,
                        uint32_t count)
{
    const struct stage_text *text = &spec->stages[stage];
    uint32_t marked = 0;

    for (uint32_t i = 0; i < count; i++) {
        candidates[i].is_selected = is_match(text, servers[candidates[i].server].labels);
        marked += candidates[i].is_selected;
    }
    return marked;
}

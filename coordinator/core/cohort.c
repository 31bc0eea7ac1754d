/* cohort.c - choosing a stage's servers by rank, spread over domains by largest remainder. */
#include "coordinator/core/cohort.h"

struct domain {
    uint32_t total;  /* candidates in it */
    uint32_t placed; /* of them in earlier stages */
    uint32_t quota;  /* its share of the cumulative target */
    uint64_t remainder;
};

uint32_t cohort_target(const struct stage_size *size, uint32_t total)
{
    if (size->kind == SIZE_SELECT)
        return 0;
    if (size->kind == SIZE_COUNT)
        return size->amount < total ? size->amount : total;
    return (uint32_t)(((uint64_t)total * size->amount + 99999) / 100000);
}

/* Equal ranks (one in 2^64) fall back to the index; members are frozen when chosen. */
static bool is_after(const struct candidate *a, const struct candidate *b)
{
    if (a->is_away != b->is_away)
        return a->is_away;
    return a->rank != b->rank ? a->rank > b->rank : a->server > b->server;
}

static void sift_down(struct candidate *c, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        struct candidate swap;

        if (child >= count)
            return;
        if (child + 1 < count && is_after(&c[child + 1], &c[child]))
            child++;
        if (!is_after(&c[child], &c[root]))
            return;
        swap = c[root];
        c[root] = c[child];
        c[child] = swap;
        root = child;
    }
}

/* Heap sort: in place, no allocation, no bad case. */
static void sort_by_rank(struct candidate *c, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--)
        sift_down(c, i - 1, count);
    for (uint32_t end = count; end > 1; end--) {
        struct candidate swap = c[0];

        c[0] = c[end - 1];
        c[end - 1] = swap;
        sift_down(c, 0, end - 1);
    }
}

/* Domains are as large as what of them is there, as long as that is enough: the share of a domain
 * that is away as a whole goes to the others. Returns how many were counted. */
static uint32_t survey(struct domain *domains, const struct candidate *c, uint32_t count,
                       const struct bitset *placed, uint32_t target)
{
    uint32_t there = 0, total = 0;

    for (uint32_t i = 0; i < count; i++)
        there += !c[i].is_away || bitset_has(placed, c[i].server);
    for (uint32_t i = 0; i < count; i++) {
        bool is_placed = bitset_has(placed, c[i].server);
        bool is_counted = !there || there < target || !c[i].is_away || is_placed;

        MUST(c[i].domain < COHORT_DOMAINS_MAX);
        domains[c[i].domain].total += is_counted;
        domains[c[i].domain].placed += is_placed;
        total += is_counted;
    }
    return total;
}

/* Largest remainder: floors first, then one more for the largest fractions. */
static void share_out(struct domain *domains, uint32_t target, uint32_t total)
{
    uint32_t given = 0;

    for (unsigned d = 0; d < COHORT_DOMAINS_MAX; d++) {
        uint64_t product = (uint64_t)target * domains[d].total;

        domains[d].quota = (uint32_t)(product / total);
        domains[d].remainder = product % total;
        given += domains[d].quota;
    }
    for (; given < target; given++) {
        unsigned best = 0;

        for (unsigned d = 1; d < COHORT_DOMAINS_MAX; d++)
            if (domains[d].remainder > domains[best].remainder)
                best = d;
        MUST(domains[best].remainder > 0);
        domains[best].quota++;
        domains[best].remainder = 0;
    }
}

static uint32_t take_all(const struct candidate *c, uint32_t count, bool is_last,
                         const struct bitset *placed, struct bitset *out)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (bitset_has(placed, c[i].server) || !(is_last || c[i].is_selected))
            continue;
        bitset_add(out, c[i].server);
        taken++;
    }
    return taken;
}

uint32_t cohort_choose(struct candidate *candidates, uint32_t count, const struct stage_size *size,
                       bool is_last, const struct bitset *placed, struct bitset *out)
{
    struct domain domains[COHORT_DOMAINS_MAX] = { 0 };
    uint32_t target = cohort_target(size, count), have = 0, taken = 0;

    bitset_clear(out);
    if (count == 0)
        return 0;
    if (is_last || size->kind == SIZE_SELECT)
        return take_all(candidates, count, is_last, placed, out);
    share_out(domains, target, survey(domains, candidates, count, placed, target));
    sort_by_rank(candidates, count);
    for (unsigned d = 0; d < COHORT_DOMAINS_MAX; d++)
        have += domains[d].placed;
    for (uint32_t i = 0; i < count && have + taken < target; i++) {
        struct domain *d = &domains[candidates[i].domain];

        if (bitset_has(placed, candidates[i].server) || d->placed >= d->quota)
            continue;
        bitset_add(out, candidates[i].server);
        d->placed++;
        taken++;
    }
    return taken;
}

/* main.c - runs seeds over the cores of the machine, sums up, and says which seed to replay. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/world.h"

#define JOBS_MAX 64

struct share {
    struct tally_row tally;
    uint64_t failed, first_seed;
};

static struct world world;
static uint64_t current; /* the seed at work, for the abort handler */

static void say_seed(int signal_number)
{
    char line[64];
    int size = snprintf(line, sizeof(line), "make sim SEED=%" PRIu64 "\n", current);

    (void)signal_number;
    if (write(STDOUT_FILENO, line, (size_t)size) < 0)
        _exit(3);
    _exit(2);
}

static void run_share(struct share *s, uint64_t first, uint64_t runs, unsigned job, unsigned jobs,
                      bool is_quick)
{
    for (uint64_t i = job; i < runs; i += jobs) {
        current = first + i;
        if (world_run(&world, current, false, &s->tally))
            continue;
        if (!s->failed++)
            s->first_seed = current;
        printf("%s\nmake sim SEED=%" PRIu64 "\n", world.verdict, current);
        fflush(stdout);
        if (is_quick || s->failed >= 3)
            return;
    }
}

static void add_up(struct tally_row *sum, const struct tally_row *part)
{
    const uint64_t *from = (const uint64_t *)part;
    uint64_t *to = (uint64_t *)sum;

    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        to[i] += from[i];
}

static void print_sum(const struct tally_row *t, double seconds)
{
    printf("%" PRIu64 " schedules, %" PRIu64 " events, %.1f s\n", t->schedules, t->events, seconds);
    printf("rollouts: %" PRIu64 " (%" PRIu64 " eventual, %" PRIu64 " over several scopes, %" PRIu64
           " retries)\n",
           t->rollouts, t->eventual, t->two_scopes, t->retries);
    for (unsigned p = PHASE_COMPLETED; p < PHASE_COUNT; p++)
        printf("  %-12s %" PRIu64 "\n", phase_name((enum phase)p), t->by_phase[p]);
    printf("decisions %" PRIu64 ", takeovers %" PRIu64 ", crashes %" PRIu64 ", re-imaged %" PRIu64
           ", fenced %" PRIu64 ", conflicts %" PRIu64 "\n",
           t->decisions, t->takeovers, t->crashes, t->reimages, t->fenced, t->conflicts);
    coverage_print(t);
}

static int replay(uint64_t seed)
{
    struct tally_row tally = { 0 };
    bool is_good;

    current = seed;
    setvbuf(stdout, NULL, _IOLBF, 0);
    is_good = world_run(&world, seed, true, &tally);
    printf("%s\n%d passed, %d failed\n", is_good ? "all is well" : world.verdict, is_good,
           !is_good);
    return is_good ? 0 : 1;
}

static int campaign(uint64_t first, uint64_t runs, unsigned jobs, bool is_quick)
{
    struct share *shares = mmap(NULL, sizeof(*shares) * JOBS_MAX, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct tally_row sum = { 0 };
    struct timespec began, ended;
    uint64_t failed = 0;

    MUST(shares != MAP_FAILED);
    clock_gettime(CLOCK_MONOTONIC, &began);
    fflush(stdout);
    for (unsigned j = 0; j < jobs; j++)
        if (fork() == 0) {
            run_share(&shares[j], first, runs, j, jobs, is_quick);
            _exit(shares[j].failed ? 1 : 0);
        }
    for (int status; wait(&status) > 0;)
        if (WIFSIGNALED(status) || WEXITSTATUS(status) > 1)
            failed++;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    for (unsigned j = 0; j < jobs; j++) {
        add_up(&sum, &shares[j].tally);
        failed += shares[j].failed;
    }
    print_sum(&sum, (double)(ended.tv_sec - began.tv_sec) +
                        (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", sum.schedules - failed, failed);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' }, { "first", required_argument, NULL, 'f' },
        { "runs", required_argument, NULL, 'r' }, { "jobs", required_argument, NULL, 'j' },
        { "quick", no_argument, NULL, 'q' },      { 0 }
    };
    uint64_t first = 1, runs = 100000, seed = 0;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    bool is_quick = false;

    signal(SIGABRT, say_seed);
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (o == 'f')
            first = strtoull(optarg, NULL, 10);
        else if (o == 'r')
            runs = strtoull(optarg, NULL, 10);
        else if (o == 'j')
            cores = strtol(optarg, NULL, 10);
        else if (o == 'q')
            is_quick = true;
        else
            return 2;
    }
    if (seed)
        return replay(seed);
    return campaign(first, runs,
                    cores < 1          ? 1
                    : cores > JOBS_MAX ? JOBS_MAX
                                       : (unsigned)cores,
                    is_quick);
}

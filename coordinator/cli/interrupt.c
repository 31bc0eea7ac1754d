/* interrupt.c - signal handlers that only set a flag, and a sleep that signals end. */
#include "coordinator/cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>

static volatile int flag;

static void note_signal(int number)
{
    if (number != SIGWINCH)
        flag = number;
}

void interrupt_catch(void)
{
    struct sigaction act = { .sa_handler = note_signal }; /* no SA_RESTART: sleeps shall end */
    struct sigaction before;

    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGWINCH, &act, NULL);
    sigaction(SIGHUP, NULL, &before);
    if (before.sa_handler != SIG_IGN) /* nohup means it */
        sigaction(SIGHUP, &act, NULL);
}

const volatile int *interrupt_flag(void)
{
    return &flag;
}

bool interrupt_happened(void)
{
    return flag != 0;
}

void interrupt_sleep(int64_t ms)
{
    sigset_t blocked, before;
    struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    /* Block, look, then sleep with them open: a signal in between is not slept through. */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    if (!flag)
        ppoll(NULL, 0, &ts, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* dev_process.h - children of `lockstep dev`: started, watched, stopped; none outlives it. */
#ifndef CLI_DEV_PROCESS_H
#define CLI_DEV_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/err.h"

#define DEV_PATH 1024
#define DEV_ARGS_MAX 16

/* Who a child runs as; uid 0 while we are root means: as we are. */
struct dev_user {
    uid_t uid;
    gid_t gid;
    char name[64];
};

struct dev_process {
    char name[120];
    char *argv[DEV_ARGS_MAX];    /* malloc'ed, ended by NULL */
    char log[DEV_PATH];          /* standard output and error are added here */
    const struct dev_user *user; /* NULL: as we are */
    int stop_signal;             /* asks it to end; also sent by the kernel when we die */
    int keep_fd;                 /* stays open in the child (a lock); -1: none */
    pid_t pid;                   /* 0: not running */
    int64_t started_ms, restart_ms;
    unsigned quick_ends; /* in a row */
};

void dev_process_init(struct dev_process *p, const char *name, const char *log, int stop_signal,
                      int keep_fd, const char *const *argv);
void dev_process_fini(struct dev_process *p);
int dev_process_start(struct dev_process *p, struct err *e) __attribute__((warn_unused_result));
/* True while it runs; collects it when it has ended, with its wait status in *status_out. */
bool dev_process_runs(struct dev_process *p, int *status_out);
/* Ask it to end. */
void dev_process_ask(const struct dev_process *p, int signal);
/* Wait until it has ended, at most so long; then it is killed. */
void dev_process_wait(struct dev_process *p, int64_t limit_ms);
/* "exit status 1", "signal 9". */
void dev_process_say_status(int status, char out[32]);

/* Run a program to its end; its output is added to `out`. -1 with its last words when it fails. */
int dev_run_program(const char *const *argv, const struct dev_user *user, int keep_fd,
                    struct buffer *out, struct err *e) __attribute__((warn_unused_result));

#endif

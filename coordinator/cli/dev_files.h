/* dev_files.h - what `lockstep dev` writes into its folder: settings, hooks, the context. */
#ifndef CLI_DEV_FILES_H
#define CLI_DEV_FILES_H

#include <stddef.h>

#include "common/err.h"

struct dev_plan {
    const char *dir;    /* absolute */
    const char *http;   /* host:port */
    const char *router; /* host:port */
    const char *const *scopes;
    size_t scope_count;
    unsigned agent_count;
};

/* A folder that may be there already. */
int dev_files_folder(const char *path, unsigned mode, struct err *e)
    __attribute__((warn_unused_result));
/* Replaces the file at once or not at all. */
int dev_files_write(const char *path, const char *text, unsigned mode, struct err *e)
    __attribute__((warn_unused_result));

/* DIR/agents, DIR/hooks, DIR/log: before anything else. */
int dev_files_folders(const struct dev_plan *plan, struct err *e)
    __attribute__((warn_unused_result));
/* DIR/lockstepd.ini, the hooks, DIR/context. */
int dev_files_coordinator(const struct dev_plan *plan, const char *database_url, struct err *e)
    __attribute__((warn_unused_result));
/* DIR/agents/server-N with its settings; N from 1. */
int dev_files_agent(const struct dev_plan *plan, unsigned number, struct err *e)
    __attribute__((warn_unused_result));

#endif

/* nouns.h - every command's function, one file per noun; the table in commands.c names them. */
#ifndef CLI_NOUNS_H
#define CLI_NOUNS_H

#include "coordinator/cli/cli.h"

/* config.c, config_import.c, config_export.c, config_back.c, config_search.c,
 * config_secret.c */
int config_edit(struct cli *cli, int argc, char **argv);
extern const struct command_option config_edit_options[];
int config_set(struct cli *cli, int argc, char **argv);
int config_get(struct cli *cli, int argc, char **argv);
int config_unset(struct cli *cli, int argc, char **argv);
int config_list(struct cli *cli, int argc, char **argv);
int config_history(struct cli *cli, int argc, char **argv);
int config_diff(struct cli *cli, int argc, char **argv);
int config_import(struct cli *cli, int argc, char **argv);
int config_validate(struct cli *cli, int argc, char **argv);
int config_export(struct cli *cli, int argc, char **argv);
int config_discard(struct cli *cli, int argc, char **argv);
int config_rollback(struct cli *cli, int argc, char **argv);
int config_copy(struct cli *cli, int argc, char **argv);
int config_search(struct cli *cli, int argc, char **argv);
int config_destroy(struct cli *cli, int argc, char **argv);
int config_parents(struct cli *cli, int argc, char **argv);
extern const struct command_option config_set_options[], config_get_options[],
    config_unset_options[], config_list_options[], config_diff_options[], config_import_options[],
    config_export_options[], config_discard_options[], config_rollback_options[],
    config_copy_options[], config_search_options[], config_parents_options[],
    config_destroy_options[], config_validate_options[];

/* rollout.c, rollout_start.c, rollout_act.c, rollout_diff.c */
int rollout_plan(struct cli *cli, int argc, char **argv);
int rollout_start(struct cli *cli, int argc, char **argv);
int rollout_list(struct cli *cli, int argc, char **argv);
int rollout_get(struct cli *cli, int argc, char **argv);
int rollout_status(struct cli *cli, int argc, char **argv);
int rollout_watch(struct cli *cli, int argc, char **argv);
int rollout_servers(struct cli *cli, int argc, char **argv);
int rollout_diff(struct cli *cli, int argc, char **argv);
int rollout_act(struct cli *cli, int argc, char **argv); /* pause resume promote … by its verb */
int rollout_tell(struct cli *cli, const char *reference, const char *verb);
int rollout_undo(struct cli *cli, int argc, char **argv);
extern const struct command_option rollout_undo_options[];
extern const struct command_option rollout_plan_options[], rollout_start_options[],
    rollout_list_options[], rollout_status_options[], rollout_servers_options[],
    rollout_act_options[], rollout_promote_options[], rollout_rollback_options[];

/* server.c */
int server_enroll(struct cli *cli, int argc, char **argv);
int server_allow(struct cli *cli, int argc, char **argv);
int server_retry(struct cli *cli, int argc, char **argv);
int server_act(struct cli *cli, int argc, char **argv); /* revoke exclude include */
int server_forget(struct cli *cli, int argc, char **argv);
int server_list(struct cli *cli, int argc, char **argv);
int server_get(struct cli *cli, int argc, char **argv);
extern const struct command_option server_enroll_options[], server_list_options[],
    server_allow_options[], server_retry_options[];

/* contexts.c */
int context_list(struct cli *cli, int argc, char **argv);
int context_use(struct cli *cli, int argc, char **argv);

/* strategy.c */
int strategy_read(const char *path, struct json_t **out, struct err *e)
    __attribute__((warn_unused_result)); /* a file of one, also as `strategy get` prints it */
int strategy_get(struct cli *cli, int argc, char **argv);
int strategy_set(struct cli *cli, int argc, char **argv);
int strategy_list(struct cli *cli, int argc, char **argv);
int strategy_delete(struct cli *cli, int argc, char **argv);

/* schema.c */
int schema_get(struct cli *cli, int argc, char **argv);
int schema_set(struct cli *cli, int argc, char **argv);
int schema_list(struct cli *cli, int argc, char **argv);
int schema_delete(struct cli *cli, int argc, char **argv);
extern const struct command_option schema_get_options[], schema_set_options[],
    schema_delete_options[];

/* environment.c */
int environment_get(struct cli *cli, int argc, char **argv);
int environment_list(struct cli *cli, int argc, char **argv);
int environment_set(struct cli *cli, int argc, char **argv);
extern const struct command_option environment_set_options[];
int service_list(struct cli *cli, int argc, char **argv);

/* token.c */
int token_create(struct cli *cli, int argc, char **argv);
int token_list(struct cli *cli, int argc, char **argv);
int token_revoke(struct cli *cli, int argc, char **argv);
int token_whoami(struct cli *cli, int argc, char **argv);
extern const struct command_option token_create_options[], token_list_options[];

/* freeze.c */
int freeze_set(struct cli *cli, int argc, char **argv);
int freeze_list(struct cli *cli, int argc, char **argv);
int freeze_delete(struct cli *cli, int argc, char **argv);
extern const struct command_option freeze_set_options[];

/* audit.c */
int audit_list(struct cli *cli, int argc, char **argv);
int audit_verify(struct cli *cli, int argc, char **argv);
extern const struct command_option audit_list_options[], audit_verify_options[];

/* dev.c */
int dev_run(struct cli *cli, int argc, char **argv);
extern const struct command_option dev_options[];

/* about.c */
int about_version(struct cli *cli, int argc, char **argv);
int about_help(struct cli *cli, int argc, char **argv);
int about_completion(struct cli *cli, int argc, char **argv);
/* A noun alone, or nothing at all: what there is. Returns the exit code. */
int about_program(void); /* --version: no coordinator is asked */
int about_show(struct cli *cli, const char *noun, bool is_asked);

/* commands.c */
extern const struct command commands[];
extern const size_t command_count;

#endif

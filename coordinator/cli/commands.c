/* commands.c - the table of all commands: words, options, help, examples. */
#include "coordinator/cli/nouns.h"

#define ROLLOUT_NAMES                                                                              \
    "ROLLOUT is an id, the beginning of one that is unique, or SERVICE/ENV: its open rollout,\n"   \
    "or the latest."

const struct command commands[] = {
    /* ------------------------------------------------------------ config */
    { "config", "set", "SERVICE/ENV KEY=VALUE…", "Write keys: one new revision",
      "One command makes one revision, however many keys it writes. Where the environment's\n"
      "policy is manual (prod) it is a draft, and `rollout start` brings it to the servers; where\n"
      "it is auto (dev, staging) it goes out by itself.\n\n"
      "VALUE may be @FILE or - (standard input), taken as they are; only of secrets, numbers and\n"
      "the like one line end at the end is dropped. `KEY VALUE` as two words works for one key. A\n"
      "new key is a string unless --type says otherwise; an old one keeps its type.\n\n"
      "--encrypt makes secrets of them, which are stored sealed: their values come from @FILE, -\n"
      "or, with KEY alone, from you at the terminal. A key stays a secret until --plain is said.",
      "  lockstep config set payments/prod timeout=30s retries=3 -m 'slow bank'\n"
      "  lockstep config set payments/prod nginx.conf @nginx.conf\n"
      "  lockstep config set payments/prod workers=8 --type number --plan\n"
      "  lockstep config set payments/prod db.password --encrypt",
      config_set_options, 1, -1, config_set },
    { "config", "edit", "SERVICE/ENV [KEY]", "Change a scope, or one value, in your editor",
      "Opens $VISUAL, $EDITOR or vi with the keys of the head as YAML, or with the one value, and\n"
      "writes what was changed as one revision. Keys that somebody else changes meanwhile are a\n"
      "conflict, not overwritten; what the server refuses can be edited again. Secrets stand\n"
      "there as `!secret VERSION` and stay as they are.",
      "  lockstep config edit payments/prod\n"
      "  lockstep config edit payments/prod nginx.conf -m 'one worker more'",
      config_edit_options, 1, 2, config_edit },
    { "config", "get", "SERVICE/ENV[@REV] [KEY]", "Read one value, or all of them",
      "Prints the released value as it is; -o json the whole item with versions and times.",
      "  lockstep config get payments/prod timeout\n"
      "  lockstep config get payments/prod@head timeout\n"
      "  lockstep config get payments/prod nginx.conf --raw | nginx -t -c /dev/stdin\n"
      "  lockstep config get payments/prod timeout -o json",
      config_get_options, 1, 2, config_get },
    { "config", "unset", "SERVICE/ENV KEY…", "Delete keys: one new revision",
      "A deletion is a version too: the history stays.",
      "  lockstep config unset payments/prod old.flag older.flag", config_unset_options, 2, -1,
      config_unset },
    { "config", "list", "SERVICE/ENV[@REV]", "All keys of a scope, or the document itself", NULL,
      "  lockstep config list payments/prod\n"
      "  lockstep config list payments/prod@head --format yaml > payments.yaml",
      config_list_options, 1, 1, config_list },
    { "config", "history", "SERVICE/ENV [KEY]", "Versions of a key, or revisions of a scope", NULL,
      "  lockstep config history payments/prod\n"
      "  lockstep config history payments/prod timeout",
      NULL, 1, 2, config_history },
    { "config", "diff", "SERVICE/ENV", "What differs between two revisions",
      "Without options: what the drafts would change, released against head.\n"
      "Exit code 0: nothing differs, 1: something does.",
      "  lockstep config diff payments/prod\n"
      "  lockstep config diff payments/prod --from 40 --to 42",
      config_diff_options, 1, 1, config_diff },
    { "config", "import", "SERVICE/ENV FILE | DIR", "Merge a YAML or JSON file: one new revision",
      "Nested keys are joined with dots, lists become json values. true and false are boolean,\n"
      "numbers keep their written text, null becomes the json value null, all else is a string\n"
      "(also yes, off and 0644, with a warning, because YAML 1.1 read those otherwise). Several\n"
      "documents in one file are overlaid in order, with a warning per overridden key; the same\n"
      "key twice in one document is an error that names both lines. Byte-order marks are skipped.\n"
      "`!secret N` leaves a stored secret as it is; !json and !yaml set the type of a text.\n\n"
      "A folder DIR is read as DIR/SERVICE/ENV.yaml, one revision per scope. FILE - is standard\n"
      "input.",
      "  lockstep config import payments/prod prod.yaml --plan\n"
      "  lockstep config import payments/prod all.yaml --document 1,3 --prune\n"
      "  lockstep config import ./config",
      config_import_options, 1, 2, config_import },
    { "config", "export", "DIR|FILE [SERVICE/ENV[@REV]…]", "Write scopes as YAML files",
      "A folder DIR gets DIR/SERVICE/ENV.yaml for the scopes named, or for all of them; FILE (a\n"
      "name that ends in .yaml, or - for standard output) holds one scope. Own keys only, one per\n"
      "line, as they are at the head: `config import DIR` finds no difference afterwards. Secrets\n"
      "are written as `!secret VERSION`.",
      "  lockstep config export ./config\n"
      "  lockstep config export payments.yaml payments/prod@42",
      config_export_options, 1, -1, config_export },
    { "config", "discard", "SERVICE/ENV", "Drop the drafts: the head is what is released again",
      "By a new revision with the released content; the drafts stay in the history. What an open\n"
      "rollout brings is no draft any more: it stays, and `rollout rollback` takes it back.",
      "  lockstep config discard payments/prod -m 'refused by the servers'", config_discard_options,
      1, 1, config_discard },
    { "config", "rollback", "SERVICE/ENV [KEY]", "Back to an old version or revision, by a new one",
      "With KEY, --to names one of its versions; without, a revision of the scope: the head\n"
      "becomes equal to it, and drafts are discarded. To take a rollout back, see\n"
      "`rollout rollback`.",
      "  lockstep config rollback payments/prod timeout --to 3\n"
      "  lockstep config rollback payments/prod --to 41 -m 'as it was on Monday'",
      config_rollback_options, 1, 2, config_rollback },
    { "config", "copy", "SERVICE/ENV[@REV] SERVICE/ENV", "Copy keys from one scope into another",
      "What is released in the first one (or @REV) becomes one revision of the second. Keys that\n"
      "only the second has stay, unless --prune is given.",
      "  lockstep config copy payments/staging payments/prod --plan\n"
      "  lockstep config copy payments/staging@head payments/prod -k 'db.*'",
      config_copy_options, 2, 2, config_copy },
    { "config", "destroy", "SERVICE/ENV KEY", "Shred versions of a secret, everywhere and for good",
      "Their data keys go, here and on every server that keeps them: nobody reads them again, and\n"
      "nothing goes back to them. What a released revision, the newest one, an open rollout or a\n"
      "server still needs is refused and named; --force destroys it all the same.",
      "  lockstep config destroy payments/prod db.password --versions 1,2 -m 'it was in a log'",
      config_destroy_options, 2, 2, config_destroy },
    { "config", "search", "[GLOB]", "Find keys in all scopes",
      "* stands for any text, ? for one character.",
      "  lockstep config search 'db.*' --environment prod\n"
      "  lockstep config search --service 'pay*' --revision head",
      config_search_options, 0, 1, config_search },
    { "config", "parents", "SERVICE/ENV [PARENT…]", "What a scope inherits from; names it",
      "The document of a scope is its parents' keys overlaid by its own; a later parent wins over\n"
      "an earlier one. A change of a parent makes a revision of every child. To name a parent\n"
      "takes the right secret.read for it and for everything above it: its secrets come down from\n"
      "then on, while the token that named it keeps that right; `withheld` says what does not.",
      "  lockstep config parents payments/prod\n"
      "  lockstep config parents payments/prod global/prod region/prod",
      config_parents_options, 1, -1, config_parents },
    { "config", "validate", "SERVICE/ENV FILE | DIR", "Check a file without writing anything",
      "Reads the file as `config import` does and asks the server what it thinks of it: types,\n"
      "the schemas of the keys in the file, and the schema of the whole document as it would be.\n"
      "Exit code 0: it may be imported, 7: not. Needs the right to read, not to write.",
      "  lockstep config validate payments/prod prod.yaml\n"
      "  lockstep config validate ./config",
      config_validate_options, 1, 2, config_validate },

    /* ------------------------------------------------------------ schema */
    { "schema", "list", "[SERVICE]", "JSON Schemas of one service, or of all", NULL, NULL, NULL, 0,
      1, schema_list },
    { "schema", "get", "SERVICE KEY", "Print a schema",
      "KEY '*' is the schema of the whole document. -o json tells versions and times, too.",
      "  lockstep schema get payments retries > retries.json", schema_get_options, 2, 2,
      schema_get },
    { "schema", "set", "SERVICE KEY FILE",
      "Keep a JSON Schema (draft-07, JSON or YAML; - is standard input)",
      "It holds in all environments, for every write from now on, and agents ask it again before\n"
      "a rollout begins. Values that violate it already are listed; they stay until somebody\n"
      "writes them. With --strict such a schema is refused (exit code 4).",
      "  lockstep schema set payments retries retries.json --strict\n"
      "  echo '{\"required\":[\"database.url\"]}' | lockstep schema set payments '*' -",
      schema_set_options, 3, 3, schema_set },
    { "schema", "delete", "SERVICE KEY", "Delete a schema; its versions are kept", NULL, NULL,
      schema_delete_options, 2, 2, schema_delete },

    /* ------------------------------------------------------------ rollout */
    { "rollout", "plan", "SERVICE/ENV[@REV]…", "Show what a rollout would change, and where",
      "Nothing is started. `rollout start --expect-plan HASH` starts only what was shown here.",
      "  lockstep rollout plan payments/prod --strategy canary", rollout_plan_options, 1, -1,
      rollout_plan },
    { "rollout", "start", "SERVICE/ENV[@REV]…", "Bring a revision to its servers, stage by stage",
      "Takes the head unless @REV says which revision. Several scopes go out together: a server\n"
      "that reads two of them switches both at once. Drafts of others that go out with it are\n"
      "named, and on a terminal asked about.\n\n"
      "With --wait the command follows the rollout to its end and its exit code tells how it\n"
      "went: 0 completed, 6 refused or taken back, 8 waits for a person, 124 out of time. Ctrl-C\n"
      "ends the looking on, never the rollout.",
      "  lockstep rollout start payments/prod\n"
      "  lockstep rollout start payments/prod@42 search/prod --strategy canary --wait\n"
      "  lockstep rollout start payments/prod -s @three-stages.json --wait --timeout 10m",
      rollout_start_options, 1, -1, rollout_start },
    { "rollout", "list", "", "Rollouts, newest first", NULL,
      "  lockstep rollout list --state open\n  lockstep rollout list --scope payments/prod",
      rollout_list_options, 0, 0, rollout_list },
    { "rollout", "get", "ROLLOUT", "One rollout as it stands", ROLLOUT_NAMES,
      "  lockstep rollout get payments/prod\n  lockstep rollout get 7f3a -o json", NULL, 1, 1,
      rollout_get },
    { "rollout", "status", "ROLLOUT", "Follow a rollout as lines, to its end", ROLLOUT_NAMES,
      "  lockstep rollout status payments/prod --timeout 5m", rollout_status_options, 1, 1,
      rollout_status },
    { "rollout", "watch", "ROLLOUT", "Follow a rollout as a live picture",
      ROLLOUT_NAMES "\nWhere standard output is no terminal it writes lines, as `status` does.",
      "  lockstep rollout watch payments/prod", rollout_status_options, 1, 1, rollout_watch },
    { "rollout", "servers", "ROLLOUT", "What every server did about it, and why", ROLLOUT_NAMES,
      "  lockstep rollout servers payments/prod --state failed", rollout_servers_options, 1, 1,
      rollout_servers },
    { "rollout", "diff", "ROLLOUT", "What it changes, value by value and line by line",
      ROLLOUT_NAMES "\nExit code 0: nothing differs, 1: something does.",
      "  lockstep rollout diff payments/prod", NULL, 1, 1, rollout_diff },
    { "rollout", "approve", "ROLLOUT", "Let one start that waits for it",
      ROLLOUT_NAMES "\nNever by who asked for it. It starts when enough others have approved it.",
      "  lockstep rollout approve payments/prod -m 'read the diff'", rollout_act_options, 1,
      1, rollout_act },
    { "rollout", "reject", "ROLLOUT", "End one that waits for approvals", ROLLOUT_NAMES, NULL,
      rollout_act_options, 1, 1, rollout_act },
    { "rollout", "pause", "ROLLOUT", "Open no further stage", ROLLOUT_NAMES,
      "  lockstep rollout pause payments/prod -m 'looking at latency'", rollout_act_options,
      1, 1, rollout_act },
    { "rollout", "resume", "ROLLOUT", "Go on after a pause", ROLLOUT_NAMES, NULL,
      rollout_act_options, 1, 1, rollout_act },
    { "rollout", "promote", "ROLLOUT", "End the bake or hold of this stage now", ROLLOUT_NAMES,
      "  lockstep rollout promote payments/prod\n"
      "  lockstep rollout promote payments/prod --full",
      rollout_promote_options, 1, 1, rollout_act },
    { "rollout", "abort", "ROLLOUT", "Stop a rollout that nobody activated yet",
      ROLLOUT_NAMES "\nAfter the first activation it is too late (exit code 4): use rollback.",
      NULL, rollout_act_options, 1, 1, rollout_act },
    { "rollout", "rollback", "ROLLOUT", "Take a rollout back, open or completed",
      ROLLOUT_NAMES
      "\nAn open one goes back to what it found; of a completed one a new rollout\n"
      "takes it back. With --wait, rolled back is exit code 0: that was asked for.\n\n"
      "Said of SERVICE/ENV it never takes back a rollback (exit code 4 when that is\n"
      "the latest); of a rollback's own id it asks first.",
      "  lockstep rollout rollback payments/prod --wait", rollout_rollback_options, 1, 1,
      rollout_act },
    { "rollout", "undo", "ROLLOUT", "Back to what ran before, or with --to to a revision",
      "Without --to it is `rollout rollback`. With it, SERVICE/ENV gets the content of that\n"
      "revision as a new one, and a rollout brings it to the servers: what changes is shown and\n"
      "asked about first. `config history SERVICE/ENV` lists the revisions.",
      "  lockstep rollout undo payments/prod --wait\n"
      "  lockstep rollout undo payments/prod --to 41 -m 'as it was on Monday' --wait",
      rollout_undo_options, 1, 1, rollout_undo },
    { "rollout", "retry", "ROLLOUT", "Try the failed servers of the open stages again",
      ROLLOUT_NAMES, NULL, rollout_act_options, 1, 1, rollout_act },

    /* ------------------------------------------------------------ the rest */
    { "server", "list", "", "Servers, when they were seen, what they run", NULL,
      "  lockstep server list --label zone=a\n  lockstep server list --pending",
      server_list_options, 0, 0, server_list },
    { "server", "get", "NAME", "One server: what it runs and what it should run", NULL,
      "  lockstep server get web-1", NULL, 1, 1, server_get },
    { "server", "enroll", "NAME KEY|@FILE", "Let a server in, by the public key of its agent",
      "The key is what `lockstep-agent keygen` prints on the server. A shell wants it in single\n"
      "quotes, and behind --, since it may begin with '-'. --scope says what the server may read,\n"
      "documents and secrets: nothing else ever reaches it, whatever its agent asks for.",
      "  lockstep server enroll web-1 --scope web/prod -- 'KEY'\n"
      "  lockstep server enroll web-1 @web-1.pub --scope 'payments/*' --scope web/prod",
      server_enroll_options, 2, 2, server_enroll },
    { "server", "allow", "NAME", "Say anew what an enrolled server may read",
      "--scope names all of it, in place of what the enrolment allowed before. What the server\n"
      "reads beyond that ends at once, here and for what is sent to it; what its agent was\n"
      "refused before is granted the next time it asks. Key, labels and history stay.",
      "  lockstep server allow web-1 --scope 'payments/*' --scope web/prod -m 'a new shop'",
      server_allow_options, 1, 1, server_allow },
    { "server", "revoke", "NAME…", "Shut a server out, at once", NULL, NULL, NULL, 1, -1,
      server_act },
    { "server", "exclude", "NAME…", "Leave a server out of rollouts for now", NULL, NULL, NULL, 1,
      -1, server_act },
    { "server", "include", "NAME…", "Take an excluded server in again", NULL, NULL, NULL, 1, -1,
      server_act },
    { "server", "retry", "NAME…", "Let a server try again what failed there",
      "For a server that failed within a rollout's budget, or could not go back: when what stood\n"
      "against it is repaired, it is told once more what it should run. A server that is away\n"
      "tries again as soon as it is back.\n",
      "  lockstep server retry server-3 -m 'disk is free again'", server_retry_options, 1, -1,
      server_retry },
    { "server", "forget", "NAME…", "Remove a server that is gone for good", NULL, NULL, NULL, 1, -1,
      server_forget },
    { "strategy", "list", "", "Ways to roll out, built in and your own", NULL, NULL, NULL, 0, 0,
      strategy_list },
    { "strategy", "get", "NAME", "One strategy, with all its defaults written out", NULL,
      "  lockstep strategy get canary -o json > mine.json", NULL, 1, 1, strategy_get },
    { "strategy", "set", "NAME FILE", "Keep a strategy (JSON or YAML; - is standard input)",
      "One object. Only \"stages\" must be there; `strategy get NAME -o json` shows the rest:\n"
      "  stages             1 to 32, each with count, percent or select {LABEL: VALUE}; counts\n"
      "                     and percents include the stages before, the last is percent 100\n"
      "    max_failed       so many may fail: 2 or \"5%\" (\"0\")\n"
      "    ready_timeout, apply_timeout   how long servers are waited for (30s)\n"
      "    bake, hold       watch it so long; hold true: until `rollout promote`\n"
      "  mode               two-phase, or eventual (each server moves when it can)\n"
      "  unreachable        skip, wait or fail: what servers that are away mean (skip)\n"
      "  spread_by          a label whose values take turns in a stage (zone)\n"
      "  on_failure         rollback, or pause and ask a person (rollback)\n"
      "  on_isolation       revert: agents that hear no coordinator for isolation_timeout (2m)\n"
      "                     while the rollout is open go back by themselves (keep)",
      "  lockstep strategy set careful careful.json\n"
      "  lockstep strategy get canary -o json > mine.json",
      NULL, 2, 2, strategy_set },
    { "strategy", "delete", "NAME", "Delete a strategy; rollouts keep their copies", NULL, NULL,
      NULL, 1, 1, strategy_delete },
    { "environment", "list", "", "Environments and their policies", NULL, NULL, NULL, 0, 0,
      environment_list },
    { "environment", "get", "NAME", "One environment", NULL, NULL, NULL, 1, 1, environment_get },
    { "environment", "set", "NAME", "What an environment wants; makes it when it is not there",
      "What is not said stays as it is. With --approvals N a rollout waits until N others than\n"
      "the one who asked for it have approved it.",
      "  lockstep environment set prod --approvals 2 --allow canary --allow percent\n"
      "  lockstep environment set qa --policy auto",
      environment_set_options, 1, 1, environment_set },
    { "freeze", "set", "NAME", "Let nothing new be rolled out for a while",
      "Going back and pausing stay possible, and so does `rollout start --break-glass`. What is\n"
      "written meanwhile in an automatic environment goes out when the freeze ends.",
      "  lockstep freeze set holidays -e prod --until 2026-12-27T06:00:00Z -m 'few people'",
      freeze_set_options, 1, 1, freeze_set },
    { "freeze", "list", "", "Freezes, and which are active", NULL, NULL, NULL, 0, 0, freeze_list },
    { "freeze", "delete", "NAME", "Lift a freeze", NULL, NULL, NULL, 1, 1, freeze_delete },
    { "token", "create", "NAME", "Make an access token; printed this once",
      "It is the maker's own, whatever it is called, and ends with the maker's. Who has the right\n"
      "token.issue (as the first token) makes tokens for others: NAME is the person or machine.\n"
      "Nobody approves a rollout of their own, nor with a token that its author made.\n"
      "Roles: viewer, editor, releaser, approver, admin, hook. Rights of no role: secret.read,\n"
      "token.issue, and rollout.break_glass, which wants --expires. Nobody gives away what they "
      "do\n"
      "not have, nor for longer than they have it.",
      "  lockstep token create ada --role releaser --environment prod > ada.token\n"
      "  lockstep token create ci --role editor --environment dev --service 'pay*' --expires 90d\n"
      "  lockstep token create onduty --role releaser --right rollout.break_glass --expires 12h",
      token_create_options, 1, 1, token_create },
    { "token", "list", "", "Access tokens: whose, what for, when they were used", NULL, NULL,
      token_list_options, 0, 0, token_list },
    { "token", "revoke", "ID…", "End a token, at once", NULL, NULL, NULL, 1, -1, token_revoke },
    { "audit", "list", "", "Who did what, when, from where; newest first",
      "--action takes a name (config.set) or the beginning of some (config.).",
      "  lockstep audit list --scope payments/prod --since 2026-11-21T00:00:00Z\n"
      "  lockstep audit list --actor ada --action rollout. -o json",
      audit_list_options, 0, 0, audit_list },
    { "audit", "verify", "", "Check the chain: nothing changed, removed, reordered, cut off",
      "Every row holds the hash of the one before. Prints the anchor of the newest row: written\n"
      "down elsewhere and given with --anchor later, it also finds a tail that was cut together\n"
      "with its head. Exit code 0: sound, 1: not.",
      "  lockstep audit verify\n"
      "  lockstep audit verify --anchor \"$(cat audit.anchor)\"",
      audit_verify_options, 0, 0, audit_verify },
    { "whoami", NULL, "", "whose token this is, and what it may do", NULL, NULL, NULL, 0, 0,
      token_whoami },
    { "service", "list", "", "Scopes: head, released, drafts, servers, open rollout", NULL, NULL,
      NULL, 0, 0, service_list },
    { "context", "list", "", "The coordinators that contexts.ini names; * is the one in use",
      "`lockstep help contexts` says how the file is written, and what wins.", NULL, NULL, 0, 0,
      context_list },
    { "context", "use", "CONTEXT", "Speak to this one where nothing else is said",
      "Until another one is chosen. `context use default` goes back to the section [default].\n"
      "--context, --addr, their variables and ./.lockstep/context still win.",
      "  lockstep context use staging", NULL, 1, 1, context_use },
    { "dev", NULL, "", "everything on this machine, to play with",
      "Starts a private PostgreSQL, a coordinator and agents, all under one folder, and stops\n"
      "them on Ctrl-C. Started again in the same folder it goes on with what is there. The folder\n"
      "holds a context: in its parent folder every `lockstep` command finds it by itself (as\n"
      "./.lockstep/context); elsewhere say --context DIR or set LOCKSTEP_CONTEXT=DIR.\n\n"
      "The agents write the document to DIR/agents/NAME/files. They can be made to say no:\n"
      "  demo.refuse=true            every agent refuses in PREPARE\n"
      "  demo.break=true             the check of every agent fails after it was activated\n"
      "  demo.break=server-3         only that agent's",
      "  lockstep dev\n"
      "  lockstep dev --agents 20 --scope payments/prod --scope search/prod\n"
      "  lockstep dev --dir /tmp/two --http 127.0.0.1:7790 --router 127.0.0.1:7791",
      dev_options, 0, 0, dev_run },
    { "completion", NULL, "bash|zsh|fish", "completion for your shell",
      "Prints the script that `make install` puts where each shell looks for it. It completes\n"
      "commands and options, and from the coordinator scopes, keys, rollouts, servers, strategies\n"
      "and the like: with the address, the context and the token of the line that is completed.",
      "  source <(lockstep completion bash)\n"
      "  source <(lockstep completion zsh)\n"
      "  lockstep completion fish | source",
      NULL, 1, 1, about_completion },
    { "version", NULL, "", "which version this is, and the coordinator's", NULL, NULL, NULL, 0, 0,
      about_version },
    { "help", NULL, "[NOUN [VERB]]", "this help, or more on one command", NULL,
      "  lockstep help rollout start\n  lockstep help exit-codes\n  lockstep help contexts", NULL,
      0, 2, about_help },
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

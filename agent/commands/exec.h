/* exec.h - the command exec: a program that runs with a scope's values as its environment.
 *
 *     lockstep-agent exec SCOPE [--prefix P] [--only GLOB] [--wait 60s] [--stop-timeout 10s]
 *                    [--on-change restart|signal:HUP|ignore] [--dir DIR] -- command …
 *
 * With --on-change ignore (the preset) the command takes this process's place. Else this process
 * stays above it: passes on the signals it gets, restarts it or sends it a signal when values that
 * it was given change, and ends as it ends (128 + number after a signal). --only may be repeated.
 * A command that is still starting gets the signal of a change when it has a handler for it, or
 * ten seconds after its start: most signals end a program that has none.
 */
#ifndef AGENT_COMMANDS_EXEC_H
#define AGENT_COMMANDS_EXEC_H

int exec_run(int argc, char **argv);

#endif

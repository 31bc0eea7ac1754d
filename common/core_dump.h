/* core_dump.h - what this process holds in memory is written nowhere when it dies.
 *
 * Plain texts of secrets, data keys and private keys live in memory for moments or for long; a dump
 * of it after a crash would put them on a disk, and a debugger of the same user would read them.
 */
#ifndef COMMON_CORE_DUMP_H
#define COMMON_CORE_DUMP_H

/* At the start of a program that serves: no core dump (RLIMIT_CORE, PR_SET_DUMPABLE), no debugger
 * but root's. LOCKSTEP_CORE_DUMPS=1 in the environment, for whoever looks for a fault, leaves both
 * as they are; it is taken out of the environment. Programs that are executed later are not meant:
 * they get back the limit that was. */
void core_dump_forbid(void);
/* In a child, before it executes another program. Safe after fork. */
void core_dump_restore(void);

#endif

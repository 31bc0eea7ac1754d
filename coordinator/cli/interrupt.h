/* interrupt.h - Ctrl-C while we look on: noticed, never a sudden death in the middle of a picture.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* From now on SIGINT, SIGTERM and SIGHUP set a flag instead of ending the program. The flag is the
 * one piece of state that this program shares with its signal handlers. */
void interrupt_catch(void);
const volatile int *interrupt_flag(void);
bool interrupt_happened(void);

/* Sleep until the time is over, a signal came, or the terminal changed its size. */
void interrupt_sleep(int64_t ms);

#endif

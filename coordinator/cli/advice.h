/* advice.h - what to type next, after an error of the API. */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

struct cli;
struct err;

/* Says on standard error what helps, where a command of this program does; else nothing. */
void advice_after(const struct cli *cli, const struct err *e);

#endif

/* invariant.h - checks for programmer errors; they stay on in production builds. */
#ifndef COMMON_INVARIANT_H
#define COMMON_INVARIANT_H

/* Says what was broken and where on stderr, then aborts. A restart is a tested path. */
_Noreturn void invariant_broken(const char *what, const char *file, int line);

#define MUST(cond) ((cond) ? (void)0 : invariant_broken(#cond, __FILE__, __LINE__))
#define IMPLIES(a, b) (!(a) || (b))

#endif

/* decision.pml - the decision core for Spin: one scope, one stage, leaders that may both believe they
 * lead, agents that crash at any moment, a network that loses, repeats, delays and reorders freely.
 *
 * What is durable is said for ever: a message that could have been sent may arrive any number of times,
 * at any time, or never. So the network needs no channels, and a crash no step: everything an agent or a
 * database knows is what it wrote, and each transaction is one atomic step.
 *
 * Checked in every state: one outcome per attempt (S1), only decided content runs (S2), a counted READY
 * is held (S3), and a decision finds it. NO_FENCE, NO_CAS, EARLY_READY, BY_TIME, OLD_ANSWERS switch
 * one thing each (check.sh says which of them must be found wrong).
 * Under the fence a leader's picture is the database's, so that NO_CAS alone changes no state: it is
 * explored without the fence only. The simulator has the line that the fence alone is enough.
 */
#define AGENTS 2
#define LEADERS 2
#define ATTEMPTS 3
#define EPOCHS 4

#define PREPARING 0
#define ACTIVATING 1
#define ROLLING_BACK 2
#define ABORTED 3

#define OPEN 0
#define ACTIVATE 1
#define ABORT 2

/* the database */
byte epoch, sequence, phase, current;
byte number[ATTEMPTS + 1];  /* of attempt 1, 2 …; 0: not opened */
byte outcome[ATTEMPTS + 1];
byte decision[ATTEMPTS + 1]; /* dseq of its ACTIVATE */
byte opener[ATTEMPTS + 1];   /* the epoch that opened it */
byte back;                   /* dseq of ROLLBACK */
bool counted[AGENTS];        /* READY rows of the current attempt */

/* leaders: what each believes */
byte leads[LEADERS];   /* its epoch; 0: none */
byte knows[LEADERS];   /* the newest attempt it has loaded or opened */
byte sees[LEADERS];    /* the attempt it is at */
byte thinks[LEADERS];  /* the phase it is in */

/* agents: all of it on disk, but for what they said */
byte slot[AGENTS], closed[AGENTS], obeyed[AGENTS], seen[AGENTS];
bool runs[AGENTS];                              /* the candidate is active */
bool said[AGENTS * (ATTEMPTS + 1)];             /* READY of the attempt is in the network */

#define SAID(a, n) said[(a) * (ATTEMPTS + 1) + (n)]

#ifdef NO_FENCE
#define FENCE(l) (leads[l] > 0)
#else
#define FENCE(l) (leads[l] > 0 && leads[l] == epoch)
#endif
#ifdef NO_CAS
#define EXPECT(condition) true
#else
#define EXPECT(condition) (condition)
#endif

#ifdef OLD_ANSWERS
#define LISTENS(l, a) true
#else
#define LISTENS(l, a) (leads[l] >= seen[a])
#endif

/* the number was not closed, promised or overtaken */
#define IS_NEW(a, n) (number[n] > 0 && (slot[a] == 0 || n > slot[a]) && n > closed[a] && number[n] > obeyed[a])

/* What a decision rests on: who is counted holds the slot, or has obeyed something newer. */
inline judge_counted(n) {
    d_step {
        byte i = 0;
        do
        :: i < AGENTS -> assert(slot[i] == n || obeyed[i] > number[n]); i++
        :: else -> break
        od;
        i = 0
    }
}

active [LEADERS] proctype leader() {
    byte l = _pid;
    byte a;
end:
    do
       /* a takeover reads the truth */
    :: atomic { epoch < EPOCHS && (leads[l] == 0 || leads[l] != epoch) ->
           epoch++; leads[l] = epoch; knows[l] = current; sees[l] = current; thinks[l] = phase }
       /* C1: the first attempt, or a retry */
    :: atomic { FENCE(l) && thinks[l] == PREPARING && EXPECT(phase == PREPARING && sees[l] == current) &&
                current < ATTEMPTS ->
           current++; sequence++; number[current] = sequence; opener[current] = leads[l];
           knows[l] = current; sees[l] = current;
           a = 0;
           do
           :: a < AGENTS -> counted[a] = false; a++
           :: else -> break
           od;
           a = 0 }
       /* C2 */
    :: atomic { FENCE(l) && current > 0 && sees[l] == current && SAID(0, current) && !counted[0] -> counted[0] = true }
    :: atomic { FENCE(l) && current > 0 && sees[l] == current && SAID(1, current) && !counted[1] -> counted[1] = true }
       /* C3, either way */
    :: atomic { FENCE(l) && sees[l] > 0 && thinks[l] == PREPARING && counted[0] && counted[1] &&
                EXPECT(phase == PREPARING && sees[l] == current) ->
           assert(outcome[sees[l]] == OPEN);
           judge_counted(sees[l]);
           outcome[sees[l]] = ACTIVATE; phase = ACTIVATING; thinks[l] = ACTIVATING;
           sequence++; decision[sees[l]] = sequence }
    :: atomic { FENCE(l) && sees[l] > 0 && thinks[l] == PREPARING && EXPECT(phase == PREPARING && sees[l] == current) ->
           assert(outcome[sees[l]] == OPEN);
           outcome[sees[l]] = ABORT; phase = ABORTED; thinks[l] = ABORTED }
    :: atomic { FENCE(l) && thinks[l] == ACTIVATING && EXPECT(phase == ACTIVATING) ->
           assert(back == 0);
           phase = ROLLING_BACK; thinks[l] = ROLLING_BACK; sequence++; back = sequence }
    od
}

active [AGENTS] proctype agent() {
    byte a = _pid - LEADERS;
    byte n, l;
end:
    do
       /* PREPARE of any attempt that is durable, from any leader that knows it */
    :: atomic { n = 1;
           do
           :: n < ATTEMPTS -> n++
           :: break
           od;
           if
           :: IS_NEW(a, n) && !runs[a] ->
               if
               :: seen[a] < opener[n] -> seen[a] = opener[n]
               :: else -> skip
               fi;
#ifdef EARLY_READY
               SAID(a, n) = true
#else
               slot[a] = n
#endif
           :: else -> skip
           fi; n = 0 }
#ifdef EARLY_READY
    :: atomic { SAID(a, 1) && slot[a] == 0 && closed[a] < 1 && obeyed[a] < number[1] -> slot[a] = 1 }
#endif
    :: atomic { slot[a] > 0 && !SAID(a, slot[a]) -> SAID(a, slot[a]) = true }
       /* ACTIVATE: A2 */
    :: atomic { n = 1;
           do
           :: n < ATTEMPTS -> n++
           :: break
           od;
           if
           :: outcome[n] == ACTIVATE && decision[n] > obeyed[a] ->
               assert(slot[a] == n);
               slot[a] = 0; runs[a] = true; obeyed[a] = decision[n]
           :: else -> skip
           fi; n = 0 }
       /* ROLLBACK beats a late ACTIVATE in either order */
    :: atomic { back > obeyed[a] -> slot[a] = 0; runs[a] = false; obeyed[a] = back }
       /* ABORT, and STATUS answered "aborted" */
    :: atomic { slot[a] > 0 && outcome[slot[a]] == ABORT -> closed[a] = slot[a]; slot[a] = 0 }
       /* STATUS answered "unknown": by a leader not older than the newest this agent has seen */
    :: atomic { l = 0;
           do
           :: l < LEADERS - 1 -> l++
           :: break
           od;
           if
           :: slot[a] > 0 && leads[l] > 0 && LISTENS(l, a) ->
               seen[a] = leads[l];
               if
               :: slot[a] > knows[l] || slot[a] < sees[l] -> closed[a] = slot[a]; slot[a] = 0
               :: else -> skip
               fi
           :: else -> skip
           fi; l = 0 }
#ifdef BY_TIME
    :: atomic { slot[a] > 0 -> slot[a] = 0 }
#endif
    od
}

#!/bin/bash
# check.sh - Spin over the decision core as it should be, and over mistakes that Spin must find.
set -u
model=$(cd "$(dirname "$0")" && pwd)/decision.pml
work=$(mktemp -d -t lockstep-model.XXXXXX)
trap 'rm -rf "$work"' EXIT
good=0 bad=0

command -v spin >/dev/null || { echo "spin is missing: apt-get install spin"; exit 1; }
cd "$work" || exit 1

explore() { # "sound" or "wrong", then the switches
    local expected=$1 verdict states; shift
    rm -f pan*
    spin -a "$@" "$model" >spin.log 2>&1 && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c || { cat spin.log; bad=$((bad + 1)); return; }
    ./pan -m1000000 -n >pan.log 2>&1
    states=$(sed -nE 's/^ *([0-9]+) states, stored.*/\1/p' pan.log)
    if grep -qE 'errors: 0$' pan.log && ! grep -q 'max search depth too small' pan.log; then verdict=sound; else verdict=wrong; fi
    [ $verdict = "$expected" ] && good=$((good + 1)) || bad=$((bad + 1))
    printf '%-24s %-6s (expected %s), %s states\n' "${*:-as it should be}" $verdict "$expected" "$states"
}

explore sound
explore wrong -DNO_FENCE
explore wrong -DNO_FENCE -DNO_CAS
explore wrong -DEARLY_READY
explore wrong -DBY_TIME
explore wrong -DOLD_ANSWERS
echo "$good passed, $bad failed"
[ $bad -eq 0 ]

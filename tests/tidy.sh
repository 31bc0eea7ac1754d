#!/bin/bash
# tidy.sh - the house rules that a compiler cannot check: says file, line and rule; counts the rules.
#
# A rule that looks into files stands in tidy.pl, one process for all of them: a process for each
# rule and file takes minutes.
set -u
cd "$(dirname "$0")/.." || exit 1
if git rev-parse --git-dir >/dev/null 2>&1; then
    files=$(git ls-files --cached --others --exclude-standard --deduplicate)
    gone=$(git ls-files --deleted)
    [ -z "$gone" ] || files=$(grep -vxF "$gone" <<<"$files")
else
    files=$(find . -path ./build -prune -o -type f -printf '%P\n' | LC_ALL=C sort)
fi
if ! counts=$(perl tests/tidy.pl <<<"$files"); then
    [[ $counts =~ [0-9]+\ passed,\ [0-9]+\ failed$ ]] || { echo "$counts"; exit 1; } # it did not get to its end
fi
[ "${counts%$'\n'*}" = "$counts" ] || echo "${counts%$'\n'*}"
read -r good _ bad _ <<<"${counts##*$'\n'}"

# What one finding or none says, of a program that prints what it finds.
rule() { # sentence, findings
    if [ -z "$2" ]; then good=$((good + 1)); return; fi
    bad=$((bad + 1)); echo "$1:"; sed 's/^/  /' <<<"$2"
}
mapfile -t shell < <(grep -E '\.(sh|bash)$|^\.ci/run$' <<<"$files")
none=
if command -v shellcheck >/dev/null; then
    rule "shell scripts are sound" "$(shellcheck -S warning "${shell[@]}" 2>&1)"
else
    rule "shell scripts can be parsed" "$(for f in "${shell[@]}"; do bash -n "$f" 2>&1; done)"
    echo "NOT RUN: shell scripts are sound: shellcheck is not installed"
    none=", 1 not run"
fi

echo "$good passed, $bad failed$none"
[ "$bad" -eq 0 ]

#!/bin/bash
# tidy.sh - the house rules that a compiler cannot check: says file, line and rule; counts the rules.
set -u
shopt -s lastpipe # so that a rule at the end of a pipe counts in this shell
cd "$(dirname "$0")/.." || exit 1
good=0 bad=0
files() { git ls-files --cached --others --exclude-standard -- "$@" 2>/dev/null | while read -r f; do [ -e "$f" ] && echo "$f"; done | sort -u; }
git rev-parse --git-dir >/dev/null 2>&1 || files() { local p; for p in "$@"; do find . -path ./build -prune -o -path "./$p" -print; done | sed 's|^\./||' | sort -u; }
mapfile -t sources < <(files '*.c' '*.h')
mapfile -t scripts < <(files '*.sh' '*.py' '*.sql' '*.js')
mapfile -t core < <(files 'coordinator/core/*.[ch]' 'agent/core/*.[ch]')

# Every finding of a rule is a line on its standard input.
rule() { # sentence
    local findings; findings=$(cat)
    if [ -z "$findings" ]; then good=$((good + 1)); return; fi
    bad=$((bad + 1)); echo "$1:"; sed 's/^/  /' <<<"$findings"
}
found() { grep -nE "$@" /dev/null || true; } # pattern file…: where it stands
# The code alone, as copies: comments and string contents are blanked, lines keep their numbers.
copies=$(mktemp -d -t lockstep-tidy.XXXXXX)
trap 'rm -rf "$copies"' EXIT
for f in "${sources[@]}"; do echo "$copies/${f%/*}"; done | sort -u | xargs mkdir -p
# shellcheck disable=SC2016  # perl's own variables
perl -0777 -e 'my $into = shift; for my $f (@ARGV) {
    open my $in, "<", $f or die "$f: $!"; my $text = <$in>;
    $text =~ s{("(?:\\.|[^"\\\n])*")|(/\*.*?\*/)|(//[^\n]*)}{my $t = $1 // $2 // $3; $t =~ s/[^\n]/ /g unless $t =~ m|^"[\w./-]+\.h"$|; $t}gse;
    open my $out, ">", "$into/$f" or die "$into/$f: $!"; print $out $text; }' "$copies" "${sources[@]}"
in_code() { # pattern file…
    local pattern=$1; shift
    (cd "$copies" && grep -nE "$pattern" /dev/null "$@")
}

for f in "${sources[@]}"; do
    head -n 1 "$f" | grep -q "^/\* $(basename "$f") - [^ ].*[^ ]\( \*/\)\?$" || echo "$f:1"
done | rule 'the first line is "/* NAME - one sentence: its single responsibility. */"'

for f in "${scripts[@]}"; do
    head -n 2 "$f" | grep -qE "^(#|--|//|/\*) $(basename "$f") - |^\"\"\"$(basename "$f") - " || echo "$f:1"
done | rule "a script or page says on its first line (after #!) what it is for"

for f in "${sources[@]}"; do
    LC_ALL=C awk -v f="$f" '{ text = $0; sub(/ *\\$/, "", text); gsub(/[\200-\277]/, "", text) }
        length(text) > (FNR == 1 ? 110 : 100) && !/^ *\{.*\},?$/ && !/^\/\*  .*\*\/$/ { print f ":" FNR ": " length(text) " columns" }' "$f"
done | rule "lines have at most 100 columns, the first one 110 (rows of tables may be longer)"

for f in "${sources[@]}"; do
    awk -v f="$f" '/^\{$/ { start = FNR } /^\}/ && start { if (FNR - start - 1 > 70) print f ":" start ": " FNR - start - 1 " lines"; start = 0 }' "$f"
done | rule "functions have at most 70 lines"

for f in "${sources[@]}" "${scripts[@]}"; do
    n=$(wc -l <"$f"); [ "$n" -le 600 ] || echo "$f: $n lines"
done | rule "files have at most 600 lines"

for f in "${sources[@]}"; do
    header=${f%.c}.h
    [ "$f" != "$header" ] && [ -e "$header" ] || continue
    # A module of several files shares a NAME_….h of its own, which includes NAME.h.
    grep -m1 '^#include' "$f" | grep -qE "\"${f%.c}(_[a-z]+)?\.h\"" || echo "$f"
done | rule "a .c file includes its own header first, so that every header stands alone"

for f in "${sources[@]}"; do
    case $f in *.h) ;; *) continue;; esac
    full=$(tr 'a-z/.-' 'A-Z___' <<<"$f") guard=$(sed -nE 's/^#ifndef ([A-Z0-9_]+_H)$/\1/p;T;q' "$f")
    case _$full in *_"${guard:-none}") grep -q "^#define $guard\$" "$f" || echo "$f" ;; *) echo "$f: $full" ;; esac
done | rule "a header is guarded by its path in capitals"

only() { # library pattern, then the files (globs) that may include it
    local library=$1 f owner is_owner; shift
    for f in "${sources[@]}"; do
        case $f in tests/unit/* | tests/db/* | tests/fuzz/*) continue ;; esac
        is_owner=
        # shellcheck disable=SC2254  # owners are patterns
        for owner in "$@"; do case $f in $owner) is_owner=yes ;; esac; done
        [ -n "$is_owner" ] || grep -nE "^#include <($library)" "$f" | sed "s|^|$f:|"
    done | rule "only $* may include <$library>"
}
only 'libpq|postgres' coordinator/store/pg.c
only 'microhttpd' 'coordinator/http/*' 'agent/local*.c'
only 'curl/' 'coordinator/courier/*' 'coordinator/keyring/vault_*' 'coordinator/cli/*' 'agent/apply*.c'
only 'lmdb' 'agent/cache*' 'tests/bench/client/*'
only 'openssl/' common/base64.c common/digest.c common/random.c common/seal.c coordinator/store/tokens.c
only 'xxhash' agent/client/lookup.h
only 'zmq|czmq' coordinator/router.c coordinator/zap.c agent/dealer.c 'coordinator/loop*.c' 'agent/loop*.c' 'tests/bench/*' 'tests/system/*'
only 'yaml' 'common/yaml*.c' 'common/document*.c' 'coordinator/cli/*'
only 'ini\.h' common/settings.c coordinator/cli/context.c
only 'check\.h' 'tests/*'

{ in_code '#include <(assert|stdio|stdlib|time|unistd|errno|pthread|fcntl|sys/|czmq|zmq|libpq|jansson|microhttpd|curl|lmdb|openssl)' "${core[@]}"
  in_code '\b(malloc|calloc|realloc|strdup|free|time|clock_gettime|rand|random|printf|fprintf|snprintf|getenv|log_(debug|info|warn|error|write))\(' "${core[@]}"
  in_code '#include "' "${core[@]}" | grep -vE '#include "(common|coordinator/core|agent/core)/'
  in_code '#include "common/(buffer|clock|log|settings|document|wire|digest)\.h"' "${core[@]}"
  in_code '^(static )?((struct|enum) [a-z_]+|u?int[0-9]+_t|bool|char|unsigned|size_t|int) +\**[a-z_]+(\[[^]]*\])*( = .*)?;' "${core[@]}"
} | rule "a core is pure: no library, clock, allocation, log, global, and nothing from above it"

mapfile -t coordinator < <(files 'coordinator/*.[ch]')
mapfile -t agent < <(files 'agent/*.[ch]')
mapfile -t common < <(files 'common/*.[ch]')
{ in_code '#include "agent/' "${coordinator[@]}"
  in_code '#include "coordinator/' "${agent[@]}"
  in_code '#include "(agent|coordinator)/' "${common[@]}"
  in_code '#include "tests/' "${coordinator[@]}" "${agent[@]}" "${common[@]}"
} | rule "coordinator and agent know common, and not each other; common knows neither"

{ for f in "${coordinator[@]}" "${agent[@]}"; do
      case $f in
          */loop*.[ch] | */main.c) ;;
          *) in_code '#include "(coordinator|agent)/(loop|main)' "$f" ;;
      esac
      case $f in
          coordinator/cli/*) in_code '#include "coordinator/' "$f" | grep -v '"coordinator/cli/' ;;
          coordinator/store/*) in_code '#include "coordinator/(http|courier|router|cli)' "$f" ;;
          coordinator/router.[ch] | coordinator/zap.[ch]) in_code '#include "coordinator/(store|http|courier|cli)' "$f" ;;
          coordinator/courier/*) in_code '#include "coordinator/(http|router|cli)' "$f" ;;
          coordinator/keyring/*) in_code '#include "coordinator/(store|http|courier|router|cli)' "$f" ;;
          coordinator/http/*) in_code '#include "coordinator/(router|courier|cli)' "$f" ;;
      esac
  done
} | rule "a file includes only what is below it: edges do not call each other, the loop is called by main alone"

# A cycle is a pair that tsort names.
for f in "${sources[@]}"; do
    case $f in *.h) sed -nE "s|^#include \"([^\"]+)\".*|$f \1|p" "$f" ;; esac
done | tsort 2>&1 >/dev/null | grep -v 'input contains' | rule "headers do not include each other in a circle"

in_code '\b(strcpy|strcat|strncpy|sprintf|vsprintf|gets|alloca|setjmp|longjmp|strtok|atoi|atol|system|popen|tmpnam|mktemp|rand|srand)\(|\bgoto\b' "${sources[@]}" |
    rule "never goto, strcpy, strcat, strncpy, sprintf, gets, alloca, setjmp, strtok, atoi, system, popen, rand"
in_code '^\s*typedef (struct|union|enum)|MDB_(NOSYNC|NOMETASYNC|WRITEMAP)|ROUTER_HANDOVER|POSTPROCESSOR|PREPARE TRANSACTION' "${coordinator[@]}" "${agent[@]}" "${common[@]}" |
    rule "never a typedef of a struct, LMDB without its sync, ROUTER_HANDOVER, PREPARE TRANSACTION"
found '\b(TODO|FIXME|XXX|HACK)\b|not implemented' "${sources[@]}" "${scripts[@]}" | grep -v '^tests/tidy\.sh:' |
    rule "nothing is left open in comments: TODO, FIXME, XXX"
in_code '\bsleep\(' "${sources[@]}" | rule "no sleep() as synchronisation: poll with a limit"
found '[[:space:]]+$' "${sources[@]}" "${scripts[@]}" README.md | rule "no blanks at line ends"

# The one list of problem codes: clients act on them, the description of the API explains them.
mapfile -t coded < <(files 'coordinator/*.c' | grep -v '^coordinator/cli/')
known=$(grep -oE 'X\([a-z_]+\)' coordinator/http/codes.h | tr -d 'X()')
# shellcheck disable=SC2016  # perl's own variables
perl -0777 -ne 'while (/\berr_code\(\s*&?\w+,[^"]*?"(\w+)"|->code = "(\w+)"/g) { print "$ARGV: ", $1 // $2, "\n" }' "${coded[@]}" |
    while read -r f code; do grep -qx "$code" <<<"$known" || echo "$f $code"; done |
    rule "problem codes are listed in coordinator/http/codes.h"

n=0
for f in $(files 'sql/*.sql'); do
    n=$((n + 1)); case $(basename "$f") in "$(printf %03d $n)"_*.sql) ;; *) echo "$f: expected number $(printf %03d $n)" ;; esac
done | rule "SQL files are numbered 001_, 002_, … without gaps"

for entry in $(files '*' | cut -d/ -f1 | sort -u); do
    case $entry in Makefile | README.md | LICENSE | coordinator | agent | common | sql | tests | dashboards | package.json | package-lock.json | .*) ;; *) echo "$entry" ;; esac
done | rule "nothing at the top but Makefile README.md LICENSE coordinator agent common sql tests dashboards"

mapfile -t shell < <(files '*.sh' .ci/run)
if command -v shellcheck >/dev/null; then shellcheck -S warning "${shell[@]}" 2>&1; else for f in "${shell[@]}"; do bash -n "$f" 2>&1; done; fi |
    rule "shell scripts are sound"

echo "$good passed, $bad failed"
[ $bad -eq 0 ]

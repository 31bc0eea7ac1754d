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

# Perl code that looks at each file once: $f is its name, $text what it says, @line its lines. One
# process for all files of a rule: a rule that starts one for each file takes minutes.
# shellcheck disable=SC2016  # perl's own variables
each() { # code file…
    perl -e 'my $code = shift; my $look = eval "sub { my (\$f, \$text, \@line) = \@_; $code }" or die $@;
        for my $f (@ARGV) { open my $in, "<", $f or die "$f: $!"; local $/; my $text = <$in> // "";
                            $look->($f, $text, split /\n/, $text) }' "$@" 2>&1 || echo "this rule could not be looked at"
}

each 'my ($name) = $f =~ m{([^/]+)$};
      print "$f:1\n" if ($line[0] // "") !~ m{^/\* \Q$name\E - [^ ].*[^ ]( \*/)?$};' "${sources[@]}" |
    rule 'the first line is "/* NAME - one sentence: its single responsibility. */"'

each 'my ($name) = $f =~ m{([^/]+)$};
      print "$f:1\n" unless grep { m{^(#|--|//|/\*) \Q$name\E - |^"""\Q$name\E - } } grep { defined } @line[0, 1];' "${scripts[@]}" |
    rule "a script or page says on its first line (after #!) what it is for"

each 'my $n = 0;
      for (@line) {
          $n++; (my $shown = $_) =~ s/ *\\$//; $shown =~ s/[\200-\277]//g; my $width = length $shown;
          print "$f:$n: $width columns\n" if $width > ($n == 1 ? 110 : 100) && !/^ *\{.*\},?$/ && !m{^/\*  .*\*/$};
      }' "${sources[@]}" |
    rule "lines have at most 100 columns, the first one 110 (rows of tables may be longer)"

each 'my ($n, $start) = (0, 0);
      for (@line) {
          $n++; $start = $n if /^\{$/; next unless /^\}/ && $start;
          my $lines = $n - $start - 1; print "$f:$start: $lines lines\n" if $lines > 70; $start = 0;
      }' "${sources[@]}" |
    rule "functions have at most 70 lines"

each 'my $n = $text =~ tr/\n//; print "$f: $n lines\n" if $n > 600;' "${sources[@]}" "${scripts[@]}" |
    rule "files have at most 600 lines"

# A module of several files shares a NAME_….h of its own, which includes NAME.h.
each 'my ($stem) = $f =~ /^(.*)\.c$/ or return; return unless -e "$stem.h";
      my ($first) = grep { /^#include/ } @line; print "$f\n" if ($first // "") !~ /"\Q$stem\E(_[a-z]+)?\.h"/;' "${sources[@]}" |
    rule "a .c file includes its own header first, so that every header stands alone"

each 'return unless $f =~ /\.h$/; (my $full = uc $f) =~ tr{/.-}{___};
      my ($guard) = $text =~ /^#ifndef ([A-Z0-9_]+_H)$/m;
      if (!defined $guard || "_$full" !~ /_\Q$guard\E$/) { print "$f: $full\n" }
      elsif ($text !~ /^#define \Q$guard\E$/m) { print "$f\n" }' "${sources[@]}" |
    rule "a header is guarded by its path in capitals"

only() { # library pattern, then the files (globs) that may include it
    local library=$1 f owner is_owner others=(); shift
    for f in "${sources[@]}"; do
        case $f in tests/unit/* | tests/db/* | tests/fuzz/*) continue ;; esac
        is_owner=
        # shellcheck disable=SC2254  # owners are patterns
        for owner in "$@"; do case $f in $owner) is_owner=yes ;; esac; done
        [ -n "$is_owner" ] || others+=("$f")
    done
    found "^#include <($library)" "${others[@]}" | rule "only $* may include <$library>"
}
only 'libpq|postgres' coordinator/store/pg.c coordinator/store/pg_part.h
only 'microhttpd' 'coordinator/http/*' 'agent/local/*'
only 'curl/' 'coordinator/courier/*' 'coordinator/keyring/vault_*' 'coordinator/cli/*' 'agent/tasks/apply*.c'
only 'lmdb' 'agent/cache/*' 'tests/bench/client/*'
only 'openssl/' common/crypto/base64.c common/crypto/digest.c common/random.c common/crypto/seal.c coordinator/store/access/tokens.c
only 'xxhash' agent/client/lookup.h
only 'zmq|czmq' 'coordinator/link/router*' coordinator/link/zap.c agent/link/dealer.c 'coordinator/loop*.c' 'agent/loop*.c' 'tests/bench/*' 'tests/peer/*' 'tests/stranger/*'
only 'yaml' 'common/document/*' 'coordinator/cli/*'
only 'ini\.h' common/settings.c coordinator/cli/context.c
only 'check\.h' 'tests/*'

{ in_code '#include <(assert|stdio|stdlib|time|unistd|errno|pthread|fcntl|sys/|czmq|zmq|libpq|jansson|microhttpd|curl|lmdb|openssl)' "${core[@]}"
  in_code '\b(malloc|calloc|realloc|strdup|free|time|clock_gettime|rand|random|printf|fprintf|snprintf|getenv|log_(debug|info|warn|error|write))\(' "${core[@]}"
  in_code '#include "' "${core[@]}" | grep -vE '#include "(common|coordinator/core|agent/core)/'
  in_code '#include "common/(buffer|clock|log|settings|(document|wire|schema)/.*|crypto/(digest|seal|envelope).*)\.h"' "${core[@]}"
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

below=() cli=() store=() router=() courier=() keyring=() http=()
for f in "${coordinator[@]}" "${agent[@]}"; do
    case $f in */loop*.[ch] | */main.c) ;; *) below+=("$f") ;; esac
    case $f in
        coordinator/cli/*) cli+=("$f") ;;
        coordinator/store/*) store+=("$f") ;;
        coordinator/link/router*.[ch] | coordinator/link/zap.[ch]) router+=("$f") ;;
        coordinator/courier/*) courier+=("$f") ;;
        coordinator/keyring/*) keyring+=("$f") ;;
        coordinator/http/*) http+=("$f") ;;
    esac
done
{ in_code '#include "(coordinator|agent)/(loop|main)' "${below[@]}"
  in_code '#include "coordinator/' "${cli[@]}" | grep -v '"coordinator/cli/'
  in_code '#include "coordinator/(http|courier|link|cli)' "${store[@]}"
  in_code '#include "coordinator/(store|http|courier|cli)' "${router[@]}"
  in_code '#include "coordinator/(http|link|cli)' "${courier[@]}"
  in_code '#include "coordinator/(store|http|courier|link|cli)' "${keyring[@]}"
  in_code '#include "coordinator/(link|courier|cli)' "${http[@]}"
} | rule "a file includes only what is below it: edges do not call each other, the loop is called by main alone"

# tests/rooms lists the folders, low to high, in blocks.
# shellcheck disable=SC2016  # perl's own variables
perl -e 'open my $rooms, "<", "tests/rooms" or die; my ($level, %level) = 0;
      while (<$rooms>) { next if /^#/; if (/^\s*$/) { $level++ } elsif (/^(\S+)\s+\S/) { $level{$1} = $level } }
      my (%count, %seen);
      for my $f (@ARGV) {
          next if $f =~ m{/examples/};
          my ($folder) = $f =~ m{^(.*)/}; $seen{$folder} = 1; $count{$folder}++ if $f =~ /\.c$/;
          print "$f: its folder is not in tests/rooms\n" unless defined $level{$folder};
          open my $in, "<", $f or die; my $n = 0;
          while (<$in>) { $n++; next unless m{^#include "((?:common|coordinator|agent)(?:/.*)?)/[^/"]+"} && $1 ne $folder;
              print "$f:$n: $1 is not below $folder\n" unless ($level{$1} // 99) < ($level{$folder} // 99) } }
      for (sort keys %count) { print "$_: $count{$_} .c files\n" if $count{$_} > 35 && $_ ne "coordinator/cli" }
      for (sort keys %level) { print "tests/rooms: nothing lies in $_\n" unless $seen{$_} }' \
    "${coordinator[@]}" "${agent[@]}" "${common[@]}" |
    rule "a file includes its own folder and lower ones (tests/rooms), and a folder has at most 35 .c files"

# A cycle is a pair that tsort names.
each 'return unless $f =~ /\.h$/; print "$f $1\n" while $text =~ /^#include "([^"]+)"/mg;' "${sources[@]}" | tsort 2>&1 >/dev/null | grep -v 'input contains' | rule "headers do not include each other in a circle"

in_code '\b(strcpy|strcat|strncpy|sprintf|vsprintf|gets|alloca|setjmp|longjmp|strtok|atoi|atol|system|popen|tmpnam|mktemp|rand|srand)\(|\bgoto\b' "${sources[@]}" |
    rule "never goto, strcpy, strcat, strncpy, sprintf, gets, alloca, setjmp, strtok, atoi, system, popen, rand"
in_code '^\s*typedef (struct|union|enum)|MDB_(NOSYNC|NOMETASYNC|WRITEMAP)|ROUTER_HANDOVER|POSTPROCESSOR|PREPARE TRANSACTION' "${coordinator[@]}" "${agent[@]}" "${common[@]}" |
    rule "never a typedef of a struct, LMDB without its sync, ROUTER_HANDOVER, PREPARE TRANSACTION"
found '\b(TODO|FIXME|XXX|HACK)\b|not implemented' "${sources[@]}" "${scripts[@]}" | grep -v '^tests/tidy\.sh:' |
    rule "nothing is left open in comments: TODO, FIXME, XXX"
for f in $(files 'coordinator/*.c' | grep -v '^coordinator/cli/'); do
    [ "$(grep -c 'pthread_create(' "$f")" -le "$(grep -c 'pulse_begin(' "$f")" ] || echo "$f"
done | rule "every thread of the coordinator has a pulse, so that the watchdog asks it (common/pulse.h)"
in_code '\bsleep\(' "${sources[@]}" | rule "no sleep() as synchronisation: poll with a limit"
found '[[:space:]]+$' "${sources[@]}" "${scripts[@]}" README.md | rule "no blanks at line ends"

# The one list of problem codes: clients act on them, the description of the API explains them.
mapfile -t coded < <(files 'coordinator/*.c' | grep -v '^coordinator/cli/')
known=$(grep -oE 'X\([a-z_]+\)' coordinator/http/request/codes.h | tr -d 'X()')
# shellcheck disable=SC2016  # perl's own variables
known=" ${known//$'\n'/ } " perl -0777 -ne 'while (/\berr_code\(\s*&?\w+,[^"]*?"(\w+)"|->code = "(\w+)"/g) {
    my $code = $1 // $2; print "$ARGV $code\n" if index($ENV{known}, " $code ") < 0 }' "${coded[@]}" |
    rule "problem codes are listed in coordinator/http/request/codes.h"

n=0
for f in $(files 'sql/*.sql'); do
    n=$((n + 1)); printf -v number %03d $n
    case ${f##*/} in "$number"_*.sql) ;; *) echo "$f: expected number $number" ;; esac
done | rule "SQL files are numbered 001_, 002_, … without gaps"

for entry in $(files '*' | cut -d/ -f1 | sort -u); do
    case $entry in Makefile | README.md | LICENSE | coordinator | agent | common | sql | tests | dashboards | package.json | package-lock.json | .*) ;; *) echo "$entry" ;; esac
done | rule "nothing at the top but Makefile README.md LICENSE coordinator agent common sql tests dashboards"

mapfile -t shell < <(files '*.sh' .ci/run)
none=
if command -v shellcheck >/dev/null; then
    shellcheck -S warning "${shell[@]}" 2>&1 | rule "shell scripts are sound"
else
    for f in "${shell[@]}"; do bash -n "$f" 2>&1; done | rule "shell scripts can be parsed"
    echo "NOT RUN: shell scripts are sound: shellcheck is not installed"
    none=", 1 not run"
fi

echo "$good passed, $bad failed$none"
[ $bad -eq 0 ]

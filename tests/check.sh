#!/bin/bash
# check.sh - run the named parts of the tests, one line each, and sum up: `N passed, N failed`; and
# `, N not run` behind it where something could not be proved here: each is told with its reason.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL # what is made here has jobs of its own
shopt -s nullglob
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} ONLY=${ONLY:-} SEED=${SEED:-} AGENTS=${AGENTS:-1000}
passed=0 failed=0 not_run=0
# What hangs is ended; what a busy machine makes slow is not. (Units that set a limit get five times it.)
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-60} CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER:-5}
logs=$(mktemp -d -t lockstep-check.XXXXXX) log=$logs/log in_memory=
trap 'rm -rf "$logs" ${in_memory:+"$in_memory"}' EXIT
# Programs run beside each other, more than there are cores: most of them wait for something now and then.
lanes=${LANES:-$((2 * $(nproc)))}

# Add up what a program said of itself, in the words of libcheck or in ours, and its exit status: one
# that ended badly without saying what failed, or that ran nothing, is a failure. For libcheck a test
# that says it was not run has passed: for us it has not.
own='[0-9]+ passed, [0-9]+ failed(, [0-9]+ not run)?'
count() { # status
    local words good=0 bad=0 none=0 n f e
    local sums="Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+|\b$own" from=1
    # What sums up by itself in its last line is not added up again.
    if tail -n 1 "$log" | grep -qE "^$own$"; then from=$(wc -l <"$log"); else none=$(grep -c '^NOT RUN: ' "$log"); fi
    good=-$none
    while read -r words; do
        case $words in
            *Checks:*) read -r n f e <<<"$(sed -E 's/.*Checks: ([0-9]+), Failures: ([0-9]+), Errors: ([0-9]+).*/\1 \2 \3/' <<<"$words")"
                good=$((good + n - f - e)) bad=$((bad + f + e)) ;;
            *) read -r n f e <<<"$(grep -oE "$own" <<<"$words" | tail -n 1 | tr -cs '0-9' ' ') 0"
                good=$((good + n)) bad=$((bad + f)) none=$((none + ${e%% *})) ;;
        esac
    done < <(tail -n "+$from" "$log" | grep -v '^NOT RUN: ' | grep -E "$sums")
    [ "$1" -ne 0 ] && [ $bad -eq 0 ] && bad=1
    [ $good -lt 0 ] && good=0 # it said so and failed then
    # Who never sums up may have ended anywhere.
    [ $bad -gt 0 ] || grep -v '^NOT RUN: ' "$log" | grep -qE "$sums" || bad=1
    part_good=$((part_good + good)) part_bad=$((part_bad + bad)) part_none=$((part_none + none))
    [ $bad -eq 0 ] && [ "$1" -eq 0 ]
}

# A program whose output matters only when it fails.
quiet() { # name command…
    local name=$1 status; shift
    "$@" >"$log" 2>&1 </dev/null; status=$?
    told "$name" $status
}

# What the log says of a program that ended so.
told() { # name status
    local name=$1 status=$2
    sed -n "s|^NOT RUN: |    NOT RUN: $name: |p" "$log" | sort -u
    count $status && return 0
    echo "--- $name failed (exit status $status):"
    sed 's/^/    /' "$log"
}

# A program that is worth watching: its own summary line is taken out, all is summed at the end.
loud() { # name command…
    local name=$1 status; shift
    "$@" 2>&1 </dev/null | tee "$log" | sed -u -E "/^$own$/d; s/^/    /"
    status=${PIPESTATUS[0]}
    count "$status" || echo "--- $name failed (exit status $status)"
}

# A command that only has to end well.
once() { # name command…
    local name=$1 status; shift
    "$@" >"$log" 2>&1 </dev/null; status=$?
    [ $status -ne 0 ] || echo "1 passed, 0 failed" >"$log"
    count $status || { echo "--- $name failed (exit status $status):"; tail -n 60 "$log" | sed 's/^/    /'; }
}

# Every test program of a folder; who gives itself much time begins first, so that none is left over at the end.
programs() { # folder
    local source name running=0
    mkdir -p "$logs/$1"
    while read -r _ source; do
        name=$(basename "$source" .c)
        [ "$1/$name" = db/kit ] && continue
        if [ $running -ge "$lanes" ]; then wait -n; running=$((running - 1)); fi
        { "$build/tests/$1/$name" >"$logs/$1/$name" 2>&1 </dev/null; echo $? >"$logs/$1/$name.status"; } &
        running=$((running + 1))
    done < <(for source in tests/"$1"/*.c; do
        echo "$(grep -oP 'tcase_set_timeout\(\w+, \K[0-9]+' "$source" | sort -n | tail -n 1) $source"
    done | sed 's/^ /0 /' | sort -k 1,1rn -k 2)
    wait
    for source in tests/"$1"/*.c; do
        name=$(basename "$source" .c) log=$logs/$1/$name
        [ "$1/$name" = db/kit ] || told "$1/$name" "$(cat "$log.status")"
    done
    log=$logs/log
}

# For tests with a PostgreSQL: the folder of data that initdb makes, of which each takes a copy; and
# a place in memory for these copies where there is room, since a disk is slow at so many files.
pg_data() {
    local initdb user as=() place=$logs memory
    [ -z "${LOCKSTEP_PG_DATA:-}" ] || return 0
    initdb=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | tail -n 1)
    [ -n "$initdb" ] || return 0 # the tests say what is missing
    memory=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    if [ "${memory:-0}" -gt 8000000 ] && [ "$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 8000000 ]; then
        place=$(mktemp -d -p /dev/shm lockstep-check.XXXXXX) && in_memory=$place && export LOCKSTEP_PG_FOLDER=$place
    fi
    chmod 1777 "$place"
    mkdir "$place/made"
    if [ "$(id -u)" -eq 0 ]; then
        user=$(id -un postgres 2>/dev/null || echo nobody)
        as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
        chown "$user" "$place/made"
    fi
    (cd / && "${as[@]}" "$initdb" -D "$place/made/data" -U lockstep -A trust -E UTF8 --locale=C -N >/dev/null) || return 0
    export LOCKSTEP_PG_DATA=$place/made/data
}

part_tidy() { quiet tidy bash tests/tidy.sh; }
# The objects' own word; and that a circle which was made on purpose is found.
part_circles() {
    local made=$logs/circle
    quiet circles perl tests/circles.pl "$build"
    mkdir -p "$made"/obj/{common,agent,coordinator/one,coordinator/two}
    echo 'int two(void); int one(void) { return two(); }' | "${CC:-gcc}" -x c -c - -o "$made/obj/coordinator/one/one.o"
    echo 'int one(void); int two(void) { return one(); }' | "${CC:-gcc}" -x c -c - -o "$made/obj/coordinator/two/two.o"
    once "a circle is found" bash -c "perl tests/circles.pl '$made' | grep 'coordinator/one -> coordinator/two, by two'"
}
part_unit() { programs unit; }
part_db() { pg_data; programs db; }
part_sim() { loud sim "$build/tests/sim" ${SEED:+--seed "$SEED"}; }
part_system() { pg_data; loud system env BUILD="$build" python3 -u tests/system/run.py $ONLY; }

# What only check-all does: each part builds into a folder of its own.
asan="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
make() { command "${MAKE:-make}" --no-print-directory -j"$(nproc)" "$@"; }
part_clang() { once clang make BUILD="$build/clang" CC=clang all tests; }
part_asan() {
    once asan make BUILD="$build/asan" SANITIZE="$asan" OPT="-O1 -g" all tests
    [ $part_bad -eq 0 ] || return
    # The README's tests would build again, without the sanitizers.
    loud asan env BUILD="$build/asan" ONLY="cli nginx agent api bad_input openapi takeover crash" bash tests/check.sh unit db system
}
# A minute of swaps under readers, once for memory and once for races.
part_swaps() {
    local name flags
    for name in asan tsan; do
        flags=$asan
        [ $name = asan ] || flags="-fsanitize=thread -fno-omit-frame-pointer"
        once "swaps $name" make BUILD="$build/$name" SANITIZE="$flags" OPT="-O1 -g" "$build/$name/tests/unit/client_swaps"
        quiet "swaps $name" env LOCKSTEP_SWAP_SECONDS=60 "$build/$name/tests/unit/client_swaps"
    done
}
part_fuzz() {
    local source name
    once fuzz make BUILD="$build/fuzz" CC=clang SANITIZE="-fsanitize=address,undefined,fuzzer-no-link" OPT="-O1 -g" fuzzers
    for source in tests/fuzz/*.c; do
        name=$(basename "$source" .c)
        mkdir -p "$build/fuzz/corpus/$name"
        once "fuzz $name" "$build/fuzz/tests/fuzz/$name" -max_total_time="${FUZZ_SECONDS:-20}" -max_len=65536 -timeout=5 \
            -artifact_prefix="$build/fuzz/$name-" "$build/fuzz/corpus/$name"
    done
}
part_model() { loud model bash tests/model/check.sh; }
part_mutants() { loud mutants make BUILD="$build" mutants; }
part_proxies() { loud proxies env BUILD="$build" SWAPS=200 TEST_LIMIT=1800 python3 -u tests/system/run.py proxies; }
part_crash() { loud crash env BUILD="$build" CRASH_AGENTS=50 TEST_LIMIT=1800 python3 -u tests/system/run.py crash; }
part_kills() { loud kills env KILLS=10000 CALLS=1 "$build/tests/unit/agent_kills"; }
part_writers() { loud writers env BUILD="$build" WRITERS_SECONDS=60 python3 -u tests/system/run.py writers; }
part_bench() { once bench make BUILD="$build" bench AGENTS="$AGENTS"; }
part_openapi() { # by the linter that package.json pins; the unit tests compare it with the routes
    mkdir -p "$build/npm" && cp package.json package-lock.json "$build/npm"
    once "npm ci" npm --prefix "$build/npm" ci --ignore-scripts --no-audit --no-fund
    once openapi env REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
        "$build/npm/node_modules/.bin/redocly" lint --extends=recommended-strict coordinator/http/openapi.json
}
part_analyze() { once cppcheck make BUILD="$build" analyze; }

for part in "$@"; do
    part_good=0 part_bad=0 part_none=0 began=$SECONDS
    case $part in system | sim | asan | mutants | model | writers | proxies | crash) echo "$part" ;; esac
    "part_$part"
    passed=$((passed + part_good)) failed=$((failed + part_bad)) not_run=$((not_run + part_none))
    printf '%-9s %6d ok %4s failed %6d s%s\n' "$part" $part_good "$part_bad" $((SECONDS - began)) \
        "$([ $part_none -eq 0 ] || echo ", $part_none not run")"
done
echo "$passed passed, $failed failed$([ $not_run -eq 0 ] || echo ", $not_run not run")"
[ $failed -eq 0 ]

#!/bin/sh
# demo.sh - three rollouts on twenty agents, told as they happen: a good one and two bad ones.
#
# Run by `make demo` with the folder of the built programs. Ends with 0 when everything went as
# told, and leaves nothing behind.
set -u
programs=${1:?usage: demo.sh FOLDER-OF-PROGRAMS}
programs=$(cd "$programs" && pwd) || exit 1
here=$PWD
agents=20
scope=demo/prod
work=$(mktemp -d /tmp/lockstep-demo.XXXXXX) || exit 1
chmod 711 "$work" # PostgreSQL, which is never root, must get to its data
dev=$work/.lockstep # so that the commands find it, run in the folder above
dev_pid=

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') green=$(printf '\033[32m') red=$(printf '\033[31m') off=$(printf '\033[0m')
else
    bold='' dim='' green='' red='' off=''
fi

tidy_up() {
    if [ -n "$dev_pid" ]; then
        kill -TERM "$dev_pid" 2>/dev/null
        wait "$dev_pid" 2>/dev/null
    fi
    rm -rf "$work"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

chapter() { printf '\n%s%s%s\n' "$bold" "$1" "$off"; }
tell() { printf '%s\n' "$@"; }

fail() {
    printf '\n%sNot as told: %s%s\n' "$red" "$1" "$off" >&2
    for log in "$work/dev.out" "$dev"/log/lockstepd.log "$dev"/log/server-1.log; do
        [ -e "$log" ] && { echo "--- $log"; tail -n 15 "$log"; } >&2
    done
    exit 1
}

# Show a command, run it, and insist on its exit code.
run() { # exit-code words…
    wanted=$1
    shift
    printf '\n%s$ lockstep' "$dim"
    for word; do
        case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '%s\n' "$off"
    "$programs/lockstep" "$@"
    got=$?
    [ "$got" -eq "$wanted" ] || fail "exit code $got where $wanted was due"
}

# Poll until a command is true; nothing here is taken to be so because time went by.
await() { # seconds what command…
    limit=$(($(date +%s) + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$(date +%s)" -lt "$limit" ] || fail "$what"
        sleep 0.1
    done
}

is_ready() {
    kill -0 "$dev_pid" 2>/dev/null || fail "lockstep dev ended"
    grep -qs '^Ready' "$work/dev.out"
}
members() { "$programs/lockstep" server list --scope "$scope" -o name 2>/dev/null | wc -l; }
all_members() { [ "$(members)" -eq "$agents" ]; }

# Every server's own file, read from its disk: the only proof that counts.
on_disk() { # text: how many servers have it
    count=0
    for file in "$dev"/agents/server-*/files/demo-prod.greeting; do
        [ "$(cat "$file" 2>/dev/null)" = "$1" ] && count=$((count + 1))
    done
    echo "$count"
}
must_be_on_disk() { # text
    count=$(on_disk "$1")
    [ "$count" -eq "$agents" ] || fail "$count of $agents servers have \"$1\" on their disks"
    printf '\n%sOn disk: %s of %s servers have "%s".%s\n' "$green" "$count" "$agents" "$1" "$off"
}

cat >"$work/three-stages.json" <<'END'
{"stages": [{"name": "canary",  "count": 1,     "bake": "1s"},
            {"name": "quarter", "percent": 25,  "bake": "1s"},
            {"name": "all",     "percent": 100}]}
END
cd "$work" || exit 1
start="rollout start $scope -s @three-stages.json --wait --timeout 60s"

# ---------------------------------------------------------------- the set-up

chapter "Lockstep: change what many servers run, together, and take it back when one says no"
tell "Starting a private PostgreSQL, a coordinator and $agents agents on this machine" \
    "(lockstep dev)."
unset LOCKSTEP_ADDR LOCKSTEP_TOKEN LOCKSTEP_CONFIG LOCKSTEP_CONTEXT
"$programs/lockstep" dev --agents "$agents" --scope "$scope" --http 0 --router 0 >"$work/dev.out" 2>&1 &
dev_pid=$!
await 90 "lockstep dev is not ready" is_ready

# ---------------------------------------------------------------- 1

chapter "1. A good change, in three stages"
tell "A change is written as a draft first: no server knows of it yet."
run 0 config set "$scope" 'greeting=good morning' workers=8 -m friendlier
await 30 "not all agents know the scope" all_members
tell "" "The plan: one server first (the canary), then a quarter, then all. Each server is" \
    "in exactly one stage, and the zones are mixed."
run 0 rollout plan "$scope" --strategy @three-stages.json
tell "" "In each stage every server must promise first (READY, on its own disk). Then the" \
    "decision is written to PostgreSQL, and only then the servers are told to switch." \
    "Each of them says APPLIED when its files are replaced and its check has passed."
# shellcheck disable=SC2086  # words without blanks
run 0 $start
must_be_on_disk "good morning"

# ---------------------------------------------------------------- 2

chapter "2. A bad change, refused before anything moved"
tell "Each agent has a validate command of its own. It says no to what is written now," \
    "as \`nginx -t\` says no to a typing error."
run 0 config set "$scope" greeting=oops demo.refuse=true
# shellcheck disable=SC2086
run 6 $start
tell "" "Exit code 6: the canary refused in PREPARE, so nobody was told to switch. Its own" \
    "words are the reason that is kept:"
run 0 rollout servers "$scope" --state failed
must_be_on_disk "good morning"

# ---------------------------------------------------------------- 3

chapter "3. A bad change that looks good, taken back at the canary"
tell "This one passes validation. Only when it runs does the canary's own check notice."
run 0 config unset "$scope" demo.refuse
run 0 config set "$scope" 'greeting=good night' demo.break=true
# shellcheck disable=SC2086
run 6 $start
tell "" "The canary switched, its check failed, it went back to what it knew to be good, and" \
    "the rollout took itself back. The other $((agents - 1)) servers never saw it:"
run 0 rollout servers "$scope"
must_be_on_disk "good morning"

# ---------------------------------------------------------------- the end

chapter "Every server, and what it runs"
run 0 server list
run 0 rollout list
tell "" "${green}All as told.${off} To play with it yourself: ${programs#"$here"/}/lockstep dev"

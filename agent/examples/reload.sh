#!/bin/sh
# reload.sh - signal a program that changes its workers, and end when the old ones accept nothing more.
#
#   reload.sh SIGNAL PIDFILE
#
# nginx (HUP) and HAProxy in master-worker mode (USR2) answer a signal at once and change their
# workers afterwards; for a moment old and new ones take connections in turn. An agent that said
# "applied" then would say it too early. Old workers that finish their connections may stay.
#
# To see which sockets a worker of another user has takes CAP_SYS_PTRACE, which the agent's unit does
# not give. nginx says in its title what a worker does; for HAProxy add a drop-in to the unit:
#   [Service]
#   CapabilityBoundingSet=CAP_SYS_PTRACE
set -u
signal=$1
pid=$(cat "$2") || exit 1

children() { cat "/proc/$pid/task/$pid/children"; }
# The sockets of this machine on which something listens, as links in /proc/PID/fd name them.
listening() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { print "socket:[" $10 "]" }'; }
is_seen() { readlink "/proc/$1"/fd/* 2>/dev/null | grep -q .; }
title() { { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null; }
accepts() {
    if is_seen "$1"; then
        readlink "/proc/$1"/fd/* 2>/dev/null | grep -qxF "$(listening)"
    else
        case $(title "$1") in *"shutting down"*) return 1 ;; "nginx: worker"*) return 0 ;; *) return 1 ;; esac
    fi
}
is_new() { case " $old " in *" $1 "*) return 1 ;; esac; }

old=$(children) || exit 1
for child in $old; do
    case $(title "$child") in nginx:*) continue ;; esac
    is_seen "$child" && continue
    echo "the sockets of process $child are not to be seen; give the agent's unit CapabilityBoundingSet=CAP_SYS_PTRACE" >&2
    exit 1
done
kill -s "$signal" "$pid" || exit 1
tries=800
while :; do
    new='' waiting=''
    for child in $(children); do is_new "$child" && accepts "$child" && new=$child; done
    for child in $old; do accepts "$child" && waiting=$child; done
    [ -n "$new" ] && [ -z "$waiting" ] && exit 0
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { echo "process $pid did not change its workers; see its log" >&2; exit 1; }
    sleep 0.01
done

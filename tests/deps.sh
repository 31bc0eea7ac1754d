#!/bin/sh
# deps.sh - install those of the named Debian packages that are missing; silent when none is.
set -u
command -v dpkg-query >/dev/null || exit 0 # not Debian: the compiler will name what is lacking

missing=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | awk -v wanted="$*" '
    $1 == "installed" { have[$2] = 1 }
    END { n = split(wanted, w, " "); for (i = 1; i <= n; i++) if (!(w[i] in have)) printf "%s ", w[i] }')
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "missing packages: $missing- install them as root, or install sudo" >&2; exit 1; }
    as_root=sudo
fi
echo "installing: $missing"

# Nobody asked for a running nginx or a database cluster: nothing is started, nothing is created.
# shellcheck disable=SC2016  # the single quotes are for the inner shell
exec $as_root env DEBIAN_FRONTEND=noninteractive sh -c '
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap "rm -f $log" EXIT
trap "exit 1" INT TERM
if [ ! -e $policy ]; then
    trap "rm -f $log $policy" EXIT
    printf "#!/bin/sh\nexit 101\n" > $policy && chmod 755 $policy
fi
install() {
    apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}
had_nginx=$(command -v nginx) had_haproxy=$(command -v haproxy)
apt-get -qq update >"$log" 2>&1 || echo "apt-get update failed: trying with the lists there are" >&2
case " $* " in *" postgresql-15 "*)
    if ! [ -d /etc/postgresql-common ]; then
        install postgresql-common || exit 1
        settings=/etc/postgresql-common/createcluster.conf
        sed -i "s/^#* *create_main_cluster.*/create_main_cluster = false/" $settings
        grep -q "^create_main_cluster = false" $settings || echo "create_main_cluster = false" >> $settings
    fi
esac
install "$@" || exit 1
[ -n "$had_nginx" ] || ! [ -d /run/systemd/system ] || ! command -v nginx >/dev/null || systemctl -q disable nginx
[ -n "$had_haproxy" ] || ! [ -d /run/systemd/system ] || ! command -v haproxy >/dev/null || systemctl -q disable haproxy
' sh $missing

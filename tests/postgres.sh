#!/bin/sh
# A throw-away PostgreSQL for the tests: a cluster in a temporary folder, reached through a socket there and no port.
#
#   eval "$(tests/postgres.sh start)"   sets LOCALASSIST_TEST_POSTGRES (the URL) and LOCALASSIST_TEST_POSTGRES_FOLDER
#   tests/postgres.sh stop              stops it and removes the folder
#   tests/postgres.sh run COMMAND…      starts one, runs the command with it, and stops it whatever happens
#
# Run by root, it installs Debian's `postgresql` when it is missing, and runs the server as the user `postgres`, because
# PostgreSQL refuses to run as root.
set -eu

binaries() {
    for folder in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            echo "$folder"
            return
        fi
    done
}

install_server() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "PostgreSQL is not installed: no initdb found. Install it (Debian: apt-get install postgresql)." >&2
        exit 1
    fi
    # No cluster of the system's own is wanted, and no service.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql; } >&2
}

as_server() { # runs its arguments as a user that PostgreSQL accepts
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

start() {
    bin=$(binaries)
    if [ -z "$bin" ]; then
        install_server
        bin=$(binaries)
    fi
    folder=$(mktemp -d "${TMPDIR:-/tmp}/postgres.XXXXXX")
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder"; fi
    as_server "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$folder.log" 2>&1 ||
        { cat "$folder.log" >&2; exit 1; }
    mv "$folder.log" "$folder/initdb.log"
    as_server "$bin/pg_ctl" -D "$folder/data" -l "$folder/data/log" -w -t 60 start \
        -o "-c listen_addresses= -c unix_socket_directories=$folder -c fsync=off -c max_connections=200" >&2 ||
        { cat "$folder/data/log" >&2; exit 1; }
    echo "export LOCALASSIST_TEST_POSTGRES='postgresql://postgres@/postgres?host=$folder'"
    echo "export LOCALASSIST_TEST_POSTGRES_FOLDER='$folder'"
}

stop() {
    folder=${LOCALASSIST_TEST_POSTGRES_FOLDER:?"is not set: nothing to stop"}
    as_server "$(binaries)/pg_ctl" -D "$folder/data" -m immediate -w stop >&2 || true
    rm -rf "$folder"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
run)
    shift
    settings=$(start)
    eval "$settings"
    trap stop EXIT
    trap 'exit 130' INT TERM
    "$@"
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

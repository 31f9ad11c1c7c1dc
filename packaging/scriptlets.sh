# What rpm and dpkg run around the files of drop-core; both builds put it before their own lines.
# shellcheck shell=sh
# POSIX sh with set -e in force. Everything can be done twice, and where systemd does not run (a
# root directory that is being prepared, a container) nothing is started.

make_users() {
    getent passwd drop-core > /dev/null && getent passwd drop > /dev/null && return
    # The same as sysusers.d/drop-core.conf, which is not there yet.
    if command -v systemd-sysusers > /dev/null && systemd-sysusers - << 'USERS' 2> /dev/null; then
u drop-core - "DROP node" /home/drop-core
u drop - "DROP functions" /nonexistent
USERS
        return
    fi
    make_user drop-core /home/drop-core "DROP node"
    make_user drop /nonexistent "DROP functions"
}

make_user() { # NAME HOME WHAT
    getent passwd "$1" > /dev/null && return
    nologin=/usr/sbin/nologin
    [ -x "$nologin" ] || nologin=/sbin/nologin
    getent group "$1" > /dev/null || groupadd --system "$1"
    useradd --system --gid "$1" --home-dir "$2" --no-create-home --shell "$nologin" \
        --comment "$3" "$1"
}

# Those that exist stay as they are. The same as in tmpfiles.d/drop-core.conf.
make_directories() {
    [ -d /home/drop-core ] || install -d -m 0750 -o drop-core -g drop-core /home/drop-core
    [ -d /var/lib/drop ] || install -d -m 0751 -o drop-core -g drop-core /var/lib/drop
}

systemd_runs() {
    [ -d /run/systemd/system ]
}

reload_units() {
    ! systemd_runs || systemctl daemon-reload || true
}

# Enabled or not, as the distribution's presets say; nothing is started.
preset_service() {
    ! command -v systemctl > /dev/null ||
        systemctl preset drop-core.service > /dev/null 2>&1 || true
}

# A node that runs drains and starts again with the new files; one that does not run stays so.
restart_if_running() {
    ! systemd_runs || systemctl try-restart drop-core.service || true
}

stop_service() {
    ! systemd_runs || systemctl stop drop-core.service || true
}

disable_service() {
    ! command -v systemctl > /dev/null ||
        systemctl --no-reload disable drop-core.service > /dev/null 2>&1 || true
}

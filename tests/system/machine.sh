#!/bin/sh
# A machine of its own for a test: this machine's files under a layer that is thrown away, in
# namespaces of its own; nothing that is installed or started there reaches the host.
#
#   machine.sh boot|hold BASE CGROUP [DIRECTORY]...
#
# BASE is an empty directory; CGROUP a group of version 2, or "". Each DIRECTORY is shown as the host
# has it where the root file system does not hold it. `boot` runs systemd, `hold` nothing that does
# anything. The line `ready` on stdout says that the files are in place; killing the process that was
# started here ends all of it.
set -eu

if [ "$1" != inside ]; then
    [ -z "$3" ] || echo $$ > "$3/cgroup.procs"
    exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child \
        sh "$0" inside "$@"
fi
shift
mode=$1 base=$2 cgroup=$3
shift 3

mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
root=$base/root
mkdir "$base/upper" "$base/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$root"
for directory; do
    [ -n "$(ls -A "$root$directory" 2> /dev/null)" ] && continue
    mkdir -p "$root$directory"
    mount --rbind "$directory" "$root$directory"
done

mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t proc proc "$root/proc"
mount -o bind,ro "$root/proc/sys" "$root/proc/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t sysfs -o ro sysfs "$root/sys"
[ -z "$cgroup" ] || mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"

cd "$root"
mkdir .old
pivot_root . .old
umount -l /.old
rmdir /.old
ip link set lo up 2> /dev/null || true
# As if nothing of this project had ever been here.
rm -rf /etc/drop /etc/drop-env /home/drop-core /opt/drop /opt/drop-cli /var/lib/drop
for user in drop drop-core; do
    userdel "$user" 2> /dev/null || true
done
hostname machine
chmod 1777 /tmp /var/tmp
: > /etc/machine-id

if [ "$mode" = hold ]; then
    echo ready
    exec sleep infinity
fi
# Only what the tests start: nothing of the host's own services.
cat > /etc/systemd/system/machine.target << 'UNIT'
[Unit]
Description=A machine for a test
Requires=dbus.socket
UNIT
for unit in systemd-modules-load systemd-remount-fs systemd-sysctl systemd-update-utmp; do
    ln -sf /dev/null "/etc/systemd/system/$unit.service"
done
ln -sf /dev/null /etc/tmpfiles.d/tmp.conf # a boot would empty /tmp, where tests keep their files
echo ready
exec env -i container=machine PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=machine.target --log-target=journal --show-status=no

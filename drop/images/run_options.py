"""The options of `podman run` and `docker run`: which take a value, which are refused. Data only.

The image's name is the first word behind the options, so to find it one has to know which options
are followed by a value. The lists are the union of podman 4.3 to 5.2 and docker 28.
"""

from __future__ import annotations

from collections.abc import Mapping

_VALUES = """
add-host annotation arch authfile blkio-weight blkio-weight-device cap-add cap-drop cert-dir
cgroup-conf cgroup-parent cgroupns cgroups chrootdirs cpu-count cpu-percent cpu-period cpu-quota
cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems creds decryption-key device
device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns
dns-option dns-search domainname entrypoint env env-file env-merge expose gidmap gpus group-add
group-entry health-cmd health-interval health-log-destination health-max-log-count
health-max-log-size health-on-failure health-retries health-start-interval health-start-period
health-startup-cmd health-startup-interval health-startup-retries health-startup-success
health-startup-timeout health-timeout hostname hosts-file hostuser image-volume init-path
intel-rdt-closid io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file
link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap
memory-swappiness mount network network-alias oom-score-adj os passwd-entry personality pid
pids-limit platform pod publish pull rdt-class requires retry retry-delay runtime sdnotify
seccomp-policy secret security-opt shm-size shm-size-systemd stop-signal stop-timeout storage-opt
subgidname subuidname sysctl systemd timeout tmpfs tz uidmap ulimit umask unsetenv user userns uts
variant volume volume-driver volumes-from workdir
"""

_FLAGS = """
disable-content-trust env-host http-proxy init interactive no-healthcheck no-hostname no-hosts
oom-kill-disable passwd privileged publish-all quiet read-only read-only-tmpfs rm tls-verify
unsetenv-all use-api-socket
"""

TAKES_VALUE = frozenset(_VALUES.split())
FLAGS = frozenset(_FLAGS.split())

SHORT: Mapping[str, str] = {
    "a": "attach",
    "c": "cpu-shares",
    "d": "detach",
    "e": "env",
    "h": "hostname",
    "i": "interactive",
    "l": "label",
    "m": "memory",
    "p": "publish",
    "P": "publish-all",
    "q": "quiet",
    "t": "tty",
    "u": "user",
    "v": "volume",
    "w": "workdir",
}
ALIASES: Mapping[str, str] = {
    "net": "network",
    "net-alias": "network-alias",
    "dns-opt": "dns-option",
}

_ONE_NAME = "every worker is a container of its own, and they cannot share"
_STREAMS = "stdin and stdout of the container carry the messages"

REFUSED: Mapping[str, str] = {
    "detach": f"{_STREAMS}, so it stays in the foreground",
    "tty": f"{_STREAMS}, and a terminal alters them",
    "attach": f"{_STREAMS}, so all three streams are attached",
    "detach-keys": f"{_STREAMS}, and no byte of a message may mean something else",
    "sig-proxy": "a worker is stopped by signals",
    "restart": "the node restarts workers, see the key restart",
    "name": f"{_ONE_NAME} a name",
    "replace": f"{_ONE_NAME} a name",
    "cidfile": f"{_ONE_NAME} a file",
    "pidfile": f"{_ONE_NAME} a file",
    "conmon-pidfile": f"{_ONE_NAME} a file",
    "pod-id-file": f"{_ONE_NAME} a file",
    "rmi": "the next worker needs the image again",
    "rootfs": "an image has a name",
    "preserve-fds": "a worker has the descriptors 0, 1 and 2 and no other",
    "preserve-fd": "a worker has the descriptors 0, 1 and 2 and no other",
    "help": "that would start no container",
}
"""Options that contradict what a worker is, with the reason. Whether they take a value is not
important: the first of them ends the parsing."""

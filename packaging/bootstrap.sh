#!/bin/sh
# Makes this machine a DROP node: adds the repository, installs the packages, starts the service.
#
#   curl -fsSL URL/bootstrap.sh | sudo sh -s -- --repository URL --fingerprint HEX [OPTION]...
#
# Run again it changes what differs and nothing else. Nothing happens before the last line has been
# read, so a download that is cut off does nothing.
set -eu

usage() {
    cat << 'END'
usage: bootstrap.sh --repository URL --fingerprint HEX [OPTION]...

  --repository URL    where the packages are (or DROP_REPOSITORY); http, https or file
  --fingerprint HEX   of the key that they are signed with (or DROP_FINGERPRINT): 40 digits of the
                      OpenPGP key, or 64 of the SHA-256 of URL/drop.asc; have it from elsewhere
  --key FILE          the cluster's key, made by `drop key generate` on one node
  --iface NAME        the network interface for other nodes (DROP_IFACE in /etc/drop-env)
  --hosts "A B ..."   addresses of other nodes, where multicast does not reach them
  --no-start          install and configure, start nothing
  --uninstall         remove the packages and the repository; state and configuration stay
  --dry-run           print what would be done, change nothing
END
}

main() {
    repository=${DROP_REPOSITORY:-} fingerprint=${DROP_FINGERPRINT:-}
    key='' iface='' hosts='' start=yes action=install dry=no
    read_options "$@"
    [ "$dry" = yes ] || [ "$(id -u)" = 0 ] || fail "has to run as root: ... | sudo sh -s -- ..."
    find_manager
    if [ "$action" = uninstall ]; then
        uninstall
        return
    fi
    check_options
    check_machine
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch_key
    add_repository
    install_packages
    configure
    start_service
}

say() {
    echo "drop: $1"
}

tell() { # what has been done, unless it was only shown
    [ "$dry" = yes ] || say "$1"
}

fail() {
    echo "bootstrap.sh: $1" >&2
    exit 1
}

run() { # COMMAND ARGUMENT...
    if [ "$dry" = yes ]; then
        echo "+ $*"
    else
        "$@"
    fi
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --repository | --fingerprint | --key | --iface | --hosts)
                [ $# -gt 1 ] || fail "$1 needs a value; --help tells more"
                case $1 in
                    --repository) repository=$2 ;;
                    --fingerprint) fingerprint=$2 ;;
                    --key) key=$2 ;;
                    --iface) iface=$2 ;;
                    --hosts) hosts=$2 ;;
                esac
                shift 2
                continue
                ;;
            --no-start) start=no ;;
            --uninstall) action=uninstall ;;
            --dry-run) dry=yes ;;
            -h | --help) usage && exit 0 ;;
            *) fail "unknown option $1; --help tells more" ;;
        esac
        shift
    done
}

check_options() {
    repository=${repository%/}
    case $repository in
        http://?* | https://?* | file:///?*) ;;
        '') fail "where are the packages? --repository URL, or DROP_REPOSITORY" ;;
        *) fail "--repository $repository: expected http://, https:// or file://" ;;
    esac
    case $repository in
        *[!A-Za-z0-9:/._~%@+-]*) fail "--repository: found characters that no such address has" ;;
    esac
    fingerprint=$(echo "$fingerprint" | tr -d ' :' | tr 'a-f' 'A-F')
    case $fingerprint in
        '') fail "whose packages? --fingerprint HEX, or DROP_FINGERPRINT" ;;
        *[!0-9A-F]*) fail "--fingerprint: expected hexadecimal digits" ;;
    esac
    [ ${#fingerprint} = 40 ] || [ ${#fingerprint} = 64 ] ||
        fail "--fingerprint has ${#fingerprint} digits; expected 40 (OpenPGP) or 64 (SHA-256)"
    [ -z "$key" ] || [ -r "$key" ] || fail "--key $key cannot be read"
    case $iface in
        *[!A-Za-z0-9_.:@-]* | ????????????????*) fail "--iface: found no name of an interface" ;;
    esac
    case $hosts in
        *[!A-Za-z0-9_.:,\ \[\]%-]*) fail "--hosts: expected addresses with blanks between" ;;
    esac
}

check_machine() {
    [ "$(uname -s)" = Linux ] || fail "this is $(uname -s); DROP runs on Linux"
    case $(uname -m) in
        x86_64) ;;
        *) fail "there are packages for x86_64 alone; this is $(uname -m)" ;;
    esac
    release=$(uname -r)
    major=${release%%.*} minor=${release#*.}
    minor=${minor%%[!0-9]*}
    if [ "$major" -lt 5 ] || { [ "$major" = 5 ] && [ "${minor:-0}" -lt 3 ]; }; then
        say "warning: this is Linux $release; workers need 5.3 or later (\`drop doctor\`)"
    fi
}

# By what the distribution says it is like, since a machine may have several of them.
find_manager() {
    like=' '
    # shellcheck disable=SC1091
    [ ! -r /etc/os-release ] || like=$(. /etc/os-release && echo " ${ID:-} ${ID_LIKE:-} ")
    case $like in
        *\ debian\ * | *\ ubuntu\ *) candidates=apt-get ;;
        *\ fedora\ * | *\ rhel\ * | *\ centos\ *) candidates='dnf yum' ;;
        *suse*) candidates=zypper ;;
        *) candidates='apt-get dnf yum zypper' ;;
    esac
    for manager in $candidates; do
        if command -v "$manager" > /dev/null; then
            keyring=/etc/pki/rpm-gpg/RPM-GPG-KEY-drop
            case $manager in
                apt-get)
                    list=/etc/apt/sources.list.d/drop.list
                    keyring=/usr/share/keyrings/drop.asc
                    ;;
                zypper) list=/etc/zypp/repos.d/drop.repo ;;
                *) list=/etc/yum.repos.d/drop.repo ;;
            esac
            return
        fi
    done
    fail "found none of: $candidates"
}

fetch() { # URL FILE
    case $1 in
        file://*) cp "${1#file://}" "$2" || fail "cannot read $1" ;;
        *)
            if command -v curl > /dev/null; then
                curl -fsSL --retry 3 --max-time 60 -o "$2" "$1" || fail "cannot fetch $1"
            elif command -v wget > /dev/null; then
                wget -q -T 60 -O "$2" "$1" || fail "cannot fetch $1"
            else
                fail "found neither curl nor wget"
            fi
            ;;
    esac
}

# All else is signed with this key: apt and dnf check that themselves.
fetch_key() {
    fetch "$repository/drop.asc" "$work/drop.asc"
    if [ ${#fingerprint} = 64 ]; then
        found=$(sha256sum < "$work/drop.asc" | cut -d ' ' -f 1 | tr 'a-f' 'A-F')
    else
        command -v gpg > /dev/null ||
            fail "gpg is not installed: install it, or give the SHA-256 of drop.asc instead"
        mkdir -m 700 "$work/gnupg"
        # Of every key in the file, since every one of them would be trusted.
        found=$(GNUPGHOME=$work/gnupg gpg --batch --quiet --with-colons \
            --import-options show-only --import "$work/drop.asc" 2> /dev/null |
            awk -F: '$1 == "pub" { own = 1 } $1 == "fpr" && own { print $10; own = 0 }' |
            tr '\n' ' ')
        found=${found% }
    fi
    [ "$found" = "$fingerprint" ] ||
        fail "the key at $repository/drop.asc is another one: ${found:-none}; nothing was changed"
    say "the key is the one that was named"
}

put() { # FILE, its text is stdin; sets `changed`
    cat > "$work/new"
    if [ -f "$1" ] && cmp -s "$work/new" "$1"; then
        return
    fi
    changed=yes
    if [ "$dry" = yes ]; then
        echo "+ write $1:"
        sed 's/^/    /' "$work/new"
        return
    fi
    mkdir -p "$(dirname "$1")"
    cp "$work/new" "$1"
    chmod 0644 "$1"
}

add_repository() {
    put "$keyring" < "$work/drop.asc"
    if [ "$manager" = apt-get ]; then
        put "$list" << END
deb [signed-by=$keyring arch=amd64] $repository/deb stable main
END
        return
    fi
    put "$list" << END
[drop]
name=DROP
baseurl=$repository/rpm
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file://$keyring
END
}

install_packages() {
    case $manager in
        apt-get)
            # Only this list: a machine whose other repositories are out of order is not our matter.
            run apt-get update -qq -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- \
                -o APT::Get::List-Cleanup=0 || fail "apt-get update failed, see above"
            run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
                -o Dpkg::Options::=--force-confold drop-core drop-cli || fail "apt-get failed"
            ;;
        zypper)
            run zypper --non-interactive --gpg-auto-import-keys refresh drop || fail "zypper failed"
            run zypper --non-interactive install drop-core drop-cli || fail "zypper failed"
            ;;
        *) run "$manager" install -y -q drop-core drop-cli || fail "$manager failed, see above" ;;
    esac
}

configure() {
    changed=no # of what the node reads when it starts
    if [ -n "$iface" ]; then
        [ ! -f /etc/drop-env ] || sed -E '/^[[:blank:]]*(export[[:blank:]]+)?DROP_IFACE=/d' \
            /etc/drop-env > "$work/env"
        echo "DROP_IFACE=$iface" >> "$work/env"
        put /etc/drop-env < "$work/env"
    fi
    if [ -n "$hosts" ]; then
        echo "$hosts" | tr -s ', ' '\n' | sed '/^$/d' > "$work/hosts"
        # The directory is the node's, and what is written here is root's doing.
        [ ! -L /var/lib/drop/drop-hosts ] || fail "/var/lib/drop/drop-hosts is a symbolic link"
        put /var/lib/drop/drop-hosts < "$work/hosts"
        run chown -h drop-core: /var/lib/drop/drop-hosts
    fi
    if [ -n "$key" ]; then
        # As the node's user, whose file it is. The key goes through stdin and never into a list of
        # processes.
        run runuser -u drop-core -- drop key install - < "$key" || fail "the key was not installed"
    fi
}

start_service() {
    if [ "$start" = no ]; then
        tell "installed; to start it: systemctl enable --now drop-core"
        return
    fi
    if [ ! -d /run/systemd/system ] && [ "$dry" = no ]; then
        say "installed; systemd does not run here, so nothing was started"
        return
    fi
    run systemctl enable --quiet drop-core || fail "the service cannot be enabled"
    if [ "$changed" = yes ]; then
        run systemctl restart drop-core || fail "see: systemctl status drop-core"
    else
        run systemctl start drop-core || fail "see: systemctl status drop-core"
    fi
    tell "the node runs: sudo drop node list, systemctl status drop-core"
}

uninstall() {
    case $manager in
        apt-get) run env DEBIAN_FRONTEND=noninteractive apt-get remove -y -q drop-core drop-cli ;;
        zypper) run zypper --non-interactive remove drop-core drop-cli ;;
        *) run "$manager" remove -y -q drop-core drop-cli ;;
    esac || fail "$manager failed, see above"
    run rm -f "$list" "$keyring"
    tell "removed; left: /etc/drop /etc/drop-env /var/lib/drop /home/drop-core, the users"
}

main "$@"

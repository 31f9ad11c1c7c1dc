# The options that packaging/rpm/build and packaging/deb/build share. POSIX sh, to be sourced.
# shellcheck shell=sh

fail() { # TEXT
    echo "packaging: $1" >&2
    exit 1
}

# Sets tree, client_tree, output (which is made), release.
read_options() { # COMMAND OPTION...
    usage="usage: $1 --tree DIR [--client-tree DIR] --output DIR [--release N]"
    shift
    tree='' client_tree='' output='' release=1
    while [ $# -gt 1 ]; do
        case $1 in
            --tree) tree=$2 ;;
            --client-tree) client_tree=$2 ;;
            --output) output=$2 ;;
            --release) release=$2 ;;
            *) fail "$usage" ;;
        esac
        shift 2
    done
    [ $# = 0 ] && [ -n "$tree" ] && [ -n "$output" ] || fail "$usage"
    for directory in "$tree" "$client_tree"; do
        [ -z "$directory" ] || [ -f "$directory/VERSION" ] ||
            fail "$directory has no VERSION; packaging/tree/build makes such trees"
    done
    case $release in
        *[!0-9]* | '') fail "--release $release: expected a number" ;;
    esac
    # Times inside packages; of this tree, so that the same input makes the same package.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(stat -c %Y "$tree/VERSION")}
    mkdir -p "$output"
}

# As rpm and dpkg sort them: 1.0rc1 and 1.0.dev2 come before 1.0.
package_version() {
    sed -n '1s/\.\{0,1\}\(a\|b\|rc\|dev\)\([0-9]\)/~\1\2/; 1p' "$tree/VERSION"
}

publish() { # FILE...
    for file; do
        cp "$file" "$output/"
        echo "$output/${file##*/}"
    done
}

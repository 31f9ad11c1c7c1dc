#!/bin/sh
# weekday: the day of the week of a date like 2013-01-31, in English.
# shellcheck source=../../sdk/shell/drop_function.sh
. "$(dirname "$0")/../../sdk/shell/drop_function.sh"

weekday() {
    case $1 in
        [0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]) answer=$(LC_ALL=C date -d "$1" +%A) ;;
    esac
    answer=${answer:-"invalid: no date like 2013-01-31"}
}

drop_function_run weekday

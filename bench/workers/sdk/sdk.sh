# The same function on the snippet.
# shellcheck source=../../../sdk/shell/drop_function.sh
. "${0%/*}/../../../sdk/shell/drop_function.sh"

echo_it() {
    answer=$1
}

drop_function_run echo_it

# What a handler can do to the protocol, in shell.
# shellcheck shell=sh source=../../../sdk/shell/drop_function.sh
. "${0%/*}/../../../sdk/shell/drop_function.sh"

handle() {
    case $1 in
        noise) echo noise && sh -c 'echo noise' && answer=quiet ;;
        hungry) cat && answer=fed ;;
        fail) return 3 ;;
        newline) answer=$(printf 'a\nb') ;;
        term) kill -TERM $$ && answer="=$1" ;;
        big*) answer=$(printf "%${1#big }s" '') ;;
        *) answer="=$1" ;;
    esac
}

[ -z "${SAY-}" ] || drop_function_ready "$SAY"
drop_function_run handle

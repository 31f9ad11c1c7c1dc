# shellcheck shell=sh
# A function in shell: say what one message becomes; reading, order and the end are here.
#
#     . ./drop_function.sh
#
#     shout() { answer=$(printf '%s' "$1" | tr '[:lower:]' '[:upper:]'); }
#
#     drop_function_run shout
#
# For any POSIX shell; source it, or copy it into a script. Functions need none of this, see
# docs/sdk.md. Kinds: `line` and `async`, as DROP_KIND says, which the node sets (absent: `line`).
# With DROP_NEWLINE=ncm, of `newline: ncm` in the flow, newlines come and go as newlines. No shell
# can hold a NUL byte: where messages may have them, use another language.
#
# drop_function_run moves stdin and stdout to descriptors 3 and 4, and leaves /dev/null and stderr
# in their places: what the handler prints, or a program that it starts, is no answer, and nothing
# but the loop eats a message. A program that goes on in the background has to close 3 and 4, with
# `3<&- 4>&- &`. Bytes are taken as they are (LC_ALL=C), whether they are characters or not.

_drop_newline='
'
_drop_ncm=$(printf '\tncm\t')

# drop_function_run HANDLER: calls `HANDLER MESSAGE` for each message until stdin ends. HANDLER puts
# its answer into the variable `answer`. If it returns other than 0 there is no answer, and
# drop_function_run returns 1, as it does for an answer that cannot be carried. If the script ends
# with that, the node says `error` for this message and gives later ones to another worker.
drop_function_run() {
    case ${DROP_KIND:-line} in
        line | async) ;;
        *) _drop_refuse "DROP_KIND is $DROP_KIND; expected line or async" || return ;;
    esac
    LC_ALL=C
    exec 3<&0 4>&1 < /dev/null >&2
    # A read that waits goes on and finds the end of the file, or ends by itself.
    trap 'exec 3< /dev/null' TERM
    while _drop_read; do
        _drop_token='' answer=''
        case ${DROP_KIND-}${DROP_NEWLINE-} in
            '' | line) "$1" "$_drop_message" || _drop_refuse "$1 has no answer" || return ;;
            *) _drop_answer_one "$1" || return ;;
        esac
        case $answer in *"$_drop_newline"*) _drop_encode "$answer" || return ;; esac
        # Without SIGPIPE, which ends the shell quietly, this is how it learns that nobody reads.
        printf '%s\n' "$_drop_token$answer" >&4 || return 0
    done
    [ -z "$_drop_message" ] || _drop_refuse "stdin ended inside a message, which is dropped"
}

# drop_function_ready TEXT: messages may come. It is the line that the flow's key `ready` waits for;
# before drop_function_run.
drop_function_ready() {
    printf '%s\n' "$1"
}

# drop_function_emit EVENT: an event of a function of kind `stream`, which has no handler. Returns 1
# for one that cannot be carried.
drop_function_emit() {
    answer=$1
    case $1 in *"$_drop_newline"*) _drop_encode "$1" || return ;; esac
    printf '%s\n' "$answer"
}

# drop_function_log TEXT...: a line of the function's log.
drop_function_log() {
    printf '%s\n' "$*" >&2
}

if [ -n "${BASH_VERSION-}" ]; then
    # shellcheck disable=SC3045  # bash alone can do it without a redirection, which costs 10 calls
    _drop_read() { IFS= read -r -u 3 _drop_message; }
else
    _drop_read() { IFS= read -r _drop_message <&3; }
fi

_drop_refuse() {
    drop_function_log "drop_function: $*"
    return 1
}

# What is not a plain line: makes `_drop_token` and `answer` of `_drop_message`.
_drop_answer_one() {
    if [ "${DROP_KIND-}" = async ]; then
        case $_drop_message in
            *::*) ;;
            *) _drop_refuse "a message of kind async without TOKEN::" || return ;;
        esac
        _drop_token=${_drop_message%%::*}::
        _drop_message=${_drop_message#*::}
    fi
    if [ "${DROP_NEWLINE-}" = ncm ]; then
        _drop_replace "$_drop_message" "$_drop_ncm" "$_drop_newline"
        _drop_message=$_drop_replaced
    fi
    "$1" "$_drop_message" || _drop_refuse "$1 has no answer"
}

# Makes `answer` of a text with newlines.
_drop_encode() {
    [ "${DROP_NEWLINE-}" = ncm ] \
        || _drop_refuse "an answer has a newline; say newline: ncm in the flow" || return
    _drop_replace "$1" "$_drop_newline" "$_drop_ncm"
    answer=$_drop_replaced
}

# _drop_replace TEXT OLD NEW: makes `_drop_replaced`.
_drop_replace() {
    _drop_rest=$1 _drop_replaced=''
    while
        case $_drop_rest in *"$2"*) ;; *) false ;; esac
    do
        _drop_replaced=$_drop_replaced${_drop_rest%%"$2"*}$3
        _drop_rest=${_drop_rest#*"$2"}
    done
    _drop_replaced=$_drop_replaced$_drop_rest
}

#!/usr/bin/env bash
# cancelled: counts the cancelled flights of each airport.
# Answers `cancelled=N EWR=... JFK=... LGA=...` with the totals so far; see by_carrier.c.

LC_ALL=C # bytes: in a UTF-8 locale half a character would swallow the end of its line
declare -A flights
count=0

# The pattern is also what keeps a message harmless: unchecked text has no place in $(( )),
# where bash would run a command hidden in it.
while IFS= read -r line; do
    if [[ $line =~ ^cancelled\ .*origin=([A-Z]{3}) ]]; then
        airport=${BASH_REMATCH[1]}
        flights[$airport]=$((${flights[$airport]:-0} + 1))
        answer="cancelled=$((++count))"
        for airport in "${!flights[@]}"; do
            answer+=" $airport=${flights[$airport]}"
        done
    else
        answer="invalid: not a cancelled flight"
    fi
    printf '%s\n' "$answer"
done

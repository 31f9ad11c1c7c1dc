#!/usr/bin/env bash
# Greets whoever a message names. LC_ALL=C: bytes; in a UTF-8 locale half a character would
# swallow the end of its line.
LC_ALL=C
while IFS= read -r name; do
    printf 'Hello, %s, from bash\n' "$name"
done

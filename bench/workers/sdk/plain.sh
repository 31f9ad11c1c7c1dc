# A `line` function in shell as anyone would write it.
while IFS= read -r line; do
    printf '%s\n' "$line"
done

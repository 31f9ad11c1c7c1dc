# by_hour: adds up the departure delay of each scheduled hour.
# Answers `flights=N 5=MINUTES/FLIGHTS 6=...` with the totals so far; see by_carrier.c.
#
# Run as `awk -W interactive`: mawk reads a pipe by whole blocks unless told so, and would wait
# for more messages before it answers the first; gawk does not need the option and ignores it.

function value(name,    at) {
    at = index($0, " " name "=")
    return at ? substr($0, at + length(name) + 2) + 0 : ""
}

{
    hour = value("hour"); delay = value("dep_delay")
    if (hour == "" || delay == "") {
        answer = "invalid: no hour and dep_delay"
    } else {
        minutes[hour] += delay; flights[hour]++
        answer = "flights=" (++count)
        for (hour = 0; hour < 24; hour++)
            if (hour in flights) answer = answer " " hour "=" minutes[hour] "/" flights[hour]
    }
    print answer
    fflush()
}

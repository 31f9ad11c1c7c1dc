// grade: adds to a flown flight whether it was late, and its speed over the ground.
// "Late" is the definition of the US Department of Transportation: 15 minutes or more at arrival.

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

constexpr long late_minutes = 15;
constexpr long minutes_per_hour = 60;

// The number behind ` NAME=`, or nothing.
static std::optional<long> number(const std::string &line, const std::string &name) {
    const auto at = line.find(' ' + name + '=');
    if (at == std::string::npos) return std::nullopt;
    const char *begin = line.c_str() + at + name.size() + 2;
    char *end = nullptr;
    const long value = std::strtol(begin, &end, 10);
    if (end == begin) return std::nullopt;
    return value;
}

static std::string grade(const std::string &line) {
    const auto delay = number(line, "arr_delay");
    const auto minutes = number(line, "air_time");
    const auto miles = number(line, "distance");
    if (!delay || !minutes || !miles || *minutes <= 0)
        return "invalid: no arr_delay, air_time and distance in: " + line;
    const long speed = *miles * minutes_per_hour / *minutes;
    return line + (*delay >= late_minutes ? " late=1" : " late=0") + " mph=" + std::to_string(speed);
}

int main() {
    for (std::string line; std::getline(std::cin, line);)
        std::cout << grade(line) << std::endl;  // endl, not '\n': each answer leaves at once
}

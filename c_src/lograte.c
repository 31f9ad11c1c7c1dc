#include "lograte.h"

#include <inttypes.h>
#include <stdio.h>

void drop_lograte_cut(struct drop_lograte *rate, uint64_t now, uint64_t lines, uint64_t bytes)
{
    if (rate->cut == 0)
        rate->report_at = now + DROP_LOGRATE_SECOND_NS;
    rate->cut += lines;
    rate->cut_bytes += bytes;
}

size_t drop_lograte_report(struct drop_lograte *rate, uint32_t lines,
                           char text[DROP_LOGRATE_TEXT_MAX])
{
    if (rate->cut == 0)
        return 0;
    bool is_long = rate->cut_bytes / rate->cut > DROP_LOGRATE_LINE_BYTES;
    int length = snprintf(text, DROP_LOGRATE_TEXT_MAX,
                          "[%" PRIu64 " lines cut: more than %" PRIu32 " %s a second]", rate->cut,
                          is_long ? lines * DROP_LOGRATE_LINE_BYTES : lines,
                          is_long ? "bytes" : "lines");
    rate->cut = rate->cut_bytes = 0;
    return (size_t)length;
}

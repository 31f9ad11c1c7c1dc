/* A table of the signals of Linux; those of its numbers that vary are the compiler's. */
#include "signame.h"

#include <signal.h>
#include <stddef.h>

#define NAMED(name) [SIG##name] = #name

static const char *const names[] = {
    NAMED(HUP),  NAMED(INT),    NAMED(QUIT), NAMED(ILL),    NAMED(TRAP), NAMED(ABRT), NAMED(BUS),
    NAMED(FPE),  NAMED(KILL),   NAMED(USR1), NAMED(SEGV),   NAMED(USR2), NAMED(PIPE), NAMED(ALRM),
    NAMED(TERM), NAMED(STKFLT), NAMED(CHLD), NAMED(CONT),   NAMED(STOP), NAMED(TSTP), NAMED(TTIN),
    NAMED(TTOU), NAMED(URG),    NAMED(XCPU), NAMED(XFSZ),   NAMED(PROF), NAMED(VTALRM),
    NAMED(WINCH), NAMED(PWR),   NAMED(SYS),  [SIGIO] = "POLL",
};

const char *drop_signame(int number)
{
    return number > 0 && (size_t)number < sizeof names / sizeof *names ? names[number] : NULL;
}

/* by_carrier: counts flights and late flights of each carrier.
 *
 * An aggregator answers every message with its totals so far, `flights=N UA=LATE/FLIGHTS ...`, so
 * whoever subscribes sees them grow, and the answer with the largest N is the result. Its totals
 * live in the process: the flow gives it one worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CARRIERS_MAX = 64, /* the table has 16; more than this is not flight data */
    CODE_MAX = 8,      /* bytes of a carrier's code: two, as IATA gives them, and some room */
};

struct carrier {
    char code[CODE_MAX + 1];
    unsigned long flights, late;
};

struct totals {
    struct carrier carriers[CARRIERS_MAX];
    size_t count;
    unsigned long flights;
};

/* The carrier with this code, added when it is new; NULL when the table is full. */
static struct carrier *carrier_of(struct totals *totals, const char *code) {
    for (size_t i = 0; i < totals->count; i++)
        if (strcmp(totals->carriers[i].code, code) == 0) return &totals->carriers[i];
    if (totals->count == CARRIERS_MAX) return NULL;
    struct carrier *fresh = &totals->carriers[totals->count++];
    memcpy(fresh->code, code, strlen(code) + 1);
    return fresh;
}

/* Counts one flight; says what is wrong with the line, or NULL. */
static const char *count(struct totals *totals, const char *line) {
    const char *at = strstr(line, "carrier="), *late = strstr(line, "late=");
    char code[CODE_MAX + 1];
    if (!at || !late || sscanf(at, "carrier=%8[A-Z0-9]", code) != 1) return "no carrier= and late=";
    struct carrier *carrier = carrier_of(totals, code);
    if (!carrier) return "too many carriers";
    carrier->flights++;
    carrier->late += late[strlen("late=")] == '1';
    totals->flights++;
    return NULL;
}

static void answer(const struct totals *totals) {
    printf("flights=%lu", totals->flights);
    for (size_t i = 0; i < totals->count; i++) {
        const struct carrier *carrier = &totals->carriers[i];
        printf(" %s=%lu/%lu", carrier->code, carrier->late, carrier->flights);
    }
    putchar('\n');
}

int main(void) {
    struct totals totals = {0};
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        const char *wrong = count(&totals, line);
        if (wrong) printf("invalid: %s\n", wrong);
        else answer(&totals);
        fflush(stdout); /* stdout is a pipe, hence fully buffered: without this nobody sees it */
    }
    free(line);
    return 0;
}

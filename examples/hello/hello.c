/* Greets whoever a message names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    char *name = NULL;
    size_t capacity = 0;
    while (getline(&name, &capacity, stdin) > 0) {
        name[strcspn(name, "\n")] = '\0';
        printf("Hello, %s, from C\n", name);
        fflush(stdout);
    }
    free(name);
}

/* What the control plane asks of the reactor. */
#ifndef DROP_COMMANDS_H
#define DROP_COMMANDS_H

struct drop_reactor;

/* Carries out everything that was sent, in order. */
void drop_commands_run(struct drop_reactor *reactor);

#endif

#include "heraldfilter.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

#include "frame.h"

/* A filter of a UDP socket sees the packet from its UDP header on. */
#define UDP 8u

static uint32_t id_of(const struct drop_beacon_key *key)
{
    char bytes[4];
    memcpy(bytes, key->id, sizeof bytes);
    return drop_get_u32(bytes);
}

int drop_heraldfilter_attach(int fd, const struct drop_beacon_keys *keys)
{
    uint32_t first = keys->count > 0 ? id_of(&keys->keys[0]) : 0;
    uint32_t second = keys->count > 1 ? id_of(&keys->keys[1]) : first;
    /* A jump counts the instructions that it passes over; all failures end at the last one. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, UDP),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, DROP_BEACON_MIN, 0, 11),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, DROP_BEACON_MAX, 10, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, UDP),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x44525042u, 0, 8), /* DRPB */
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, UDP + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DROP_BEACON_VERSION, 0, 6),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, UDP + 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, UDP + 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
}

void drop_heraldfilter_detach(int fd)
{
    int unused = 0;
    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

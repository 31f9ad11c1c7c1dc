#define _GNU_SOURCE
#include "lambda_peer.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

struct answer {
    struct nlmsghdr header;
    struct inet_diag_msg message;
    char attributes[512];
};

/* The socket at the other end, seen from there: its own address is our peer's. */
static bool ask_for(int socket, struct question *question)
{
    struct sockaddr_in own, peer;
    socklen_t own_length = sizeof own, peer_length = sizeof peer;
    if (getsockname(socket, (struct sockaddr *)&own, &own_length) != 0 ||
        getpeername(socket, (struct sockaddr *)&peer, &peer_length) != 0)
        return false;
    *question = (struct question){
        .header = {.nlmsg_len = sizeof *question,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = AF_INET,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = ~0u,
                    .id = {.idiag_sport = peer.sin_port,
                           .idiag_dport = own.sin_port,
                           .idiag_src = {peer.sin_addr.s_addr},
                           .idiag_dst = {own.sin_addr.s_addr},
                           .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
    };
    return true;
}

/* The user of the socket; false: the kernel does not say. It answers within the send. */
static bool user_of(const struct question *question, uid_t *user)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (netlink < 0)
        return false;
    struct answer answer;
    ssize_t received = -1;
    if (send(netlink, question, sizeof *question, 0) == (ssize_t)sizeof *question)
        received = recv(netlink, &answer, sizeof answer, 0);
    close(netlink);
    size_t least = offsetof(struct answer, attributes);
    if (received < (ssize_t)least || answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return false;
    *user = answer.message.idiag_uid;
    return true;
}

bool drop_lambda_peer_is_ours(int socket)
{
    struct question question;
    uid_t user;
    if (!ask_for(socket, &question) || !user_of(&question, &user))
        return true;
    return user == geteuid() || user == 0;
}

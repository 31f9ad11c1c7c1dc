/* What workers do in fuzz_reactor: each reads what it is given and answers some of it, in its
 * kind's way, with a byte or many; and each may say what nobody asked for. */
#ifndef HANDS_H
#define HANDS_H

#include "../c/world.h"

enum { TOKENS = 32, TOKEN_SIZE = 20, LARGE = 40000 };

struct hand {
    struct world_worker worker; /* input -1: none */
    enum drop_kind kind;
    uint32_t owed; /* answers; kind async: tokens below */
    uint32_t left; /* of a frame */
    uint32_t prefix_bytes;
    uint32_t prefix;
    char tokens[TOKENS][TOKEN_SIZE]; /* of messages that have begun */
    uint32_t token_length;           /* of the one that is being read */
    bool in_payload;
};

static inline void hand_let_go(struct hand *hand)
{
    if (hand->worker.input < 0)
        return;
    close(hand->worker.input);
    close(hand->worker.output);
    hand->worker.input = -1;
}

static inline void hand_take_frame(struct hand *hand, uint8_t byte)
{
    if (hand->left) {
        hand->owed += --hand->left == 0;
        return;
    }
    hand->prefix = hand->prefix << 8 | byte;
    if (++hand->prefix_bytes % 4 == 0) {
        hand->left = hand->prefix;
        hand->owed += hand->left == 0;
    }
}

/* What does not fit is never answered. */
static inline void hand_take_token(struct hand *hand, uint8_t byte)
{
    if (byte == '\n') {
        hand->in_payload = false;
        hand->token_length = 0;
        hand->owed += hand->owed < TOKENS - 1;
    } else if (!hand->in_payload) {
        char *token = hand->tokens[hand->owed];
        hand->in_payload = byte == ':' || hand->token_length == TOKEN_SIZE - 1;
        if (!hand->in_payload)
            token[hand->token_length++] = (char)byte;
        token[hand->token_length] = '\0';
    }
}

static inline void hand_take(struct hand *hand, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (hand->kind == DROP_KIND_LINE)
            hand->owed += bytes[i] == '\n';
        else if (hand->kind == DROP_KIND_FRAME)
            hand_take_frame(hand, (uint8_t)bytes[i]);
        else
            hand_take_token(hand, (uint8_t)bytes[i]);
    }
}

/* Writes an answer of `size` bytes or some more; `choice` of those that are owed. */
static inline void hand_answer(struct hand *hand, size_t size, unsigned choice)
{
    static char bytes[LARGE + TOKEN_SIZE + 8];
    size_t before = 0;
    hand->owed -= hand->kind != DROP_KIND_STREAM;
    if (hand->kind == DROP_KIND_ASYNC) {
        char *token = hand->tokens[choice % (hand->owed + 1)];
        before = (size_t)snprintf(bytes, sizeof bytes, "%s::", token);
        if (!(choice & 4)) /* else it is answered again later, and one never is */
            memmove(token, hand->tokens[hand->owed], TOKEN_SIZE);
        hand->token_length = 0; /* the one that is being read has lost its place */
        hand->in_payload = true;
    } else if (hand->kind == DROP_KIND_FRAME) {
        drop_length_put(bytes, (uint32_t)size);
        before = DROP_LENGTH_PREFIX;
    }
    memset(bytes + before, 'y', size);
    size_t total = before + size;
    if (hand->kind != DROP_KIND_FRAME)
        bytes[total++] = '\n';
    if (world_write(&hand->worker, bytes, total) != total)
        hand_let_go(hand);
}

/* Reads some or all, answers some or all. */
static inline void hand_work(struct hand *hand, unsigned arg)
{
    static char bytes[LARGE];
    size_t size = arg & 16 ? LARGE - (arg & 3) : (arg & 3);
    if (hand->worker.input < 0)
        return;
    size_t got = world_read(&hand->worker, bytes, arg & 32 ? 100 : sizeof bytes);
    hand_take(hand, bytes, got);
    bool source = hand->kind == DROP_KIND_STREAM;
    for (unsigned i = 0; i <= arg >> 6 && (hand->owed || source) && hand->worker.input >= 0; i++)
        hand_answer(hand, size, arg >> 2 & 7);
}

/* Ready lines, other first lines, beginnings of answers, tokens of nobody. */
static inline void hand_babble(struct hand *hand, unsigned arg)
{
    static const char *const words[] = {"\n",    "\0\0\0", "x",      "ready\n", "rea",  "dy\n",
                                        "0::y\n", "1::y\n", "400::y", "::",      "00::y\n"};
    const char *word = words[arg / 4 % (sizeof words / sizeof words[0])];
    if (hand->worker.input >= 0)
        world_write(&hand->worker, word, *word ? strlen(word) : 3);
}

#endif

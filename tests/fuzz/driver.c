/* A main for fuzz targets where libFuzzer is absent: random mutations from a printed seed.
 *
 * It takes the same arguments as far as the Makefile uses them: -seed=N -max_total_time=SECONDS
 * -artifact_prefix=PATH, directories of seeds to start from, or files to replay once each.
 * The input that kills the target is written by a death callback of the sanitizer.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    INPUT_BYTES_MAX = 4096, /* parsers show their faults on short inputs */
    POOL_COUNT = 64,        /* inputs that mutations start from */
    MUTATIONS_MAX = 8,      /* for one run */
};

struct input {
    size_t length;
    uint8_t bytes[INPUT_BYTES_MAX];
};

struct driver {
    struct input pool[POOL_COUNT];
    size_t pool_used;
    struct input current;
    uint64_t random; /* state of xorshift64 */
    uint64_t seed;
    uint64_t runs;
    long seconds;
    const char *artifact_prefix;
    bool replayed;
};

static struct driver driver;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
void __sanitizer_set_death_callback(void (*callback)(void));
const char *__asan_default_options(void);

/* An assert that fails is a finding like any other; AddressSanitizer leaves it alone unasked. */
const char *__asan_default_options(void) {
    return "handle_abort=1";
}

static uint64_t next_random(void) {
    driver.random ^= driver.random << 13;
    driver.random ^= driver.random >> 7;
    driver.random ^= driver.random << 17;
    return driver.random;
}

static size_t random_below(size_t bound) {
    return bound == 0 ? 0 : (size_t)(next_random() % bound);
}

static void write_artifact(void) {
    char path[512];
    snprintf(path, sizeof path, "%scrash-%llu-%llu", driver.artifact_prefix,
             (unsigned long long)driver.seed, (unsigned long long)driver.runs);
    FILE *file = fopen(path, "wb");
    if (file != NULL) {
        fwrite(driver.current.bytes, 1, driver.current.length, file);
        fclose(file);
        fprintf(stderr, "the input that did it: %s\n", path);
    }
}

/* The target gets a copy of exactly this size, so that reading behind its end is seen. */
static void run_current(void) {
    uint8_t *copy = malloc(driver.current.length);
    memcpy(copy, driver.current.bytes, driver.current.length);
    LLVMFuzzerTestOneInput(copy, driver.current.length);
    free(copy);
    driver.runs++;
}

static bool read_input(const char *path, struct input *input) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    input->length = fread(input->bytes, 1, sizeof input->bytes, file);
    fclose(file);
    return true;
}

static void load_seeds(const char *directory) {
    DIR *open = opendir(directory);
    if (open == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.' && driver.pool_used < POOL_COUNT / 2 &&
            read_input(path, &driver.pool[driver.pool_used])) {
            driver.pool_used++;
        }
    }
    closedir(open);
}

/* The rest of the pool: short inputs, many small bytes as lengths and types have them. */
static void fill_pool(void) {
    for (; driver.pool_used < POOL_COUNT; driver.pool_used++) {
        struct input *input = &driver.pool[driver.pool_used];
        input->length = random_below(driver.pool_used % 8 == 0 ? INPUT_BYTES_MAX : 96);
        for (size_t i = 0; i < input->length; i++) {
            input->bytes[i] = (uint8_t)(next_random() % (next_random() % 2 ? 256 : 16));
        }
    }
}

static void overwrite_integer(struct input *input, size_t at) {
    static const uint32_t edges[] = {0,   1,    2,     11,    12,         13,         127,
                                     128, 255,  4096,  65535, 0x01000000, 0x7fffffff, 0xffffffff};
    uint32_t value = edges[random_below(sizeof edges / sizeof edges[0])];
    for (size_t i = 0; i < 4 && at + i < input->length; i++) {
        input->bytes[at + i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void insert_bytes(struct input *input, size_t at, const uint8_t *bytes, size_t count) {
    if (count > INPUT_BYTES_MAX - input->length) {
        count = INPUT_BYTES_MAX - input->length;
    }
    memmove(input->bytes + at + count, input->bytes + at, input->length - at);
    memmove(input->bytes + at, bytes, count);
    input->length += count;
}

static void remove_bytes(struct input *input, size_t at, size_t count) {
    memmove(input->bytes + at, input->bytes + at + count, input->length - at - count);
    input->length -= count;
}

static void mutate(struct input *input) {
    size_t at = random_below(input->length);
    const struct input *other = &driver.pool[random_below(POOL_COUNT)];
    const uint8_t byte = (uint8_t)("\n\t\r:\0 "[random_below(6)]);
    switch (input->length == 0 ? 5 : random_below(7)) {
    case 0: input->bytes[at] ^= (uint8_t)(1u << random_below(8)); break;
    case 1: input->bytes[at] = (uint8_t)next_random(); break;
    case 2: overwrite_integer(input, at); break;
    case 3: remove_bytes(input, at, random_below(input->length - at + 1)); break;
    case 4: insert_bytes(input, at, &byte, 1); break;
    case 5: insert_bytes(input, at, other->bytes, random_below(other->length + 1)); break;
    default: input->length = at; break;
    }
}

static void fuzz(void) {
    const time_t start = time(NULL);
    fill_pool();
    for (size_t i = 0; i < POOL_COUNT; i++) {
        driver.current = driver.pool[i];
        run_current();
    }
    while (time(NULL) - start < driver.seconds) {
        driver.current = driver.pool[random_below(POOL_COUNT)];
        for (size_t count = 1 + random_below(MUTATIONS_MAX); count > 0; count--) {
            mutate(&driver.current);
        }
        run_current();
        if (next_random() % 1024 == 0) {
            driver.pool[random_below(POOL_COUNT)] = driver.current;
        }
    }
}

static void take_argument(const char *argument) {
    struct stat status;
    if (strncmp(argument, "-seed=", 6) == 0) {
        driver.seed = strtoull(argument + 6, NULL, 10);
    } else if (strncmp(argument, "-max_total_time=", 16) == 0) {
        driver.seconds = strtol(argument + 16, NULL, 10);
    } else if (strncmp(argument, "-artifact_prefix=", 17) == 0) {
        driver.artifact_prefix = argument + 17;
    } else if (stat(argument, &status) == 0 && S_ISDIR(status.st_mode)) {
        load_seeds(argument);
    } else if (read_input(argument, &driver.current)) {
        run_current();
        driver.replayed = true;
    } else {
        fprintf(stderr, "%s: neither an option, a directory nor a file\n", argument);
        exit(2);
    }
}

int main(int count, char **arguments) {
    driver.seconds = 60;
    driver.seed = (uint64_t)time(NULL);
    driver.artifact_prefix = "";
    __sanitizer_set_death_callback(write_artifact);
    for (int i = 1; i < count; i++) {
        take_argument(arguments[i]);
    }
    driver.random = driver.seed * 0x9e3779b97f4a7c15u + 1;
    fprintf(stderr, "seed %llu\n", (unsigned long long)driver.seed);
    if (!driver.replayed) {
        fuzz();
    }
    fprintf(stderr, "Done %llu runs\n", (unsigned long long)driver.runs);
    return 0;
}

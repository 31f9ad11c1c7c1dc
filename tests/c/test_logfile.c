/* A pool's log against a real directory: names, appending, rotation, a disk that fills up.
 *
 * The full disk is RLIMIT_FSIZE: write(2) takes what still fits and then fails, as a full disk
 * does, on any machine and for any user. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "logfile.h"

static char path[64];
static struct drop_logfile_directory directory;
static struct drop_logfile file;
static struct drop_logline_stamp stamp;

static void set_up(uint64_t bytes_max, unsigned files)
{
    strcpy(path, "/tmp/drop-test-logfile-XXXXXX");
    if (!mkdtemp(path))
        abort();
    memset(&directory, 0, sizeof directory);
    directory.fd = open(path, O_RDONLY | O_DIRECTORY);
    directory.bytes_max = bytes_max;
    directory.files = files;
    drop_logline_stamp_set(&stamp, 0, 0);
    drop_logfile_open(&file, &directory, "pool", 4);
}

static void tear_down(void)
{
    drop_logfile_close(&file);
    DIR *list = opendir(path);
    for (struct dirent *entry; (entry = readdir(list));)
        unlinkat(directory.fd, entry->d_name, 0);
    closedir(list);
    close(directory.fd);
    CHECK(rmdir(path) == 0);
}

static void write_text(const char *text)
{
    drop_logfile_write(&file, text, strlen(text), &stamp);
}

/* The contents of a file; NULL when it does not exist. Valid until the next call. */
static const char *contents(const char *name)
{
    static char bytes[4096];
    int fd = openat(directory.fd, name, O_RDONLY);
    if (fd < 0)
        return NULL;
    ssize_t length = read(fd, bytes, sizeof bytes - 1);
    close(fd);
    bytes[length > 0 ? length : 0] = '\0';
    return bytes;
}

static bool holds(const char *name, const char *expected)
{
    const char *bytes = contents(name);
    bool same = bytes && strcmp(bytes, expected) == 0;
    if (!same)
        fprintf(stderr, "%s holds: %s\n", name, bytes ? bytes : "(no such file)");
    return same;
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void test_names_go_there_and_back(void)
{
    static const char *const pairs[][2] = {
        {"words", "words.log"}, {"a/b:1.0", "a+b=1.0.log"}, {"..", ",..log"},
        {"../x", ",.+x.log"},   {"a.log", "a.log.log"},     {"a.log.1", "a.log.1.log"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char name[DROP_LOGFILE_NAME_SIZE], pool[DROP_NAME_MAX + 1];
        size_t length = drop_logfile_name(pairs[i][0], strlen(pairs[i][0]), name);
        CHECK_EQUAL(length, strlen(pairs[i][1]));
        CHECK(strcmp(name, pairs[i][1]) == 0);
        CHECK_EQUAL(drop_logfile_pool(name, length, pool), strlen(pairs[i][0]));
        CHECK(strcmp(pool, pairs[i][0]) == 0);
    }
}

static void test_what_is_no_name(void)
{
    char name[DROP_LOGFILE_NAME_SIZE], pool[DROP_NAME_MAX + 1], longest[DROP_NAME_MAX + 1];
    memset(longest, 'n', sizeof longest);
    CHECK_EQUAL(drop_logfile_name(longest, DROP_NAME_MAX, name), DROP_NAME_MAX + 4);
    CHECK_EQUAL(drop_logfile_name(longest, DROP_NAME_MAX + 1, name), 0);
    CHECK_EQUAL(drop_logfile_name("", 0, name), 0);
    CHECK_EQUAL(drop_logfile_name("a\0b", 3, name), 0);
    CHECK_EQUAL(drop_logfile_name("a b", 3, name), 0);
    CHECK_EQUAL(drop_logfile_name("$control", 8, name), 0);
    static const char *const others[] = {".log",    "a.log.1", "a.log.new", ".a.log",
                                         "a:b.log", "a b.log", "log",       "x,y.log"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK_EQUAL(drop_logfile_pool(others[i], strlen(others[i]), pool), 0);
}

static void test_append_and_modes(void)
{
    struct stat status;
    set_up(1000, 3);
    write_text("one\ntwo\n");
    drop_logfile_close(&file);
    drop_logfile_open(&file, &directory, "pool", 4);
    write_text("three\n");
    CHECK(holds("pool.log", "one\ntwo\nthree\n"));
    CHECK(fstatat(directory.fd, "pool.log", &status, 0) == 0);
    CHECK_EQUAL(status.st_mode & 07777 & ~0640u, 0);
    CHECK_EQUAL(directory.counters.lines, 3);
    CHECK_EQUAL(directory.counters.bytes, 14);
    tear_down();
}

static void test_rotation_keeps_lines_whole(void)
{
    set_up(10, 3);
    write_text("1234\n6789\nab\ncdefg\nh\n0123456789abcdef\nz\n");
    CHECK(holds("pool.log", "z\n"));
    CHECK(holds("pool.log.1", "0123456789abcdef\n"));
    CHECK(holds("pool.log.2", "h\n"));
    CHECK(!contents("pool.log.3"));
    CHECK(!contents("pool.log.new"));
    CHECK_EQUAL(directory.counters.lines, 7);
    CHECK_EQUAL(directory.counters.rotations, 4);
    tear_down();
}

static void test_one_file_only(void)
{
    set_up(4, 1);
    write_text("one\ntwo\n");
    CHECK(holds("pool.log", "two\n"));
    CHECK(!contents("pool.log.1"));
    tear_down();
}

/* The history cannot move, so the log goes on in the file that it has. */
static void test_rotation_that_fails_loses_nothing(void)
{
    set_up(8, 2);
    mkdirat(directory.fd, "dir", 0700);
    renameat(directory.fd, "dir", directory.fd, "pool.log.1");
    write_text("one\n");
    write_text("two\nthree\n");
    write_text("four\n");
    CHECK(holds("pool.log", "one\ntwo\nthree\nfour\n"));
    CHECK_EQUAL(directory.counters.lost, 0);
    CHECK(directory.counters.write_errors > 0);
    unlinkat(directory.fd, "pool.log.1", AT_REMOVEDIR);
    write_text("five\n");
    CHECK(holds("pool.log", "five\n"));
    CHECK(holds("pool.log.1", "one\ntwo\nthree\nfour\n"));
    tear_down();
}

static void test_full_disk_is_counted_and_reported(void)
{
    set_up(1000, 3);
    write_text("one\n");
    limit_file_size(10);
    write_text("two\nthree\nfour\n"); /* "th" would fit */
    write_text("five\n");
    CHECK(holds("pool.log", "one\ntwo\n"));
    CHECK_EQUAL(directory.counters.lost, 3);
    CHECK_EQUAL(directory.counters.lines, 2);
    CHECK(!drop_logfile_report_lost(&file, &stamp));
    limit_file_size(RLIM_INFINITY);
    write_text("six\n");
    char expected[128];
    snprintf(expected, sizeof expected,
             "one\ntwo\n1970-01-01T00:00:00.000000Z pool/0[%d] - [3 lines lost: File too large]\n"
             "six\n",
             (int)getpid());
    CHECK(holds("pool.log", expected));
    CHECK(drop_logfile_report_lost(&file, &stamp));
    tear_down();
}

static void write_at(int64_t second, const char *text)
{
    drop_logline_stamp_set(&stamp, second, 0);
    write_text(text);
}

static void test_old_file_is_rotated(void)
{
    set_up(1000, 3);
    directory.age_max = 3600;
    write_at(10000, "one\n");
    write_at(13599, "two\n");
    write_at(13600, "three\n");
    write_at(13601, "four\n");
    CHECK(holds("pool.log", "three\nfour\n"));
    CHECK(holds("pool.log.1", "one\ntwo\n"));
    write_at(90000, "five\n");
    CHECK(holds("pool.log", "five\n"));
    CHECK(holds("pool.log.2", "one\ntwo\n"));
    CHECK_EQUAL(directory.counters.rotations, 2);
    tear_down();
}

/* The age outlives the process: it stands in the first line, or else in the inode. */
static void test_age_of_a_file_that_exists(void)
{
    set_up(1000, 4);
    directory.age_max = 3600;
    write_at(20000, "1970-01-01T02:46:40.000000Z pool/1[2] - old\n");
    drop_logfile_reopen(&file);
    CHECK_EQUAL(file.begun, 10000);
    write_at(20000, "new\n");
    CHECK(holds("pool.log", "new\n"));
    struct timespec times[2] = {{.tv_sec = 15000}, {.tv_sec = 15000}};
    CHECK(futimens(file.fd, times) == 0);
    drop_logfile_reopen(&file);
    CHECK_EQUAL(file.begun, 15000);
    write_at(20001, "newer\n");
    CHECK(holds("pool.log.1", "new\n"));
    tear_down();
}

static void test_old_file_that_cannot_be_rotated_goes_on(void)
{
    set_up(1000, 2);
    directory.age_max = 10;
    write_at(1000, "one\n");
    mkdirat(directory.fd, "pool.log.1", 0700);
    write_at(2000, "two\n");
    CHECK(holds("pool.log", "one\ntwo\n"));
    CHECK_EQUAL(directory.counters.lost, 0);
    unlinkat(directory.fd, "pool.log.1", AT_REMOVEDIR);
    write_at(2001, "three\n");
    CHECK(holds("pool.log.1", "one\ntwo\n"));
    tear_down();
}

static void test_half_a_line_of_a_crash_is_ended(void)
{
    set_up(1000, 3);
    CHECK(write(file.fd, "torn", 4) == 4);
    drop_logfile_reopen(&file);
    write_text("whole\n");
    CHECK(holds("pool.log", "torn\nwhole\n"));
    tear_down();
}

static void test_reopen_after_a_move(void)
{
    set_up(1000, 3);
    write_text("old\n");
    renameat(directory.fd, "pool.log", directory.fd, "moved");
    write_text("still old\n");
    drop_logfile_reopen(&file);
    write_text("new\n");
    CHECK(holds("moved", "old\nstill old\n"));
    CHECK(holds("pool.log", "new\n"));
    tear_down();
}

static void test_file_that_cannot_be_opened_is_tried_again(void)
{
    set_up(1000, 3);
    drop_logfile_close(&file);
    unlinkat(directory.fd, "pool.log", 0);
    mkdirat(directory.fd, "pool.log", 0700);
    drop_logfile_open(&file, &directory, "pool", 4);
    CHECK_EQUAL(file.fd, -1);
    write_text("one\n");
    CHECK_EQUAL(directory.counters.lost, 1);
    unlinkat(directory.fd, "pool.log", AT_REMOVEDIR);
    write_text("two\n");
    const char *text = contents("pool.log");
    CHECK(text && strstr(text, "[1 lines lost: Is a directory]\ntwo\n"));
    tear_down();
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    RUN(test_names_go_there_and_back);
    RUN(test_what_is_no_name);
    RUN(test_append_and_modes);
    RUN(test_rotation_keeps_lines_whole);
    RUN(test_one_file_only);
    RUN(test_rotation_that_fails_loses_nothing);
    RUN(test_full_disk_is_counted_and_reported);
    RUN(test_old_file_is_rotated);
    RUN(test_age_of_a_file_that_exists);
    RUN(test_old_file_that_cannot_be_rotated_goes_on);
    RUN(test_half_a_line_of_a_crash_is_ended);
    RUN(test_reopen_after_a_move);
    RUN(test_file_that_cannot_be_opened_is_tried_again);
    return check_summary();
}

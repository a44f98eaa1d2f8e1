/* Unit tests of writing and reading what may be no regular file: links, devices, FIFOs, sockets, descriptors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/input.h"
#include "base/part.h"
#include "base/temporary.h"
#include "place.h"

static char place[64], path[4096];
static const char *program;

static int setup(void **state)
{
    (void)state;
    strcpy(place, "/tmp/so-writer-XXXXXX");
    return place_make(place);
}

static int teardown(void **state)
{
    (void)state;
    return place_remove(place);
}

static const char *at(const char *name)
{
    static char names[4][4096];
    static int next;
    char *out = names[next++ % 4];
    snprintf(out, sizeof names[0], "%s/%s", place, name);
    return out;
}

static int files_here(void)
{
    DIR *dir = opendir(place);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void expect_bytes(const char *name, const char *expected)
{
    char *data;
    size_t size;
    so_error error;
    CHECK_OK(so_file_read(name, 1 << 20, &data, &size, &error), error);
    assert_string_equal(data, expected);
    free(data);
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(lstat(name, &st), 0);
    return st.st_mode;
}

static void links_are_followed(void **state)
{
    (void)state;
    so_error error;
    assert_int_equal(mkdir(at("there"), 0777), 0);
    assert_int_equal(symlink("there/second", at("first")), 0);
    assert_int_equal(symlink("file", at("there/second")), 0);
    CHECK_OK(so_file_write(at("first"), "one", 3, &error), error);
    assert_true(S_ISLNK(mode_of(at("first"))) && S_ISLNK(mode_of(at("there/second"))));
    expect_bytes(at("there/file"), "one");
    assert_int_equal(symlink("round", at("about")), 0);
    assert_int_equal(symlink("about", at("round")), 0);
    assert_int_equal(so_file_write(at("round"), "x", 1, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "links"));
    so_part part;
    CHECK_OK(so_part_open(&part, at("first"), "id", &error), error);
    CHECK_OK(so_part_put(&part, "two", 3, &error), error);
    CHECK_OK(so_part_commit(&part, &error), error);
    assert_true(S_ISLNK(mode_of(at("first"))));
    expect_bytes(at("there/file"), "two");
}

static void modes_stay(void **state)
{
    (void)state;
    so_error error;
    CHECK_OK(so_file_write(at("kept"), "one", 3, &error), error);
    chmod(at("kept"), 0640);
    CHECK_OK(so_file_write(at("kept"), "two", 3, &error), error);
    assert_int_equal(mode_of(at("kept")) & 07777, 0640);
    assert_int_equal(so_file_write(place, "x", 1, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "folder"));
    assert_int_equal(so_file_write("", "x", 1, &error), SO_ERR_ARG);
    if (geteuid() == 0) return; /* who may write everything */
    chmod(at("kept"), 0440);
    assert_int_equal(so_file_write(at("kept"), "three", 5, &error), SO_ERR_IO);
}

static void long_names_are_names(void **state)
{
    (void)state;
    so_error error;
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    CHECK_OK(so_file_write(at(name), "one", 3, &error), error);
    expect_bytes(at(name), "one");
    assert_int_equal(files_here(), 1);
}

static void devices_are_written_through(void **state)
{
    (void)state;
    so_error error;
    if (mknod(at("null"), S_IFCHR | 0666, makedev(1, 3)) != 0 || access(at("null"), W_OK) != 0 ||
        open(at("null"), O_WRONLY) < 0) {
        fprintf(stderr, "# SKIP: no device can be made here\n");
        skip();
    }
    CHECK_OK(so_file_write(at("null"), "lost", 4, &error), error);
    assert_true(S_ISCHR(mode_of(at("null"))));
    so_part part;
    CHECK_OK(so_part_open(&part, at("null"), "id", &error), error);
    CHECK_OK(so_part_put(&part, "lost", 4, &error), error);
    assert_int_equal(so_part_cut(&part, 1, &error), SO_ERR_IO);
    CHECK_OK(so_part_commit(&part, &error), error);
    assert_true(S_ISCHR(mode_of(at("null"))));
    assert_int_equal(files_here(), 1);
}

static void dev_full_is_an_error(void **state)
{
    (void)state;
    so_error error;
    if (access("/dev/full", W_OK) != 0) skip();
    assert_int_equal(so_file_write("/dev/full", "lost", 4, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "/dev/full"));
}

static void fifos_meet_their_reader(void **state)
{
    (void)state;
    so_error error;
    assert_int_equal(mkfifo(at("pipe"), 0666), 0);
    pid_t child = fork();
    if (child == 0) _exit(so_file_write(at("pipe"), "through", 7, &error) == SO_OK ? 0 : 1);
    so_input input;
    CHECK_OK(so_input_open(&input, at("pipe"), NULL, &error), error);
    assert_int_equal(input.size, 7);
    assert_memory_equal(input.data, "through", 7);
    so_input_close(&input);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(S_ISFIFO(mode_of(at("pipe"))));
    so_input_options impatient = {.patience = 0.05};
    assert_int_equal(so_input_open(&input, at("pipe"), &impatient, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "nobody writes"));
    volatile sig_atomic_t stop = 1;
    so_input_options stopped = {.stop = &stop};
    assert_int_equal(so_input_open(&input, at("pipe"), &stopped, &error), SO_ERR_STOPPED);
}

static void sockets_are_connected_to(void **state)
{
    (void)state;
    so_error error;
    char got[8] = "";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", at("socket"));
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 1), 0);
    CHECK_OK(so_file_write(at("socket"), "said", 4, &error), error);
    int fd = accept(listening, NULL, NULL);
    assert_int_equal(read(fd, got, 7), 4);
    assert_string_equal(got, "said");
    close(fd);
    close(listening);
    assert_int_equal(so_file_write(at("socket"), "said", 4, &error), SO_ERR_IO); /* nobody listens */
}

static void descriptors_are_not_opened_anew(void **state)
{
    (void)state;
    so_error error;
    int fd = open(at("open"), O_RDWR | O_CREAT, 0666);
    assert_int_equal(write(fd, "head ", 5), 5);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    so_writer writer;
    CHECK_OK(so_writer_open(&writer, path, &error), error);
    CHECK_OK(so_writer_put(&writer, "....body", 8, &error), error);
    assert_true(so_writer_seeks(&writer));
    CHECK_OK(so_writer_patch(&writer, 0, "some", 4, &error), error);
    CHECK_OK(so_writer_put(&writer, "!", 1, &error), error);
    CHECK_OK(so_writer_commit(&writer, &error), error);
    expect_bytes(at("open"), "head somebody!");
    lseek(fd, 5, SEEK_SET);
    so_input input;
    CHECK_OK(so_input_open(&input, path, NULL, &error), error);
    assert_int_equal(input.size, 9);
    so_input_close(&input);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    CHECK_OK(so_writer_open(&writer, path, &error), error);
    assert_false(so_writer_seeks(&writer));
    assert_int_equal(so_writer_patch(&writer, 0, "x", 1, &error), SO_ERR_IO);
    so_writer_drop(&writer);
    assert_int_equal(so_file_write("/dev/fd/987", "x", 1, &error), SO_ERR_IO);
}

/* Left by a process that was killed, in use by one that lives, and removed by a handler. */
static void temporaries_go(void **state)
{
    (void)state;
    so_error error;
    so_writer writer, other;
    pid_t child = fork();
    if (child == 0) {
        if (so_writer_open(&writer, at("whole"), &error) == SO_OK) raise(SIGKILL);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(files_here(), 1);
    CHECK_OK(so_writer_open(&writer, at("whole"), &error), error);
    assert_int_equal(files_here(), 1);
    CHECK_OK(so_writer_open(&other, at("whole"), &error), error);
    assert_int_equal(files_here(), 2);
    CHECK_OK(so_writer_put(&writer, "one", 3, &error), error);
    CHECK_OK(so_writer_commit(&writer, &error), error);
    so_writer_drop(&other);
    expect_bytes(at("whole"), "one");
    assert_int_equal(files_here(), 1);
    child = fork();
    if (child == 0) {
        if (so_writer_open(&writer, at("more"), &error) != SO_OK) _exit(1);
        so_writer_abandon();
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(files_here(), 1);
    CHECK_OK(so_writer_open(&writer, at("more"), &error), error);
    CHECK_OK(so_file_write(at("left.so-tmp"), "", 0, &error), error);
    assert_int_equal(files_here(), 3);
    so_writer_sweep(place);
    assert_int_equal(files_here(), 2);
    so_writer_drop(&writer);
    assert_int_equal(files_here(), 1);
    /* somebody's own file or link of that name is not a temporary of ours to write through */
    CHECK_OK(so_file_write(at("mine"), "mine", 4, &error), error);
    assert_int_equal(symlink("mine", at("whole.so-tmp")), 0);
    CHECK_OK(so_file_write(at("whole"), "two", 3, &error), error);
    expect_bytes(at("mine"), "mine");
    expect_bytes(at("whole"), "two");
}

static bool is_there(const char *name) { return access(name, F_OK) == 0; }

/* Temporaries for other programs: removed by their owner, by its handler, or by the next process. */
static void work_files_go(void **state)
{
    (void)state;
    so_error error;
    so_temporary file, folder;
    int status, ends[2];
    char left[SO_TEMPORARY_PATH], inside[SO_TEMPORARY_PATH + 8];
    CHECK_OK(so_temporary_file(&file, ".wav", &error), error);
    CHECK_OK(so_temporary_folder(&folder, 0, &error), error);
    assert_true(is_there(file.path) && is_there(folder.path));
    assert_string_equal(file.path + strlen(file.path) - 4, ".wav");
    snprintf(inside, sizeof inside, "%s/x", folder.path);
    CHECK_OK(so_file_write(inside, "x", 1, &error), error);
    strcpy(left, folder.path);
    so_temporary_remove(&folder);
    so_temporary_remove(&folder);
    assert_false(is_there(left));
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (so_temporary_folder(&folder, 0, &error) != SO_OK) _exit(1);
        if (write(ends[1], folder.path, sizeof folder.path) != sizeof folder.path) _exit(1);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(read(ends[0], left, sizeof left), sizeof left);
    close(ends[0]);
    close(ends[1]);
    /* A process of its own sweeps at its first one, and takes none that is in use. */
    child = fork();
    if (child == 0) execl(program, program, "sweep", (char *)NULL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(is_there(left));
    assert_true(is_there(file.path));
    so_temporary_remove(&file);
    child = fork();
    if (child == 0) {
        if (so_temporary_file(&file, "", &error) != SO_OK) _exit(1);
        so_writer_abandon();
        _exit(is_there(file.path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void abandon_and_end(int number)
{
    so_writer_abandon();
    _exit(128 + number);
}

_Noreturn static void write_until_ended(int ready)
{
    so_writer writer;
    so_error error;
    signal(SIGTERM, abandon_and_end);
    for (int i = 0;; i++) {
        if (so_writer_open(&writer, at("often"), &error) != SO_OK) _exit(1);
        if (i == 0 && write(ready, "r", 1) != 1) _exit(1);
        so_writer_drop(&writer);
    }
}

/* Most of these ends come while the system creates the file, and take effect before the program knows that it has. */
static void an_end_while_a_file_is_created_leaves_none(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        int ends[2], status;
        char ready;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) write_until_ended(ends[1]);
        assert_int_equal(read(ends[0], &ready, 1), 1);
        usleep((useconds_t)(round * 37 % 500));
        kill(child, SIGTERM);
        assert_int_equal(waitpid(child, &status, 0), child);
        close(ends[0]);
        close(ends[1]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
        assert_int_equal(files_here(), 0);
    }
}

static void streams_are_limited(void **state)
{
    (void)state;
    so_error error;
    so_input input;
    char *data;
    size_t size;
    so_input_options small = {.limit = 100000};
    assert_int_equal(so_input_open(&input, "/dev/zero", &small, &error), SO_ERR_LIMIT);
    assert_int_equal(so_input_open(&input, place, NULL, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "folder"));
    assert_int_equal(so_input_open(&input, at("absent"), NULL, &error), SO_ERR_IO);
    CHECK_OK(so_input_open(&input, "/dev/null", NULL, &error), error);
    assert_int_equal(input.size, 0);
    so_input_close(&input);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "rules", 5), 5);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    CHECK_OK(so_file_read(path, 100, &data, &size, &error), error);
    assert_string_equal(data, "rules");
    free(data);
}

/* Readers reckon the end of a text from its beginning: nothing may be read there, but it is a place. */
static void empty_files_are_texts(void **state)
{
    (void)state;
    so_error error;
    so_map map;
    so_input input;
    CHECK_OK(so_file_write(at("empty"), "", 0, &error), error);
    CHECK_OK(so_map_open(&map, at("empty"), &error), error);
    assert_non_null(map.data);
    assert_int_equal(map.size, 0);
    so_map_close(&map);
    assert_null(map.data);
    CHECK_OK(so_input_open(&input, at("empty"), NULL, &error), error);
    assert_non_null(input.data);
    so_input_close(&input);
    CHECK_OK(so_input_open(&input, "/dev/null", NULL, &error), error);
    assert_non_null(input.data);
    so_input_close(&input);
}

static void ends_of_children_are_told(void **state)
{
    (void)state;
    so_error error;
    static const struct {
        int code, number;
        const char *text;
    } cases[] = {{0, 0, NULL}, {3, 0, "it ended with status 3"}, {0, SIGKILL, "it was ended by signal 9 (Killed)"}};
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (cases[i].number) raise(cases[i].number);
            _exit(cases[i].code);
        }
        assert_int_equal(so_child_wait(child, "it", &error), cases[i].text ? SO_ERR_STATE : SO_OK);
        if (cases[i].text) assert_string_equal(error.text, cases[i].text);
        assert_int_equal(so_child_wait(child, "it", &error), SO_ERR_STATE); /* gone */
    }
}

static so_status one_of_three(void *context, int number, so_error *error)
{
    const char *how = context;
    so_writer writer;
    char name[32];
    if (strcmp(how, "well") == 0) return SO_OK;
    if (number == 1 && strcmp(how, "fail") == 0) return so_fail(error, SO_ERR_FORMAT, "why");
    if (number == 1 && strcmp(how, "killed") == 0) raise(SIGKILL);
    snprintf(name, sizeof name, "of %d", number);
    if (strcmp(how, "all fail") == 0) return so_fail(error, SO_ERR_FORMAT, "why");
    SO_TRY(so_writer_open(&writer, at(name), error));
    for (;;) pause();
}

static volatile sig_atomic_t asked;

static void ask_to_stop(int number)
{
    (void)number;
    asked = 1;
}

/* Whoever fails is named once, the others are ended and leave nothing. */
static void children_are_run(void **state)
{
    (void)state;
    so_error error;
    CHECK_OK(so_children_run(3, "child", one_of_three, "well", NULL, &error), error);
    assert_int_equal(so_children_run(3, "child", one_of_three, "fail", NULL, &error), SO_ERR_FORMAT);
    assert_string_equal(error.text, "child 2 of 3: why");
    assert_int_equal(so_children_run(3, "child", one_of_three, "killed", NULL, &error), SO_ERR_STATE);
    assert_string_equal(error.text, "child 2 of 3 was ended by signal 9 (Killed)");
    assert_int_equal(so_children_run(3, "child", one_of_three, "all fail", NULL, &error), SO_ERR_FORMAT);
    assert_non_null(strstr(error.text, "of 3: why"));
    signal(SIGALRM, ask_to_stop);
    alarm(1);
    assert_int_equal(so_children_run(3, "child", one_of_three, "stay", &asked, &error), SO_ERR_STOPPED);
    assert_int_equal(so_children_run(0, "child", one_of_three, "well", NULL, &error), SO_ERR_ARG);
    assert_int_equal(files_here(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* none is left */
}

static int only_make_one(void)
{
    so_temporary file;
    so_error error;
    if (so_temporary_file(&file, "", &error) != SO_OK) return 1;
    so_temporary_remove(&file);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sweep") == 0) return only_make_one();
    program = argv[0];
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_are_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(modes_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(long_names_are_names, setup, teardown),
        cmocka_unit_test_setup_teardown(devices_are_written_through, setup, teardown),
        cmocka_unit_test(dev_full_is_an_error),
        cmocka_unit_test_setup_teardown(fifos_meet_their_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets_are_connected_to, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_are_not_opened_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(temporaries_go, setup, teardown),
        cmocka_unit_test(work_files_go),
        cmocka_unit_test_setup_teardown(an_end_while_a_file_is_created_leaves_none, setup, teardown),
        cmocka_unit_test(ends_of_children_are_told),
        cmocka_unit_test_setup_teardown(children_are_run, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_files_are_texts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

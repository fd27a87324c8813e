/* Listening sockets: who connects, what may stand in the way, and a shortage of descriptors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listener.h"
#include "log.h"

enum { DESCRIPTORS_MAX = 64 };

struct place {
    char top[64];
    char directory[80];
    char path[100];
    struct event_base *base;
    int accepted[DESCRIPTORS_MAX];
    unsigned accepted_count;
    struct listener_peer peer;
};

static void on_accepted(int fd, const struct listener_peer *peer, void *ctx)
{
    struct place *place = ctx;

    assert_true(place->accepted_count < DESCRIPTORS_MAX);
    place->accepted[place->accepted_count++] = fd;
    place->peer = *peer;
}

static int set_up(void **state)
{
    struct place *place = test_calloc(1, sizeof *place);
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(place->top, sizeof place->top, "%.40s/listenerXXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(place->top));
    (void)snprintf(place->directory, sizeof place->directory, "%s/run", place->top);
    (void)snprintf(place->path, sizeof place->path, "%s/submit.sock", place->directory);
    place->base = event_base_new();
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    for (unsigned i = 0; i < place->accepted_count; i++)
        (void)close(place->accepted[i]);
    (void)unlink(place->path);
    (void)rmdir(place->directory);
    event_base_free(place->base);
    int rc = rmdir(place->top);
    test_free(place);
    return rc;
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static int connect_to(const struct place *place)
{
    int fd = new_socket();
    struct sockaddr_un address = address_of(place->path);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void test_peer_and_modes(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    mode_t umask_before = umask(0077);
    struct listener *listener =
        listener_open_unix(place->base, place->path, on_accepted, place, &err);

    (void)umask(umask_before);
    assert_non_null(listener);
    assert_int_equal(mode_of(place->directory), 0755);
    assert_int_equal(mode_of(place->path), 0666);
    int fd = connect_to(place);
    assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    assert_int_equal(place->accepted_count, 1);
    assert_int_equal(place->peer.uid, geteuid());
    assert_int_equal(place->peer.gid, getegid());
    assert_int_equal(place->peer.pid, getpid());
    assert_true((fcntl(place->accepted[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(place->accepted[0], F_GETFD) & FD_CLOEXEC) != 0);
    (void)close(fd);
    listener_close(listener);
    assert_int_equal(access(place->path, F_OK), -1);
}

static void test_stale_socket_is_replaced(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    struct sockaddr_un address = address_of(place->path);
    int dead = new_socket();

    assert_int_equal(mkdir(place->directory, 0755), 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(dead);
    struct listener *listener =
        listener_open_unix(place->base, place->path, on_accepted, place, &err);
    assert_non_null(listener);
    listener_close(listener);
}

static void test_live_socket_is_respected(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    struct listener *first = listener_open_unix(place->base, place->path, on_accepted, place, &err);

    assert_non_null(first);
    assert_null(listener_open_unix(place->base, place->path, on_accepted, place, &err));
    assert_int_equal(err.code, ERROR_BUSY);
    assert_int_equal(access(place->path, F_OK), 0);
    listener_close(first);
}

static void test_other_file_is_respected(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };

    assert_int_equal(mkdir(place->directory, 0755), 0);
    int fd = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_null(listener_open_unix(place->base, place->path, on_accepted, place, &err));
    assert_int_equal(err.code, ERROR_CONFIG);
    assert_int_equal(access(place->path, F_OK), 0);
}

/* Somebody else's socket at our path is not ours to remove. */
static void test_close_leaves_a_successor(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    struct listener *first = listener_open_unix(place->base, place->path, on_accepted, place, &err);

    assert_int_equal(unlink(place->path), 0);
    struct listener *second =
        listener_open_unix(place->base, place->path, on_accepted, place, &err);
    assert_non_null(second);
    listener_close(first);
    assert_int_equal(access(place->path, F_OK), 0);
    listener_close(second);
}

static void test_long_path(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    char path[300];

    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_null(listener_open_unix(place->base, path, on_accepted, place, &err));
    assert_int_equal(err.code, ERROR_CONFIG);
}

/* Connections wait while no descriptor is free, and the loop does not spin: it would run accept() as often as it can.
   Afterwards they are accepted. One warning tells of it. */
static void test_shortage(void **state)
{
    struct place *place = *state;
    struct error err = { 0 };
    struct rlimit before;
    struct listener *listener =
        listener_open_unix(place->base, place->path, on_accepted, place, &err);
    int client = connect_to(place);
    int highest = dup(client);
    unsigned warnings = log_warning_count();

    assert_true(highest >= 0);
    (void)close(highest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none_free = { (rlim_t)highest, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none_free), 0);
    /* Two turns: the failure, which switches off and sets the timer, and the timer. */
    assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    assert_int_equal(place->accepted_count, 0);
    assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    assert_int_equal(log_warning_count() - warnings, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (place->accepted_count == 0)
        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    (void)close(client);
    listener_close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_peer_and_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale_socket_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_live_socket_is_respected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_file_is_respected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_leaves_a_successor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shortage, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

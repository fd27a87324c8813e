/* Listening Unix sockets on libevent's evconnlistener, which accepts with SOCK_NONBLOCK and SOCK_CLOEXEC. */
#include "listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "log.h"
#include "xalloc.h"

/* Without the pause, a process out of descriptors spends all its time on accept() failing. */
static const struct timeval shortage_pause = { .tv_usec = 100 * 1000 };

struct listener {
    struct evconnlistener *listener;
    struct event *resume;
    bool is_short; /* of descriptors or memory, since the last connection that could be accepted */
    char *path;
    dev_t device; /* of the socket file that is ours to remove */
    ino_t inode;
    listener_accepted_fn *accepted;
    void *ctx;
};

static void on_accepted(struct evconnlistener *evlistener, evutil_socket_t fd,
                        struct sockaddr *address, int address_len, void *arg)
{
    struct listener *listener = arg;
    struct ucred creds = { 0 };
    socklen_t len = sizeof creds;

    (void)evlistener;
    (void)address;
    (void)address_len;
    listener->is_short = false;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &len) != 0) {
        log_line(LOG_LEVEL_WARNING, "listener", "%s: who connects is unknown: %s", listener->path,
                 strerror(errno));
        (void)close(fd);
        return;
    }
    struct listener_peer peer = { .uid = creds.uid, .gid = creds.gid, .pid = creds.pid };
    listener->accepted(fd, &peer, listener->ctx);
}

static void on_accept_failed(struct evconnlistener *evlistener, void *arg)
{
    struct listener *listener = arg;
    int problem = errno;

    if (!listener->is_short)
        log_line(LOG_LEVEL_WARNING, "listener", "%s: connections wait: %s", listener->path,
                 strerror(problem));
    listener->is_short = true;
    (void)evconnlistener_disable(evlistener);
    (void)evtimer_add(listener->resume, &shortage_pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;

    (void)fd;
    (void)what;
    (void)evconnlistener_enable(listener->listener);
}

/* The mode is set afterwards because mkdir() obeys the umask, and everybody must get at the socket. */
static bool make_directory_of(const char *path, struct error *err)
{
    AUTO_FREE char *copy = xstrdup(path);
    const char *directory = dirname(copy);

    if (mkdir(directory, 0755) == 0) {
        if (chmod(directory, 0755) != 0)
            return fail(err, ERROR_IO, "set mode of %s: %s", directory, strerror(errno));
        return true;
    }
    if (errno != EEXIST)
        return fail(err, ERROR_IO, "make directory %s: %s", directory, strerror(errno));
    return true;
}

static int new_socket(struct error *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        (void)fail(err, ERROR_BUSY, "make socket: %s", strerror(errno));
    return fd;
}

/* Something stands at the path. Only a socket that refuses connections has certainly no process behind it. (Two
   daemons starting at once can't both get here: the spool lets only one go on.) */
static bool remove_stale(const struct sockaddr_un *address, struct error *err)
{
    const char *path = address->sun_path;
    struct stat status;

    if (lstat(path, &status) != 0)
        return errno == ENOENT || fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return fail(err, ERROR_CONFIG, "%s: exists and is not a socket", path);
    AUTO_CLOSE int fd = new_socket(err);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        return fail(err, ERROR_BUSY, "%s: another process is listening there", path);
    if (errno != ECONNREFUSED && errno != ENOENT)
        return fail(err, ERROR_IO, "%s: try old socket: %s", path, strerror(errno));
    if (unlink(path) != 0 && errno != ENOENT)
        return fail(err, ERROR_IO, "%s: remove old socket: %s", path, strerror(errno));
    return true;
}

/* Nobody can connect before listen(), so the mode is right when the first one does. */
static bool bind_path(int fd, const char *path, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path)
        return fail(err, ERROR_CONFIG, "%s: longer than the %zu bytes that a socket path may have",
                    path, sizeof address.sun_path - 1);
    (void)strcpy(address.sun_path, path);
    if (!make_directory_of(path, err))
        return false;
    int rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
    if (rc != 0 && errno == EADDRINUSE) {
        if (!remove_stale(&address, err))
            return false;
        rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
    }
    if (rc != 0)
        return fail(err, ERROR_IO, "bind %s: %s", path, strerror(errno));
    if (chmod(path, 0666) != 0)
        return fail(err, ERROR_IO, "set mode of %s: %s", path, strerror(errno));
    return true;
}

struct listener *listener_open_unix(struct event_base *base, const char *path,
                                    listener_accepted_fn *accepted, void *ctx, struct error *err)
{
    AUTO_CLOSE int fd = new_socket(err);
    struct stat status;

    if (fd < 0 || !bind_path(fd, path, err))
        return NULL;
    if (lstat(path, &status) != 0) {
        (void)fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct listener *listener = NEW(struct listener);
    listener->path = xstrdup(path);
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    listener->accepted = accepted;
    listener->ctx = ctx;
    listener->resume = evtimer_new(base, on_resume, listener);
    if (listener->resume != NULL)
        listener->listener =
            evconnlistener_new(base, on_accepted, listener,
                               LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN, fd);
    if (listener->listener == NULL) {
        (void)fail(err, ERROR_IO, "listen on %s: %s", path, strerror(errno));
        listener_close(listener);
        return NULL;
    }
    fd = -1; /* the evconnlistener closes it */
    evconnlistener_set_error_cb(listener->listener, on_accept_failed);
    return listener;
}

void listener_close(struct listener *listener)
{
    struct stat status;

    if (listener == NULL)
        return;
    if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
        status.st_ino == listener->inode)
        (void)unlink(listener->path); /* if it stays, the next start recognises it as stale */
    if (listener->listener != NULL)
        evconnlistener_free(listener->listener);
    if (listener->resume != NULL)
        event_free(listener->resume);
    free(listener->path);
    free(listener);
}

/* Reads secrets once, when the configuration is read; what else may read the file is refused, not repaired. */
#include "secrets.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "xalloc.h"

/* Everything beyond rw-r-----. */
enum { FORBIDDEN_BITS = 0137 };

/* Names of credentials have no '/', so none leads out of the directory. */
static bool is_credential_name(const char *name)
{
    if (*name == '.' || *name == '\0' || strlen(name) > 255)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("._-@", *p) == NULL)
            return false;
    return true;
}

/* Returns, caller frees. */
static char *secret_path(const char *config_path, const char *name)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");

    if (*name == '/')
        return xstrdup(name);
    if (credentials != NULL && *credentials == '/') {
        char *path = xasprintf("%s/%s", credentials, name);
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    AUTO_FREE char *copy = xstrdup(config_path);
    return xasprintf("%s/credentials/%s", dirname(copy), name);
}

static bool check_file(const char *path, const struct stat *status, uid_t other_owner,
                       struct error *err)
{
    if (!S_ISREG(status->st_mode))
        return fail(err, ERROR_CONFIG, "%s: not a regular file", path);
    if ((status->st_mode & FORBIDDEN_BITS) != 0)
        return fail(err, ERROR_CONFIG,
                    "%s: mode %04o lets others at the secret; run: chmod 0600 %s", path,
                    (unsigned)status->st_mode & 07777U, path);
    if (status->st_uid != 0 && status->st_uid != geteuid() && status->st_uid != other_owner)
        return fail(err, ERROR_CONFIG,
                    "%s: belongs to uid %u, not to root or the daemon's user; run: chown", path,
                    (unsigned)status->st_uid);
    if (status->st_size > SECRET_MAX)
        return fail(err, ERROR_CONFIG, "%s: longer than %d bytes", path, SECRET_MAX);
    return true;
}

/* What is in the file, NUL-terminated; ret_len is the number of bytes. */
static bool read_all(int fd, const char *path, char ret_bytes[SECRET_MAX + 2], size_t *ret_len,
                     struct error *err)
{
    size_t len = 0;

    for (;;) {
        ssize_t n = read(fd, ret_bytes + len, SECRET_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, ERROR_CONFIG, "%s: %s", path, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > SECRET_MAX)
            return fail(err, ERROR_CONFIG, "%s: longer than %d bytes", path, SECRET_MAX);
    }
    ret_bytes[len] = '\0';
    *ret_len = len;
    return true;
}

/* A control character would cut or change the AUTH exchange; it says that this is the wrong file. */
static char *checked_copy(const char *from, const char *bytes, size_t len, struct error *err)
{
    if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (len > 0 && bytes[len - 1] == '\r')
        len--;
    if (len == 0) {
        (void)fail(err, ERROR_CONFIG, "%s: is empty", from);
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        if (!iscntrl((unsigned char)bytes[i]))
            continue;
        (void)fail(err, ERROR_CONFIG, "%s: has more than one line, or control characters", from);
        return NULL;
    }
    return xstrndup(bytes, len);
}

char *secret_from_file(const char *config_path, const char *name, uid_t other_owner,
                       struct error *err)
{
    char bytes[SECRET_MAX + 2];
    size_t len = 0;
    struct stat status = { 0 };

    if (*name != '/' && !is_credential_name(name)) {
        (void)fail(err, ERROR_CONFIG,
                   "\"%.60s\" is neither an absolute path nor the name of a credential", name);
        return NULL;
    }
    AUTO_FREE char *path = secret_path(config_path, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        (void)fail(err, ERROR_CONFIG, "%s: %s", path,
                   errno == ELOOP ? "a symbolic link is not followed; name the file itself"
                                  : strerror(errno));
        return NULL;
    }
    char *secret = NULL;
    if (check_file(path, &status, other_owner, err) && read_all(fd, path, bytes, &len, err))
        secret = checked_copy(path, bytes, len, err);
    explicit_bzero(bytes, sizeof bytes);
    return secret;
}

char *secret_from_environment(const char *name, struct error *err)
{
    const char *value = getenv(name);

    if (value == NULL) {
        (void)fail(err, ERROR_CONFIG, "the environment has no %.60s", name);
        return NULL;
    }
    if (strlen(value) > SECRET_MAX) {
        (void)fail(err, ERROR_CONFIG, "%.60s: longer than %d bytes", name, SECRET_MAX);
        return NULL;
    }
    return checked_copy(name, value, strlen(value), err);
}

void secret_free(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}

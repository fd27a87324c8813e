/* Finds the daemon's sockets. A key that this version does not need is not even looked at. */
#include "locate.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "units.h"
#include "xalloc.h"

enum {
    CONNECT_TIMEOUT_S = 10, /* a full backlog blocks connect(2) for as long as SO_SNDTIMEO says */
    SIZE_MAX_DEFAULT = 50 * 1024 * 1024,
};

static const char default_runtime_directory[] = "/run/outbox";
static const char default_drop_directory[] = "/var/spool/outbox";

static void location_init(struct location *location)
{
    location->runtime_directory = xstrdup(default_runtime_directory);
    location->drop_directory = xstrdup(default_drop_directory);
    location->message_size_max_bytes = SIZE_MAX_DEFAULT;
}

void location_done(struct location *location)
{
    free(location->runtime_directory);
    free(location->drop_directory);
    location->runtime_directory = NULL;
    location->drop_directory = NULL;
}

static void replace_text(const config_t *file, const char *key, char **text)
{
    const char *value = NULL;

    if (config_lookup_string(file, key, &value) != CONFIG_TRUE || value[0] == '\0')
        return;
    free(*text);
    *text = xstrdup(value);
}

static void replace_size(const config_t *file, const char *key, int64_t *size)
{
    const config_setting_t *setting = config_lookup(file, key);
    struct error ignored;
    int64_t parsed = 0;

    if (setting == NULL)
        return;
    if (config_setting_type(setting) == CONFIG_TYPE_STRING) {
        if (units_parse_size(config_setting_get_string(setting), &parsed, &ignored))
            *size = parsed;
    } else if (config_setting_is_number(setting) && config_setting_get_int64(setting) > 0) {
        *size = config_setting_get_int64(setting);
    }
}

static void adopt(const config_t *file, struct location *location)
{
    replace_text(file, "runtime-directory", &location->runtime_directory);
    replace_text(file, "drop-directory", &location->drop_directory);
    replace_size(file, "message-size-max", &location->message_size_max_bytes);
    if (strcmp(location->drop_directory, "none") == 0) {
        free(location->drop_directory);
        location->drop_directory = NULL;
    }
}

bool location_read(const char *path, bool may_be_missing, struct location *ret_location,
                   struct error *err)
{
    struct location location;
    config_t file;

    location_init(&location);
    config_init(&file);
    errno = 0;
    bool is_read = config_read_file(&file, path) == CONFIG_TRUE;
    bool is_fine = is_read || may_be_missing;
    if (is_read)
        adopt(&file, &location);
    else if (!is_fine && config_error_type(&file) == CONFIG_ERR_PARSE)
        (void)fail(err, ERROR_CONFIG, "%s:%d: %s", path, config_error_line(&file),
                   config_error_text(&file));
    else if (!is_fine)
        (void)fail(err, ERROR_CONFIG, "read %s: %s", path,
                   errno != 0 ? strerror(errno) : "cannot be read");
    config_destroy(&file);
    if (!is_fine) {
        location_done(&location);
        return false;
    }
    *ret_location = location;
    return true;
}

bool location_find(const char *file, struct location *ret_location, struct error *err)
{
    const char *named = file != NULL ? file : getenv("OUTBOX_CONFIG");

    if (named != NULL && named[0] != '\0')
        return location_read(named, false, ret_location, err);
    return location_read(LOCATE_DEFAULT_FILE, true, ret_location, err);
}

int location_connect(const struct location *location, const char *name, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    AUTO_FREE char *path = xasprintf("%s/%s", location->runtime_directory, name);

    if (strlen(path) >= sizeof address.sun_path) {
        (void)fail(err, ERROR_CONFIG, "%s is too long for a socket: shorten runtime-directory",
                   path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)fail(err, ERROR_BUSY, "make a socket: %s", strerror(errno));
        return -1;
    }
    struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)fail(err, ERROR_BUSY, "outboxd does not answer at %s: %s", path, strerror(errno));
        return -1;
    }
    int connected = fd;
    fd = -1;
    return connected;
}

/* Where secrets come from. They are never part of the configuration file itself, never logged, and wiped by their
   owner with secret_free(). */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct error;

enum { SECRET_MAX = 4096 };

/* name is an absolute path, or else a credential: $CREDENTIALS_DIRECTORY/NAME if that exists, otherwise
   credentials/NAME beside config_path. The file is regular, not a link, at most 0640, and belongs to root, to us, or to
   other_owner (whom we shall become). One line end at the end is cut off. Returns, caller secret_free()s; NULL on
   failure. */
char *secret_from_file(const char *config_path, const char *name, uid_t other_owner,
                       struct error *err);
/* The environment variable; the same rules for its content. */
char *secret_from_environment(const char *name, struct error *err);
/* Overwrites it first. NULL is fine. */
void secret_free(char *secret);

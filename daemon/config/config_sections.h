/* The parts of the file, for config_file.c. Knows libconfig. */
#pragma once
#include <libconfig.h>
#include <sys/types.h>

#include "complaints.h"
#include "config_keys.h"

/* Reads the members of group into source by the table of keys, fallbacks for those that are absent; complains about
   what the table does not have. group NULL: only the fallbacks. */
void config_section_read(struct complaints *complaints, enum config_section section,
                         const config_setting_t *group, void *source);
/* Where the key stands, else where its group begins. */
unsigned config_line_of(const config_setting_t *group, const char *key);

/* other_owner: see secrets.h. setting is NULL when the key is absent, in all three. */
void config_smarthosts_read(struct complaints *complaints, const config_setting_t *setting,
                            uid_t other_owner, struct config *config);
/* After the smarthosts. */
void config_routes_read(struct complaints *complaints, const config_setting_t *setting,
                        struct config *config);
void config_access_read(struct complaints *complaints, const config_setting_t *setting,
                        struct config *config);

void config_smarthosts_done(struct config *config);
void config_routes_done(struct config *config);
void config_access_done(struct config *config);

/* One setting of the file into one member of a struct, as its key's type demands. Knows libconfig; nothing about
   what belongs together. */
#pragma once
#include <libconfig.h>

#include "complaints.h"
#include "config_keys.h"

/* source is the struct that key->offset belongs to. Complains, and leaves the member as it was, if the value does not
   fit. What the member points to afterwards is the source's owner's to free. */
void config_value_read(struct complaints *complaints, const struct config_key *key,
                       const config_setting_t *setting, void *source);
/* As if the fallback stood in the file. A key without one is left alone. */
void config_value_default(const struct config_key *key, void *source);

void config_list_done(struct route_patterns *list);

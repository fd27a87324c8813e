/* From the text of the file to the structs of config.h. */
#pragma once
#include "complaints.h"

/* Fills everything of config but path. On complaints the result is incomplete, but fit for being freed. */
void config_file_read(const char *path, struct complaints *complaints, struct config *config);
/* What config_file_read() filled, secrets wiped. */
void config_file_done(struct config *config);

/* Space set aside for the moment when the disk is full: given up, it lets the fate of mail that is under way be
   recorded, while new mail is refused (DESIGN 4). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct error;

/* As much as a checkpoint may add to the file: the log is used again from its start only when all of it is copied. */
enum { BALLAST_BYTES = 32 * 1024 * 1024 };

struct ballast {
    int directory_fd; /* borrowed */
    bool is_held;
};

void ballast_init(struct ballast *ballast, int directory_fd);
/* Sets the space aside; harmless when it is already. ERROR_FULL: there is not enough. */
bool ballast_take(struct ballast *ballast, struct error *err);
/* Whether there was anything to give up. */
bool ballast_release(struct ballast *ballast);
/* Whether so many bytes can be spent for mere speed: afterwards there is still as much again as the ballast holds. */
bool ballast_is_far(const struct ballast *ballast, int64_t bytes);
